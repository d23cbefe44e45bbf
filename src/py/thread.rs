//! The thread actor: one thread that constructs the object, takes messages and calls `handle`.
//!
//! The thread stays attached to Python while it has work, gives way to others now and then, and
//! waits detached; it keeps one Python
//! thread state for its whole life, so thread-local data lives as long as the actor.

use std::sync::Arc;
use std::time::Instant;

use once_cell::sync::OnceCell;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple, PyType};

use super::answer;
use super::answer::Called;
use super::executor::ExecutorCore;
use super::future::{ActorCell, settle};
use super::interpreter::imports;
use super::interpreter::lifecycle::Start;
use super::interpreter::main_only::outlasting;
use super::interpreter::wait::Attached;
use super::message::fault::{Fault, Force, log_failure};
use super::message::message::Message;
use super::message::outcome::Outcome;
use super::options::Options;
use crate::engine::handoff::Awaited;
use crate::engine::latch::Latch;
use crate::engine::mailbox::{Mailbox, Take};
use crate::engine::sys;
use crate::py::host::host::Host;
use crate::py::host::transport::{Dump, Signalled, Transport};

/// Messages are handed over as they are, and the mailbox wakes the thread.
struct SameProcess {
    /// What `threading.get_ident` says in the actor's thread, once that has started.
    ident: Arc<OnceCell<u64>>,
}

impl Transport for SameProcess {
    fn post(&self, object: &Bound<'_, PyAny>) -> PyResult<Message> {
        Ok(Message::Object(object.clone().unbind()))
    }

    fn tell(&self, object: &Bound<'_, PyAny>) -> PyResult<Message> {
        Ok(Message::Told(object.clone().unbind()))
    }

    fn call(
        &self,
        function: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Message> {
        Ok(Message::Call(
            function.clone().unbind(),
            args.clone().unbind(),
            kwargs.map(|kwargs| kwargs.clone().unbind()),
        ))
    }

    fn call_method(
        &self,
        name: &Bound<'_, PyString>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Message> {
        Ok(Message::Method(
            name.clone().unbind(),
            args.clone().unbind(),
            kwargs.map(|kwargs| kwargs.clone().unbind()),
        ))
    }

    fn rouse(&self, _py: Python<'_>) {}

    fn sent_ahead(&self) -> Vec<Arc<ActorCell>> {
        Vec::new()
    }

    fn dump_traceback(&self, py: Python<'_>, _deadline: Option<Instant>) -> PyResult<Dump> {
        let dump = outlasting(|| imports::dump_thread(py)?.call1((self.ident.get(),)))?;
        Ok(Dump::Text(dump.extract()?))
    }

    fn signal(&self, _force: Force) -> sys::Result<Signalled> {
        Ok(Signalled::No)
    }

    fn pid(&self) -> Option<u32> {
        None
    }
}

/// The core of a `ThreadActorExecutor`.
#[pyclass(extends = ExecutorCore, subclass, frozen, module = "futures_actors._core")]
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
        let ident = Arc::new(OnceCell::new());
        let transport = SameProcess {
            ident: Arc::clone(&ident),
        };
        let host = Arc::new(Host::new(
            &options,
            mailbox,
            Arc::default(),
            Box::new(transport),
        ));
        let constructor = Constructor {
            class: options.class.clone().unbind(),
            args: args.clone().unbind(),
            kwargs: kwargs.map(|kwargs| kwargs.clone().unbind()),
        };
        host.start(actor.py(), move |host| {
            Python::attach(|py| run(py, host, &ident, constructor));
        })?;
        let core = ExecutorCore::new(options.class, host);
        Ok(PyClassInitializer::from(core).add_subclass(Self))
    }
}

struct Constructor {
    class: Py<PyType>,
    args: Py<PyTuple>,
    kwargs: Option<Py<PyDict>>,
}

impl Constructor {
    /// Takes the arguments along, so that they live no longer than the object wants.
    fn construct(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        let kwargs = self.kwargs.map(|kwargs| kwargs.into_bound(py));
        self.class.bind(py).call(self.args, kwargs.as_ref())
    }
}

fn run(py: Python<'_>, host: &Arc<Host>, ident: &OnceCell<u64>, constructor: Constructor) {
    let entered = imports::thread_enter(py).and_then(|enter| enter.call1((&host.name,))?.extract());
    match entered {
        // Nobody else sets it.
        Ok(number) => _ = ident.set(number),
        Err(error) => error.write_unraisable(py, None),
    }
    match constructor.construct(py) {
        Ok(actor) => {
            handle_all(&actor, host);
            if host.force.get().is_none()
                && let Err(error) = on_stop(&actor)
            {
                log_failure(py, &host.name, "on_stop", error);
            }
        }
        Err(error) => {
            let error = error.into_value(py).into_any();
            host.fail_attached(py, Fault::InitRaised(Arc::new(error)), Vec::new());
        }
    }
    let left = imports::thread_leave(py).and_then(PyAnyMethods::call0);
    if let Err(error) = left {
        error.write_unraisable(py, None);
    }
}

fn handle_all(actor: &Bound<'_, PyAny>, host: &Host) {
    let py = actor.py();
    let has_gil = imports::has_gil(py);
    let mut attached = Attached::begin();
    let mut given: Option<Given> = None;
    loop {
        let mut taken = host.mailbox.try_take();
        if let Some(before) = given.take() {
            if matches!(taken, Take::Empty) && !before.cell.needs_python() {
                let message = py.detach(|| {
                    let awaited = before.settle_detached();
                    wait_for_message(host, awaited, has_gil)
                });
                attached = Attached::begin();
                taken = message.map_or(Take::Closed, Take::Item);
            } else {
                settle::settle_attached(py, &before.cell, before.outcome);
            }
        }
        let cell = match taken {
            Take::Item(cell) => {
                attached.give_way(py);
                cell
            }
            Take::Closed => return,
            Take::Empty => {
                let message = py.detach(|| wait_for_message(host, Awaited::No, has_gil));
                attached = Attached::begin();
                match message {
                    Some(cell) => cell,
                    None => return,
                }
            }
        };
        if let Some(message) = settle::begin(&cell) {
            host.tally.begin(attached.now());
            let is_told = message.is_told();
            // The message is gone before its future ends, and the answer goes with it.
            let ended = handle(actor, &host.name, message);
            host.tally.idle();
            let outcome = host.outcome(py, is_told, ended);
            given = Some(Given { cell, outcome });
        }
    }
}

fn wait_for_message(host: &Host, awaited: Awaited, has_gil: bool) -> Option<Arc<ActorCell>> {
    fn done(cell: &Arc<ActorCell>) -> &Latch {
        cell.done()
    }
    let done = has_gil.then_some(done as fn(&Arc<ActorCell>) -> &Latch);
    host.tally
        .handoff
        .wait_for_message(&host.mailbox, awaited, done)
}

/// What `handle` has given for a message that has not ended yet.
///
/// The actor looks first whether there is another message. Only if there is none it detaches, and
/// then ends this one: a caller that waits finds the GIL free, where it would else have to wait for
/// that anew, asleep. It never begins another message before.
struct Given {
    cell: Arc<ActorCell>,
    outcome: Outcome,
}

impl Given {
    /// Ends the message, whose cell needed nothing of Python's a moment ago. Says whether a thread
    /// waited for that.
    fn settle_detached(self) -> Awaited {
        let awaited = Awaited::by(self.cell.done());
        settle::settle(&self.cell, self.outcome);
        // Where the future is gone already, the answer goes with the cell. Else it goes with the
        // future, which a thread drops that is attached.
        if Arc::strong_count(&self.cell) == 1 {
            Python::attach(|_| drop(self.cell));
        }
        awaited
    }
}

/// Runs what the object has to do at its end.
pub(super) fn on_stop(actor: &Bound<'_, PyAny>) -> PyResult<()> {
    // Executors take classes that are no actors, as upstream's did.
    match actor.getattr_opt(intern!(actor.py(), "on_stop"))? {
        Some(on_stop) => on_stop.call0().map(drop),
        None => Ok(()),
    }
}

fn handle<'py>(
    actor: &Bound<'py, PyAny>,
    name: &str,
    message: Message,
) -> PyResult<Bound<'py, PyAny>> {
    let py = actor.py();
    match message {
        Message::Object(object) | Message::Told(object) => {
            let answer = actor.call_method1(intern!(py, "handle"), (object.into_bound(py),))?;
            answer::check(name, &Called::Handle, answer)
        }
        Message::Call(function, args, kwargs) => {
            let kwargs = kwargs.map(|kwargs| kwargs.into_bound(py));
            let function = function.into_bound(py);
            let answer = function.call(args.into_bound(py), kwargs.as_ref())?;
            answer::check(name, &Called::Function, answer)
        }
        Message::Method(method, args, kwargs) => {
            let kwargs = kwargs.map(|kwargs| kwargs.into_bound(py));
            let method = method.bind(py);
            let answer = actor.call_method(method, args.into_bound(py), kwargs.as_ref())?;
            answer::check(name, &Called::Method(method), answer)
        }
        Message::Frame(..) | Message::Ticket(_) | Message::Revoked | Message::Bounded(..) => {
            unreachable!("frames are for children, and `begin` unwraps")
        }
    }
}
