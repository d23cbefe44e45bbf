//! `PoolCore`: what Python sees of a pool.

use std::sync::Arc;
use std::time::Instant;

use pyo3::Borrowed;
use pyo3::exceptions::{PyIndexError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyEllipsis, PyTuple};

use super::key::{Reach, member_of};
use super::transport::ToMembers;
use crate::engine::holding::Holder;
use crate::engine::mailbox::Mailbox;
use crate::py::actor::ProcessActor;
use crate::py::codec::actors::Description;
use crate::py::executor::ExecutorCore;
use crate::py::future::ActorCell;
use crate::py::host::host::{Host, Place};
use crate::py::host::room::has_passed;
use crate::py::host::run::Serve;
use crate::py::host::team::Team;
use crate::py::interpreter::imports::BrokenActor;
use crate::py::interpreter::lifecycle::{self, Live, Start};
use crate::py::interpreter::running_loop::running_loop;
use crate::py::interpreter::wait::Seconds;
use crate::py::interpreter::{imports, wait};
use crate::py::message::fault::{Started, to_error};
use crate::py::message::request::Asked;
use crate::py::message::tally::Tally;
use crate::py::options::Options;
use crate::py::process::crew::{self, Crew};
use crate::py::process::executor::Construct;
use crate::py::reference::core::RefCore;
use crate::py::reference::hold::Hold;
use crate::py::reference::target::Target;
use crate::py::thread;

/// Defines a class of pools and its Python methods: those that executors and references have, and
/// others.
macro_rules! pool_class {
    ($(#[$about:meta])* $name:ident named $public:literal extends $base:ty; $($own:item)*) => {
        $(#[$about])*
        #[pyclass(
            extends = $base, subclass, frozen, name = $public, module = "futures_actors._core"
        )]
        pub(in crate::py) struct $name;

        #[pymethods]
        impl $name {
            $($own)*

            /// Send a message to the pool and return the future of its answer.
            ///
            /// A message without a key is handled by the first member that is idle. One with a `key`
            /// is handled by the member that has this key, always the same one, in the order of the
            /// posts. Equal keys are one key. Waits for room and raises as the `post` of an actor does.
            #[pyo3(signature = (message, *, key=Key(None), timeout=None))]
            fn post<'py>(
                slf: &Bound<'py, Self>,
                message: &Bound<'py, PyAny>,
                key: Key<'py>,
                timeout: Option<Seconds>,
            ) -> PyResult<Bound<'py, PyAny>> {
                post(slf.cast()?, message, key, timeout)
            }

            /// Send a message to each member and return the futures of their answers.
            ///
            /// They are in the order of the members. A member that has died for good is represented
            /// by a future that failed. In a bounded mailbox this takes a place for each member, or
            /// all places if there are fewer. Waits for room and raises as `post` does; where an event
            /// loop runs, each message waits for a place of its own.
            #[pyo3(signature = (message, *, timeout=None))]
            fn broadcast<'py>(
                slf: &Bound<'py, Self>,
                message: &Bound<'py, PyAny>,
                timeout: Option<Seconds>,
            ) -> PyResult<Vec<Bound<'py, PyAny>>> {
                broadcast(slf.cast()?, message, timeout)
            }

            /// Return a reference to the member that has `key`.
            fn keyed<'py>(
                slf: &Bound<'py, Self>,
                key: &Bound<'py, PyAny>,
            ) -> PyResult<Bound<'py, PyAny>> {
                let pool: &Bound<'_, RefCore> = slf.cast()?;
                member(pool, member_with(pool.get().target()?, key)?)
            }

            /// References to the members, in the order of their indices.
            #[getter]
            fn members<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
                let members = 0..size_of(slf.cast()?)?;
                let members = members.map(|index| member(slf.cast()?, index));
                PyTuple::new(slf.py(), members.collect::<PyResult<Vec<_>>>()?)
            }

            fn __len__(slf: &Bound<'_, Self>) -> PyResult<usize> {
                size_of(slf.cast()?)
            }
        }
    };
}

pool_class! {
    /// The core of a `PoolRef`.
    PoolRefCore named "PoolRef" extends RefCore;

    #[new]
    fn of_nothing() -> PyClassInitializer<Self> {
        PyClassInitializer::from(RefCore::of_nothing()).add_subclass(Self)
    }
}

pool_class! {
    /// The core of an `ActorPool`.
    PoolCore named "ActorPool" extends ExecutorCore;

    #[new]
    #[pyo3(signature = (options, /, *args, **kwargs))]
    fn new(
        options: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let _start = Start::begin()?;
        let py = options.py();
        let of_pool = Options::of(options)?;
        let size = of_pool.pool_size.ok_or_else(|| {
            let class = of_pool.class.name();
            let class = class.map_or_else(|_| "MyActor".to_owned(), |name| name.to_string());
            PyTypeError::new_err(format!("start a pool by {class}.pool(n).executor(...)"))
        })?;
        if size == 0 {
            return Err(PyValueError::new_err("a pool has at least one member"));
        }
        let tally = Arc::new(Tally::new(of_pool.name.clone()));
        tally.streams.set_members(size);
        let mailbox = Arc::new(Mailbox::new(of_pool.mailbox_size));
        let team = Arc::new(Team::new(Arc::clone(&mailbox), Arc::clone(&tally), size));
        let is_process = of_pool.class.is_subclass_of::<ProcessActor>()?;
        let pool = NewPool {
            py,
            options,
            whole: &of_pool,
            size,
            mailbox,
            tally,
            team,
        };
        let pool = if is_process {
            pool.of_processes(args, kwargs)?
        } else {
            pool.of_threads(args, kwargs)?
        };
        Ok(ExecutorCore::new(of_pool.class, pool).add_subclass(Self))
    }

    /// Return a reference to the pool, which can send it messages and cannot end it.
    ///
    /// The pool lives while its executor or a reference to it or to a member exists, until one of
    /// the executor's methods ends it.
    fn r#ref<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let reference: &Bound<'_, RefCore> = slf.cast()?;
        let host = reference.get().target()?.host();
        let host = host.expect("only `new` makes an executor, and its pool is of this process");
        let pool = Hold::new(Arc::clone(host), Holder::Others);
        let class = reference.get().class(slf.py())?;
        RefCore::to(class, Box::new(pool))
    }
}

fn size_of(pool: &Bound<'_, RefCore>) -> PyResult<usize> {
    Ok(pool.get().target()?.describe().size)
}

/// The index of the member that has `key`.
fn member_with(pool: &dyn Target, key: &Bound<'_, PyAny>) -> PyResult<usize> {
    match pool.host() {
        Some(host) => member_of(key, host.members().len(), Reach::Here),
        None => member_of(key, pool.describe().size, Reach::Elsewhere),
    }
}

/// The key of a message, if it has one.
struct Key<'py>(Option<Bound<'py, PyAny>>);

impl<'py> FromPyObject<'_, 'py> for Key<'py> {
    type Error = PyErr;

    fn extract(key: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let is_given = !key.is(PyEllipsis::get(key.py()));
        Ok(Self(is_given.then(|| key.to_owned())))
    }
}

fn post<'py>(
    pool: &Bound<'py, RefCore>,
    message: &Bound<'py, PyAny>,
    Key(key): Key<'py>,
    timeout: Option<Seconds>,
) -> PyResult<Bound<'py, PyAny>> {
    let deadline = wait::deadline(timeout)?;
    let pool = pool.get().target()?;
    let asked = Asked::Handle(message);
    let Some(key) = key else {
        return pool.ask(asked, deadline);
    };
    let index = member_with(pool, &key)?;
    match pool.host() {
        Some(host) => host.members()[index].accept(asked, deadline),
        None => member_at(pool, index)?.ask(asked, deadline),
    }
}

fn broadcast<'py>(
    pool: &Bound<'py, RefCore>,
    message: &Bound<'py, PyAny>,
    timeout: Option<Seconds>,
) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let deadline = wait::deadline(timeout)?;
    let pool = pool.get().target()?;
    match pool.host() {
        Some(host) => broadcast_here(host, message, deadline),
        None => broadcast_elsewhere(pool, message, deadline),
    }
}

/// To the members of a pool in another process, one by one. If that takes too long, those that have
/// not begun on it do not get it.
fn broadcast_elsewhere<'py>(
    pool: &dyn Target,
    message: &Bound<'py, PyAny>,
    deadline: Option<Instant>,
) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let py = message.py();
    let mut futures: Vec<Bound<'py, PyAny>> = Vec::new();
    for index in 0..pool.describe().size {
        match member_at(pool, index)?.ask(Asked::Handle(message), deadline) {
            Ok(future) => futures.push(future),
            // As far as this process knows, only that member has died.
            Err(error) if error.is_instance_of::<BrokenActor>(py) => {
                futures.push(failed(py, error)?);
            }
            Err(error) => {
                for future in futures {
                    future.call_method0(intern!(py, "cancel"))?;
                }
                return Err(error);
            }
        }
    }
    Ok(futures)
}

fn broadcast_here<'py>(
    pool: &Arc<Host>,
    message: &Bound<'py, PyAny>,
    deadline: Option<Instant>,
) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let py = message.py();
    pool.admit(py)?;
    // There each message waits for room by itself, if there is time.
    let running = running_loop(py)?.filter(|_| !has_passed(deadline));
    let permits = match running {
        Some(_) => Vec::new(),
        None => pool.acquire_for_each(py, deadline)?,
    };
    let mut permits = permits.into_iter();
    let mut futures: Vec<Bound<'py, PyAny>> = Vec::with_capacity(pool.members().len());
    for member in pool.members() {
        let asked = Asked::Handle(message);
        let future = match &running {
            Some(running) => member.accept_in_loop(asked, deadline, running),
            None => member.accept_with(asked, permits.next()),
        };
        // Once a member has the message, the others' futures say why these do not get it.
        let fault = member.fault.get();
        let fault = fault.filter(|_| !futures.is_empty() || pool.fault.get().is_none());
        let future = match (future, fault) {
            (Err(_), Some(fault)) => failed(py, to_error(py, &member.name, fault, Started::No)),
            (future, _) => future,
        };
        futures.push(future?);
    }
    Ok(futures)
}

/// A future that has failed with `error`.
fn failed(py: Python<'_>, error: PyErr) -> PyResult<Bound<'_, PyAny>> {
    let future = imports::actor_future(py)?.call0()?;
    future.call_method1(intern!(py, "set_exception"), (error.into_value(py),))?;
    Ok(future)
}

fn member<'py>(pool: &Bound<'py, RefCore>, index: usize) -> PyResult<Bound<'py, PyAny>> {
    let member = member_at(pool.get().target()?, index)?;
    RefCore::to(pool.get().class(pool.py())?, member)
}

fn member_at(pool: &dyn Target, index: usize) -> PyResult<Box<dyn Target>> {
    let member = pool.member(index);
    member.ok_or_else(|| PyIndexError::new_err(format!("the pool has no member {index}")))
}

/// A pool that is about to start.
struct NewPool<'a, 'py> {
    py: Python<'py>,
    options: &'a Bound<'py, PyAny>,
    /// The options of the pool itself.
    whole: &'a Options<'py>,
    size: usize,
    mailbox: Arc<Mailbox<Arc<ActorCell>>>,
    tally: Arc<Tally>,
    team: Arc<Team>,
}

impl<'py> NewPool<'_, 'py> {
    fn of_threads(
        self,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Hold> {
        let mut prepared = Vec::with_capacity(self.size);
        for index in 0..self.size {
            let options = self.options_of(index)?;
            let seat = (self.size > 1).then(|| thread::source::Seat {
                team: Arc::clone(&self.team),
                index,
            });
            let place = self.mailbox_of(&options, index);
            prepared.push(thread::executor::prepare(
                &options, place, seat, args, kwargs,
            ));
        }
        self.start(prepared, None)
    }

    fn of_processes(
        self,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Hold> {
        let mut construct = Construct::pack(self.whole, args, kwargs, self.size)?;
        let places = self.whole.max_concurrency;
        let crew = (self.size > 1).then(|| Arc::new(Crew::new(&self.team, self.size, places)));
        let mut prepared = Vec::with_capacity(self.size);
        for index in 0..self.size {
            let options = self.options_of(index)?;
            let crew = crew.clone();
            let seat = crew.map(|crew| crew::Seat { crew, index });
            let (mailbox, tally) = self.mailbox_of(&options, index);
            let place = (mailbox, tally, self.description().member(index));
            prepared.push(construct.prepare(self.py, &options, place, seat)?);
        }
        if let Some(crew) = &crew {
            crew.meet(prepared.iter().map(|(_, io)| io.mate()).collect());
        }
        self.start(prepared, crew)
    }

    fn options_of(&self, index: usize) -> PyResult<Options<'py>> {
        let mut options = Options::of(self.options)?;
        options.name = format!("{}[{index}]", self.whole.name);
        Ok(options)
    }

    /// How other processes refer to the pool.
    fn description(&self) -> Description {
        let is_bounded = self.whole.mailbox_size.is_some();
        let (id, name) = (self.tally.node.id, &self.whole.name);
        Description::new(id, name, is_bounded, self.size, self.whole.max_concurrency)
    }

    /// A member's mailbox and tally. A single member has those of the pool.
    fn mailbox_of(
        &self,
        options: &Options<'_>,
        index: usize,
    ) -> (Arc<Mailbox<Arc<ActorCell>>>, Arc<Tally>) {
        if self.size == 1 {
            return (Arc::clone(&self.mailbox), Arc::clone(&self.tally));
        }
        let mailbox = Mailbox::in_room_of(&self.mailbox);
        let tally = self.tally.of_member(options.name.clone(), index);
        (Arc::new(mailbox), Arc::new(tally))
    }

    /// Gives the members their places and starts their threads. If one cannot be started, those that
    /// have been end again.
    fn start(
        self,
        prepared: Vec<(Arc<Host>, impl Serve)>,
        crew: Option<Arc<Crew>>,
    ) -> PyResult<Hold> {
        let py = self.py;
        let (members, servers): (Vec<_>, Vec<_>) = prepared.into_iter().unzip();
        let transport = ToMembers {
            name: self.whole.name.clone(),
            team: Arc::clone(&self.team),
            members: members.clone(),
            crew,
        };
        let transport = Box::new(transport);
        if self.size > 1 {
            let nodes = members.iter().map(|member| Arc::clone(&member.tally.node));
            self.tally.node.set_members(nodes.collect());
        }
        let description = self.description();
        let pool = Arc::new(Host::new(self.whole, self.mailbox, self.tally, transport));
        let hold = Hold::new(Arc::clone(&pool), Holder::Others);
        for (index, member) in members.iter().enumerate() {
            // It is new, so `set` cannot fail, and likewise below.
            let description = description.member(index);
            let place = Place::new(&self.team, index, description, &pool);
            _ = member.place.set(place);
            // The pool's, which ends its members.
            member.references.add(Holder::Others);
        }
        _ = pool.members.set(members);
        lifecycle::register(Arc::downgrade(&pool) as _)?;
        let mut started = Ok(());
        for (member, server) in pool.members().iter().zip(servers) {
            if started.is_ok() {
                started = member.start(py, server);
            }
            if started.is_err() {
                py.detach(|| member.leave_pool());
            }
        }
        if started.is_err() {
            pool.close(py);
        }
        started.map(|()| hold)
    }
}
