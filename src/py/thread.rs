//! The thread actor: one thread that constructs the object, takes messages and calls `handle`.
//!
//! The thread stays attached to Python while it has work, gives way to other threads regularly, and
//! is detached while it waits. It keeps one Python thread state for its whole life, so thread-local
//! data lives as long as the actor.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use once_cell::sync::OnceCell;
use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyTuple, PyType};

use super::answer;
use super::answer::Called;
use super::asynchronous;
use super::asynchronous::waker::Waker;
use super::codec::body::Body;
use super::current;
use super::current::Running;
use super::executor::ExecutorCore;
use super::future::{ActorCell, settle};
use super::interpreter::daemon_threads::outlasting;
use super::interpreter::imports;
use super::interpreter::lifecycle;
use super::interpreter::lifecycle::Start;
use super::interpreter::wait::{Attached, wait_for};
use super::message::fault::{Fault, Force, Stage, Started, log_failure};
use super::message::items::{Item, Items};
use super::message::message::Message;
use super::message::outcome::Outcome;
use super::message::request::{Asked, Call, Wants};
use super::message::tally::Tally;
use super::options::Options;
use super::reference::own;
use super::stream;
use super::stream::run::{Ended, Sink};
use super::thread_loop::Messages;
use crate::engine::handoff::Awaited;
use crate::engine::ipc::frame::Kind;
use crate::engine::latch::{Latch, Wait};
use crate::engine::mailbox::{Mailbox, Take};
use crate::engine::room::Wake;
use crate::engine::roster::Turns;
use crate::engine::stream::Space;
use crate::engine::sys;
use crate::py::host::host::Host;
use crate::py::host::keeping::Left;
use crate::py::host::run::{Serve, leave};
use crate::py::host::team::Team;
use crate::py::host::transport::{Dump, Signalled, Transport};

/// The transport of a thread actor. Messages stay Python objects, and the mailbox wakes the thread.
struct SameProcess {
    seat: Option<Seat>,
    /// What `threading.get_ident()` returns in the actor's thread. Set when that has started.
    ident: Arc<OnceCell<u64>>,
    /// Of an async actor.
    waker: Option<Arc<Waker>>,
}

impl Transport for SameProcess {
    fn pack(&self, asked: Asked<'_, '_>, wants: Wants) -> PyResult<Message> {
        Ok(Message::Call(asked.to_call(), wants))
    }

    fn adopt(&self, kind: Kind, body: Body) -> Result<Message, &'static str> {
        if self.waker.is_some() {
            return Err("an async thread actor gets no messages from other processes");
        }
        Ok(Message::Received(kind, Box::new(body)))
    }

    fn rouse(&self, py: Python<'_>) {
        if let Some(waker) = &self.waker {
            waker.wake(py);
        }
        if let Some(Seat { team, index }) = &self.seat {
            team.roster.call(*index);
        }
    }

    fn rouse_detached(&self) {
        if let Some(waker) = &self.waker {
            Python::attach(|py| waker.wake(py));
        }
        if let Some(Seat { team, index }) = &self.seat {
            team.roster.call(*index);
        }
    }

    fn in_flight(&self) -> Vec<Arc<ActorCell>> {
        Vec::new()
    }

    fn dump_traceback(&self, py: Python<'_>, _deadline: Option<Instant>) -> PyResult<Dump> {
        let dump = outlasting(imports::dump_thread(py)?, (self.ident.get(),), None)?;
        Ok(Dump::Text(dump.extract()?))
    }

    fn signal(&self, _force: Force) -> sys::Result<Signalled> {
        if let Some(waker) = &self.waker {
            Python::attach(|py| waker.terminate(py));
        }
        Ok(Signalled::No)
    }

    fn is_at_rest(&self, mailbox: &Mailbox<Arc<ActorCell>>) -> bool {
        // The thread runs callbacks before it waits for a message. One that runs an event loop does not
        // sleep in the mailbox; its tally says what runs.
        match &self.seat {
            None => mailbox.is_asleep(),
            Some(Seat { team, index }) => {
                team.roster.is_idle(*index) && mailbox.is_empty() && team.mailbox.is_empty()
            }
        }
    }

    fn pid(&self) -> Option<u32> {
        None
    }
}

/// The core of a `ThreadActorExecutor`.
#[pyclass(extends = ExecutorCore, subclass, frozen, name = "ThreadActorExecutor", module = "futures_actors._core")]
pub(super) struct ThreadExecutorCore;

#[pymethods]
impl ThreadExecutorCore {
    #[new]
    #[pyo3(signature = (actor, /, *args, **kwargs))]
    fn new(
        actor: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let _start = Start::begin()?;
        let options = Options::of(actor)?;
        let mailbox = Arc::new(Mailbox::new(options.mailbox_size));
        let tally = Arc::new(Tally::new(options.name.clone()));
        let (host, server) = prepare(&options, (mailbox, tally), None, args, kwargs);
        host.start(actor.py(), server)?;
        let core = ExecutorCore::new(options.class, host);
        Ok(core.add_subclass(Self))
    }
}

/// A member's seat in a pool of several threads.
#[derive(Clone)]
pub(super) struct Seat {
    pub(super) team: Arc<Team>,
    pub(super) index: usize,
}

/// A host, and what its thread must serve.
pub(super) fn prepare(
    options: &Options<'_>,
    (mailbox, tally): (Arc<Mailbox<Arc<ActorCell>>>, Arc<Tally>),
    seat: Option<Seat>,
    args: &Bound<'_, PyTuple>,
    kwargs: Option<&Bound<'_, PyDict>>,
) -> (Arc<Host>, impl Serve + use<>) {
    let ident = Arc::new(OnceCell::new());
    let waker = options.is_async.then(Arc::<Waker>::default);
    let transport = SameProcess {
        seat: seat.clone(),
        ident: Arc::clone(&ident),
        waker: waker.clone(),
    };
    let host = Host::new(options, mailbox, tally, Box::new(transport));
    let constructor = Constructor {
        class: options.class.clone().unbind(),
        args: args.clone().unbind(),
        kwargs: kwargs.map(|kwargs| kwargs.clone().unbind()),
    };
    let server = Server {
        ident,
        source: seat.map_or(Source::Alone, |seat| Source::Member(seat, Turns::default())),
        constructor: Some(constructor),
        on_loop: waker.map(|waker| OnLoop {
            waker,
            max_concurrency: options.max_concurrency,
            loop_factory: options.loop_factory.clone().map(Bound::unbind),
        }),
        begun: None,
        next: None,
    };
    (Arc::new(host), server)
}

struct Constructor {
    class: Py<PyType>,
    args: Py<PyTuple>,
    kwargs: Option<Py<PyDict>>,
}

impl Constructor {
    /// Makes the object. Consumes the arguments, so that only the object can keep them alive.
    fn construct(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        let kwargs = self.kwargs.map(|kwargs| kwargs.into_bound(py));
        self.class.bind(py).call(self.args, kwargs.as_ref())
    }
}

/// How to run an async actor.
struct OnLoop {
    waker: Arc<Waker>,
    max_concurrency: usize,
    loop_factory: Option<Py<PyAny>>,
}

/// What the actor's thread does.
struct Server {
    ident: Arc<OnceCell<u64>>,
    source: Source,
    /// Until the object is there.
    constructor: Option<Constructor>,
    /// If the actor is async, until its loop runs.
    on_loop: Option<OnLoop>,
    /// The message that it has begun on and that has not ended. While its handler runs, `current` has
    /// it.
    begun: Option<Arc<ActorCell>>,
    /// The one that it has taken out of the mailbox to begin on when that has ended.
    next: Option<Arc<ActorCell>>,
}

impl OnLoop {
    fn run(self, py: Python<'_>, host: &Arc<Host>, constructor: Constructor) -> PyResult<()> {
        let messages = Arc::new(Messages::new(host, &self.waker));
        let constructor = Mutex::new(Some(constructor));
        let construct = PyCFunction::new_closure(py, None, None, move |args, _| {
            let constructor = constructor
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            let constructor = constructor
                .ok_or_else(|| PyRuntimeError::new_err("the object has been constructed"))?;
            constructor.construct(args.py()).map(Bound::unbind)
        })?;
        let loop_factory = self.loop_factory.map(|factory| factory.into_bound(py));
        asynchronous::message::run(
            py,
            &host.name,
            messages,
            construct.as_any(),
            self.max_concurrency,
            loop_factory,
        )
    }
}

impl Serve for Server {
    fn serve(&mut self, host: &Arc<Host>) {
        Python::attach(|py| self.run(py, host));
    }

    fn abandon(&mut self, host: &Arc<Host>) {
        host.tally.idle();
        self.take_back();
        let begun = self.begun.take().map(|cell| (cell, Started::Yes));
        let next = self.next.take().map(|cell| (cell, Started::No));
        host.fail_by_panic(begun.into_iter().chain(next).collect());
        Python::attach(|py| {
            self.constructor = None;
            own::leave();
            leave(py);
        });
    }
}

impl Server {
    fn run(&mut self, py: Python<'_>, host: &Arc<Host>) {
        let entered =
            imports::thread_enter(py).and_then(|enter| enter.call1((&host.name,))?.extract());
        match entered {
            // Only this thread sets it, so `set` cannot fail.
            Ok(number) => _ = self.ident.set(number),
            Err(error) => error.write_unraisable(py, None),
        }
        let Some(constructor) = self.constructor.take() else {
            return;
        };
        own::enter(host, constructor.class.bind(py));
        if let Some(on_loop) = self.on_loop.take() {
            if let Err(error) = on_loop.run(py, host, constructor) {
                let error = Arc::new(error.into_value(py).into_any());
                let fault = Fault::InitRaised(error, Stage::Constructor);
                host.fail_attached(py, fault, Vec::new());
            }
            return leave(py);
        }
        let made = constructor.construct(py);
        let started = made.map_err(|error| (error, Stage::Constructor));
        let started = started.and_then(|actor| match on_start(&actor) {
            Ok(()) => Ok(actor),
            Err(error) => Err((error, Stage::OnStart)),
        });
        match started {
            Ok(actor) => {
                wait_for_pool(py, host);
                self.handle_all(&actor, host);
                if host.force.get().is_none()
                    && let Err(error) = on_stop(&actor)
                {
                    log_failure(py, &host.name, "on_stop", error);
                }
            }
            Err((error, stage)) => {
                let error = error.into_value(py).into_any();
                let fault = Fault::InitRaised(Arc::new(error), stage);
                host.fail_attached(py, fault, Vec::new());
                py.detach(|| host.break_pool());
            }
        }
        own::leave();
        leave(py);
    }

    fn handle_all(&mut self, actor: &Bound<'_, PyAny>, host: &Host) {
        let py = actor.py();
        let has_gil = imports::has_gil(py);
        let mut attached = Attached::begin();
        let mut given: Option<Outcome> = None;
        loop {
            let mut taken = match &self.begun {
                // Its callbacks may take long. Meanwhile others in the pool can have the next message.
                Some(before) if self.source.is_shared() && before.needs_python() => Take::Empty,
                _ => {
                    let taken = self.source.try_take(host);
                    self.keep(taken)
                }
            };
            if let (Some(outcome), Some(before)) = (given.take(), &self.begun) {
                // Before it waits, it may have to look at its references, attached.
                let waits = matches!(taken, Take::Empty) && host.references.left() == Left::Others;
                if waits && !before.needs_python() {
                    let message = py.detach(|| {
                        let awaited = self.settle_detached(outcome);
                        self.source.wait(host, awaited, has_gil)
                    });
                    attached = Attached::begin();
                    taken = self.keep(message.map_or(Take::Closed, Take::Item));
                } else {
                    settle::settle_attached(py, before, outcome);
                    self.begun = None;
                }
            }
            match taken {
                Take::Item(()) => attached.give_way(py),
                Take::Closed => return,
                Take::Empty => {
                    if own::is_known_to_itself_alone(host, actor) {
                        host.close_mailbox();
                        continue;
                    }
                    self.next = py.detach(|| self.source.wait(host, Awaited::No, has_gil));
                    attached = Attached::begin();
                }
            }
            self.begun = self.next.take();
            let Some(cell) = &self.begun else { return };
            let (asked, wants, sender) = match settle::begin(cell) {
                Some(Message::Call(asked, wants)) => (Ok(asked), wants, Sender::Here),
                Some(Message::Received(kind, body)) => {
                    let wants = if kind.is_told() {
                        Wants::Nothing
                    } else {
                        Wants::Answer
                    };
                    (load(py, kind, *body), wants, Sender::Elsewhere)
                }
                _ => {
                    self.begun = None;
                    continue;
                }
            };
            host.tally.begin(attached.now());
            if let Some(cell) = self.begun.take() {
                current::begin(Running::Here(cell));
            }
            // The message is gone before its future ends, and the answer goes with it.
            let ended = match asked {
                Ok(asked) => handle(actor, &host.name, asked, &wants),
                Err(error) => Ended::By(Err(error)),
            };
            self.take_back();
            host.tally.idle();
            let was_asked = self.begun.as_ref().is_some_and(|cell| cell.was_asked());
            given = Some(match ended {
                Ended::By(ended) if sender == Sender::Elsewhere => {
                    host.sealed_outcome(py, &wants, was_asked, ended)
                }
                Ended::By(ended) => host.outcome(py, &wants, was_asked, ended),
                Ended::Closed => host.stopped(),
            });
        }
    }

    /// Takes back the message that has run in this thread, which was in `current` meanwhile.
    fn take_back(&mut self) {
        if let Some(Running::Here(cell)) = current::end() {
            self.begun = Some(cell);
        }
    }

    fn keep(&mut self, taken: Take<Arc<ActorCell>>) -> Take<()> {
        match taken {
            Take::Item(cell) => {
                self.next = Some(cell);
                Take::Item(())
            }
            Take::Empty => Take::Empty,
            Take::Closed => Take::Closed,
        }
    }

    /// Settles the current message, detached. A moment ago its cell needed no Python. Says whether a
    /// thread waited for that.
    ///
    /// The actor first looks for another message. Only if there is none it detaches, and then settles
    /// this one, so that a waiting caller finds the GIL free and need not sleep for it. The next
    /// message begins only after this.
    fn settle_detached(&mut self, outcome: Outcome) -> Awaited {
        let Some(cell) = &self.begun else {
            return Awaited::No;
        };
        let awaited = Awaited::by(cell.done());
        settle::settle(cell, outcome);
        // If the future is gone, the answer is dropped here, attached. Otherwise it is dropped with
        // the future, by a thread that is attached.
        if Arc::strong_count(cell) == 1 {
            Python::attach(|_| self.begun = None);
        }
        self.begun = None;
        awaited
    }
}

/// Where a thread gets its messages.
enum Source {
    /// From the mailbox of its host.
    Alone,
    /// From that, and from the mailbox of its pool.
    Member(Seat, Turns),
}

impl Source {
    fn is_shared(&self) -> bool {
        matches!(self, Self::Member(..))
    }

    fn try_take(&mut self, host: &Host) -> Take<Arc<ActorCell>> {
        match self {
            Self::Alone => host.mailbox.try_take(),
            // What the pool has is not for it any more, and what itself had has failed.
            Self::Member(..) if host.force.get().is_some() => Take::Closed,
            Self::Member(seat, turns) => turns.try_take(&host.mailbox, &seat.team.mailbox),
        }
    }

    /// Blocks until there is a message. `None` if there will be none. Call it detached.
    fn wait(&mut self, host: &Host, awaited: Awaited, has_gil: bool) -> Option<Arc<ActorCell>> {
        fn done(cell: &Arc<ActorCell>) -> &Latch {
            cell.done()
        }
        if let Self::Member(seat, _) = self {
            let Seat { team, index } = seat.clone();
            let shares = || !team.mailbox.is_empty();
            return team.roster.take(index, || self.try_take(host), shares);
        }
        lifecycle::comes_to_rest();
        let done = has_gil.then_some(done as fn(&Arc<ActorCell>) -> &Latch);
        host.tally
            .handoff
            .wait_for_message(&host.mailbox, awaited, done)
    }
}

/// Returns when every other member of the pool has been constructed, too.
fn wait_for_pool(py: Python<'_>, host: &Host) {
    host.be_born();
    if let Some(place) = host.place.get() {
        py.detach(|| while place.team.opened.wait(None) != Wait::Set {});
    }
}

/// Calls the object's `on_start`, if it has one.
pub(super) fn on_start(actor: &Bound<'_, PyAny>) -> PyResult<()> {
    // Executors also accept classes that do not extend `Actor`, which may lack it.
    match actor.getattr_opt(intern!(actor.py(), "on_start"))? {
        Some(on_start) => on_start.call0().map(drop),
        None => Ok(()),
    }
}

/// Calls the object's `on_stop`, if it has one.
pub(super) fn on_stop(actor: &Bound<'_, PyAny>) -> PyResult<()> {
    match actor.getattr_opt(intern!(actor.py(), "on_stop"))? {
        Some(on_stop) => on_stop.call0().map(drop),
        None => Ok(()),
    }
}

/// Loads a message from another process. What carried it is dropped before the call.
fn load(py: Python<'_>, kind: Kind, body: Body) -> PyResult<Call> {
    Call::of_object(kind, body.load(py)?)
}

/// Where a message comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sender {
    Here,
    /// Another process, which gets the answer as bytes.
    Elsewhere,
}

/// Handles a message: calls what it asks for, and runs the generator if it is a stream.
fn handle<'py>(actor: &Bound<'py, PyAny>, name: &str, asked: Call, wants: &Wants) -> Ended<'py> {
    let Wants::Items(items) = wants else {
        return Ended::By(call(actor, asked, |called, answer| {
            answer::check(name, called, answer)
        }));
    };
    current::close_on_request(items);
    let generator = call(actor, asked, |called, answer| {
        stream::run::check(name, called, answer)
    });
    match generator {
        Ok(generator) => stream::run::run(name, &generator, &mut Local(items)),
        Err(error) => Ended::By(Err(error)),
    }
}

/// Calls what a message asks for, and has `check` look at the answer.
fn call<'py, T>(
    actor: &Bound<'py, PyAny>,
    call: Call,
    check: impl FnOnce(&Called<'_, 'py>, Bound<'py, PyAny>) -> PyResult<T>,
) -> PyResult<T> {
    let py = actor.py();
    match call {
        Call::Handle(object) => {
            let answer = actor.call_method1(intern!(py, "handle"), (object.into_bound(py),))?;
            check(&Called::Handle, answer)
        }
        Call::Function(function, args, kwargs) => {
            let kwargs = kwargs.map(|kwargs| kwargs.into_bound(py));
            let function = function.into_bound(py);
            let answer = function.call(args.into_bound(py), kwargs.as_ref())?;
            check(&Called::Function, answer)
        }
        Call::Method(method, args, kwargs) => {
            let kwargs = kwargs.map(|kwargs| kwargs.into_bound(py));
            let method = method.bind(py);
            let answer = actor.call_method(method, args.into_bound(py), kwargs.as_ref())?;
            check(&Called::Method(method), answer)
        }
    }
}

/// The items of a stream go to takers in this process.
struct Local<'a>(&'a Items);

impl<'py> Sink<'py> for Local<'_> {
    fn wait_for_room(&mut self, py: Python<'py>) -> PyResult<bool> {
        loop {
            let latch = OnceCell::<Arc<Latch>>::new();
            let waiter = || Arc::clone(latch.get_or_init(Arc::default)) as Arc<dyn Wake>;
            match (self.0.space(waiter), latch.get()) {
                (Space::Free, _) => return Ok(true),
                (Space::Closed, _) => return Ok(false),
                (Space::Full, latch) => {
                    if let Some(latch) = latch {
                        wait_for(py, latch, None)?;
                    }
                }
            }
        }
    }

    fn put(&mut self, item: Bound<'py, PyAny>) -> PyResult<()> {
        // If it is not wanted any more, it is dropped.
        drop(self.0.put(Item::Object(item.unbind())));
        Ok(())
    }
}
