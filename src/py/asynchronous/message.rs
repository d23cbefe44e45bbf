//! The messages of an async actor, as its event loop sees them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::engine::sys::{self, HandleNumber};
use crate::py::answer;
use crate::py::answer::Called;
use crate::py::future::ActorCell;
use crate::py::interpreter::imports;
use crate::py::message::fault::log_failure;
use crate::py::message::request::{Call, Wants};

/// Unpacks what a message asks for.
type Open = Box<dyn FnOnce(Python<'_>) -> PyResult<Call> + Send>;

/// Where a message's answer goes.
pub(in crate::py) enum Ticket {
    /// To this cell.
    Cell(Arc<ActorCell>, Wants),
    /// To the parent, as that of the message with this number.
    Sequence(u64, Wants),
}

/// A message that has begun.
pub(in crate::py) struct Taken {
    pub(in crate::py) open: Open,
    pub(in crate::py) ticket: Ticket,
}

/// Where an event loop's messages come from, and their answers go.
pub(in crate::py) trait Source: Send + Sync {
    /// Begins the next message. `None` if there is none; from then on the loop is woken for one.
    fn take(&self, py: Python<'_>) -> PyResult<Option<Taken>>;

    /// Whether no more messages come, and then whether the actor may end in its own way.
    fn over(&self) -> Option<bool>;

    /// The actor could not start: `error` was raised in the stage of this name.
    fn fail(&self, py: Python<'_>, error: PyErr, stage: &str) -> PyResult<()>;

    /// Ends a message with what was returned or raised.
    fn end(
        &self,
        py: Python<'_>,
        ticket: Ticket,
        ended: PyResult<Bound<'_, PyAny>>,
    ) -> PyResult<()>;

    /// A message that has begun was lost by a fault of this package.
    fn lose(&self, py: Python<'_>, ticket: Ticket);

    /// How many messages run, and when the oldest began, by `sys::now_nanos`.
    fn show(&self, running: usize, since: u64);

    /// From now on, calls the first when there is something to take, the second to stop what runs, and
    /// the third with the number of a message that is asked to stop.
    fn attach(&self, _py: Python<'_>, _calls: (Py<PyAny>, Py<PyAny>, Py<PyAny>)) {}

    /// The message has this number, and may be asked to stop from now on.
    fn begin(&self, _ticket: &Ticket, _number: u64) {}

    /// The loop ends.
    fn detach(&self) {}

    /// Whether an actor that has no message is of no use to others. Then no more messages come.
    fn is_unneeded(&self, _actor: &Bound<'_, PyAny>) -> bool {
        false
    }

    /// What the loop must wait for until it can be read.
    fn descriptor(&self) -> Option<HandleNumber> {
        None
    }

    /// Reads once from the descriptor, which can be read. Returns the numbers of messages that were
    /// asked to stop; `None` if there will be nothing more to read.
    fn read(&self, _py: Python<'_>) -> PyResult<Option<Vec<u64>>> {
        Ok(None)
    }

    /// Sends the answers that were held back.
    fn flush(&self, _py: Python<'_>) -> PyResult<()> {
        Ok(())
    }
}

/// The messages that run: when each began, by number.
#[derive(Default)]
struct Running(Mutex<BTreeMap<u64, u64>>);

impl Running {
    /// Changes it, and shows what there is now.
    fn change(&self, source: &dyn Source, change: impl FnOnce(&mut BTreeMap<u64, u64>)) {
        let mut since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut since);
        let oldest = since.first_key_value().map_or(0, |(_, since)| *since);
        source.show(since.len(), oldest);
    }
}

/// The core of an async actor, for its event loop.
#[pyclass(frozen, module = "futures_actors._core")]
pub(in crate::py) struct LoopCore {
    name: Arc<str>,
    source: Arc<dyn Source>,
    running: Arc<Running>,
    next: AtomicU64,
}

impl LoopCore {
    pub(in crate::py) fn new(name: &str, source: Arc<dyn Source>) -> Self {
        Self {
            name: name.into(),
            source,
            running: Arc::default(),
            next: AtomicU64::new(0),
        }
    }
}

#[pymethods]
impl LoopCore {
    /// Begin the next message and return it; None if there is none, or none any more.
    fn take(&self, py: Python<'_>) -> PyResult<Option<LoopMessage>> {
        let Some(Taken { open, ticket }) = self.source.take(py)? else {
            return Ok(None);
        };
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let now = sys::now_nanos();
        self.running
            .change(&*self.source, |since| _ = since.insert(number, now));
        self.source.begin(&ticket, number);
        Ok(Some(LoopMessage {
            name: Arc::clone(&self.name),
            source: Arc::clone(&self.source),
            running: Arc::clone(&self.running),
            number,
            open: Mutex::new(Some(open)),
            called: Mutex::new(None),
            ticket: Mutex::new(Some(ticket)),
        }))
    }

    /// Return None while messages may come, and then whether `on_stop` must be called.
    fn over(&self) -> Option<bool> {
        self.source.over()
    }

    /// Fail the actor with what it raised when it started.
    fn fail(&self, py: Python<'_>, error: Bound<'_, PyAny>, stage: &str) -> PyResult<()> {
        self.source.fail(py, PyErr::from_value(error), stage)
    }

    /// Log an exception that goes to no future.
    fn log_failure(&self, py: Python<'_>, what: &str, error: Bound<'_, PyAny>) {
        log_failure(py, &self.name, what, PyErr::from_value(error));
    }

    /// Call `wake` when a message has come, and the others to have messages stop.
    ///
    /// `terminate` stops all that run, and `request` the one whose number it gets.
    fn attach(&self, py: Python<'_>, wake: Py<PyAny>, terminate: Py<PyAny>, request: Py<PyAny>) {
        self.source.attach(py, (wake, terminate, request));
    }

    /// Forget what `attach` was given.
    fn detach(&self) {
        self.source.detach();
    }

    /// Return whether only the actor itself, which has no message, can send it messages.
    fn is_unneeded(&self, actor: &Bound<'_, PyAny>) -> bool {
        self.source.is_unneeded(actor)
    }

    /// Return the descriptor that can be read when something has come; None for a thread.
    fn descriptor(&self) -> Option<HandleNumber> {
        self.source.descriptor()
    }

    /// Read once from the descriptor; return the numbers of messages that were asked to stop.
    ///
    /// Return None if nothing more comes.
    fn read(&self, py: Python<'_>) -> PyResult<Option<Vec<u64>>> {
        self.source.read(py)
    }

    /// Send the answers that were held back.
    fn flush(&self, py: Python<'_>) -> PyResult<()> {
        self.source.flush(py)
    }
}

/// What was called for a message.
enum Kind {
    Handle,
    Function,
    Method(Py<PyString>),
}

/// A message that an event loop has begun.
#[pyclass(frozen, module = "futures_actors._core")]
pub(in crate::py) struct LoopMessage {
    name: Arc<str>,
    source: Arc<dyn Source>,
    running: Arc<Running>,
    number: u64,
    /// Until it is called.
    open: Mutex<Option<Open>>,
    called: Mutex<Option<Kind>>,
    /// Until it ends.
    ticket: Mutex<Option<Ticket>>,
}

fn take<T>(slot: &Mutex<Option<T>>) -> Option<T> {
    slot.lock().unwrap_or_else(PoisonError::into_inner).take()
}

impl LoopMessage {
    fn end(&self, py: Python<'_>, ended: PyResult<Bound<'_, PyAny>>) -> PyResult<()> {
        let Some(ticket) = take(&self.ticket) else {
            return Ok(());
        };
        self.running
            .change(&*self.source, |since| _ = since.remove(&self.number));
        self.source.end(py, ticket, ended)
    }

    fn was(&self, kind: Kind) {
        *self.called.lock().unwrap_or_else(PoisonError::into_inner) = Some(kind);
    }
}

#[pymethods]
impl LoopMessage {
    /// Call what the message asks for, and return what that returns: it may be a coroutine.
    fn call<'py>(&self, actor: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = actor.py();
        let Some(open) = take(&self.open) else {
            return Ok(py.None().into_bound(py));
        };
        match open(py)? {
            Call::Handle(object) => {
                self.was(Kind::Handle);
                actor.call_method1(intern!(py, "handle"), (object.into_bound(py),))
            }
            Call::Function(function, args, kwargs) => {
                self.was(Kind::Function);
                let kwargs = kwargs.map(|kwargs| kwargs.into_bound(py));
                let function = function.into_bound(py);
                function.call(args.into_bound(py), kwargs.as_ref())
            }
            Call::Method(method, args, kwargs) => {
                self.was(Kind::Method(method.clone_ref(py)));
                let kwargs = kwargs.map(|kwargs| kwargs.into_bound(py));
                actor.call_method(method.bind(py), args.into_bound(py), kwargs.as_ref())
            }
        }
    }

    /// The number by which it is asked to stop.
    #[getter]
    fn number(&self) -> u64 {
        self.number
    }

    /// Return whether `call` has been called.
    fn has_been_called(&self) -> bool {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.is_none()
    }

    /// End the message with its answer.
    fn finish(&self, py: Python<'_>, answer: Bound<'_, PyAny>) -> PyResult<()> {
        let checked = match take(&self.called) {
            Some(Kind::Function) => answer::check(&self.name, &Called::Function, answer),
            Some(Kind::Method(name)) => {
                answer::check(&self.name, &Called::Method(name.bind(py)), answer)
            }
            Some(Kind::Handle) | None => answer::check(&self.name, &Called::Handle, answer),
        };
        self.end(py, checked)
    }

    /// End the message with an exception.
    fn fail(&self, py: Python<'_>, error: Bound<'_, PyAny>) -> PyResult<()> {
        self.end(py, Err(PyErr::from_value(error)))
    }
}

impl Drop for LoopMessage {
    fn drop(&mut self) {
        if let Some(ticket) = take(&self.ticket) {
            self.running
                .change(&*self.source, |since| _ = since.remove(&self.number));
            Python::attach(|py| self.source.lose(py, ticket));
        }
    }
}

/// What a stream of an async actor ends with.
pub(in crate::py) fn no_streams() -> PyErr {
    PyTypeError::new_err(
        "an async actor cannot stream yet: send the message by post(), or stream from an actor whose \
         handle and methods are plain ones",
    )
}

/// Runs the event loop of an async actor in this thread until the actor has ended. `construct` makes
/// its object.
pub(in crate::py) fn run(
    py: Python<'_>,
    name: &str,
    source: Arc<dyn Source>,
    construct: &Bound<'_, PyAny>,
    max_concurrency: usize,
    loop_factory: Option<Bound<'_, PyAny>>,
) -> PyResult<()> {
    let core = LoopCore::new(name, source);
    imports::run_event_loop(py)?
        .call1((core, construct, name, max_concurrency, loop_factory))
        .map(drop)
}
