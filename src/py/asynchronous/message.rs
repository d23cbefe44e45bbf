//! The messages of an async actor, as its event loop sees them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::source::{Calls, Open, Outlet, Source, Ticket};
use super::waits::{self, LoopWait};
use crate::engine::stream::Space;
use crate::engine::sys::{self, HandleNumber};
use crate::engine::waits::How;
use crate::py::answer;
use crate::py::answer::Called;
use crate::py::current;
use crate::py::current::Running as Current;
use crate::py::future::FutureCore;
use crate::py::interpreter::imports;
use crate::py::message::fault::log_failure;
use crate::py::message::request::Call;
use crate::py::stream;
use crate::py::stream::run::Ended;

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
    /// When a message was begun last. Relaxed: it is for the loop's thread.
    last_begun: AtomicU64,
}

impl LoopCore {
    pub(in crate::py) fn new(name: &str, source: Arc<dyn Source>) -> Self {
        Self {
            name: name.into(),
            source,
            running: Arc::default(),
            next: AtomicU64::new(0),
            last_begun: AtomicU64::new(0),
        }
    }
}

#[pymethods]
impl LoopCore {
    /// Begin the next message and return it; None if there is none, or none any more.
    fn take(&self, py: Python<'_>) -> PyResult<Option<LoopMessage>> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let Some(taken) = self.source.take(py, number)? else {
            return Ok(None);
        };
        let now = sys::now_nanos();
        self.last_begun.store(now, Ordering::Relaxed);
        self.running
            .change(&*self.source, |since| _ = since.insert(number, now));
        Ok(Some(LoopMessage {
            name: Arc::clone(&self.name),
            source: Arc::clone(&self.source),
            running: Arc::clone(&self.running),
            number,
            open: Mutex::new(Some(taken.open)),
            is_in_call: AtomicBool::new(false),
            called: Mutex::new(None),
            ticket: Mutex::new(Some(taken.ticket)),
            current: Mutex::new(Some(taken.current)),
            is_stream: taken.outlet.is_some(),
            outlet: Mutex::new(taken.outlet.map(Arc::from)),
        }))
    }

    /// Return whether a message has begun in the last so many seconds.
    fn has_begun_within(&self, seconds: f64) -> bool {
        let last = self.last_begun.load(Ordering::Relaxed);
        let ago = Duration::from_nanos(sys::now_nanos().saturating_sub(last));
        ago.as_secs_f64() < seconds
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

    /// Call `stop` when all that runs must stop, from now on.
    fn begin(&self, py: Python<'_>, stop: Py<PyAny>) {
        self.source.begin(py, stop);
    }

    /// Call `wake` when a message has come.
    ///
    /// `look` is called with the number of a message that is asked to stop, or whose stream has
    /// room for an item.
    fn attach(&self, py: Python<'_>, wake: Py<PyAny>, look: Py<PyAny>) -> PyResult<()> {
        self.source.attach(py, Calls { wake, look })
    }

    /// Forget what `begin` and `attach` were given.
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

    /// Read once from the descriptor; return the numbers of messages to look at.
    ///
    /// Return None if nothing more comes.
    fn read(&self, py: Python<'_>) -> PyResult<Option<Vec<u64>>> {
        self.source.read(py)
    }

    /// Enter that so many messages have nothing to do until one of `futures` is done.
    ///
    /// `is_blocked`: nor has the loop, because they take every place. Return None if it cannot be
    /// known whether these may all never end.
    fn wait(
        &self,
        py: Python<'_>,
        futures: Vec<Bound<'_, FutureCore>>,
        messages: usize,
        is_blocked: bool,
    ) -> PyResult<Option<LoopWait>> {
        let how = if is_blocked {
            How::Blocked(messages)
        } else {
            How::Beside(messages)
        };
        waits::begin(py, &*self.source, how, &futures)
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
    /// Relaxed: it is for the handler of a signal, which runs in the same thread.
    is_in_call: AtomicBool,
    called: Mutex<Option<Kind>>,
    /// Until it ends.
    ticket: Mutex<Option<Ticket>>,
    /// Until it ends: a traceback may refer to this, and must not keep the future alive by that.
    current: Mutex<Option<Current>>,
    is_stream: bool,
    /// If it is a stream, until it ends, as `current`.
    outlet: Mutex<Option<Arc<dyn Outlet>>>,
}

fn take<T>(slot: &Mutex<Option<T>>) -> Option<T> {
    slot.lock().unwrap_or_else(PoisonError::into_inner).take()
}

impl LoopMessage {
    fn end(&self, py: Python<'_>, ended: Ended<'_>) -> PyResult<()> {
        let Some(ticket) = take(&self.ticket) else {
            return Ok(());
        };
        if let Some(current) = take(&self.current) {
            current.end();
        }
        self.running
            .change(&*self.source, |since| _ = since.remove(&self.number));
        let outlet = take(&self.outlet);
        let told = self.source.end(py, ticket, ended);
        drop(outlet);
        told
    }

    fn outlet(&self) -> Option<Arc<dyn Outlet>> {
        let outlet = self.outlet.lock();
        outlet.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn was(&self, kind: Kind) {
        *self.called.lock().unwrap_or_else(PoisonError::into_inner) = Some(kind);
    }

    /// Has `check` look at what was called, and at what that has answered.
    fn checked<'py>(
        &self,
        answer: Bound<'py, PyAny>,
        check: impl FnOnce(&Called<'_, 'py>, Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = answer.py();
        match take(&self.called) {
            Some(Kind::Function) => check(&Called::Function, answer),
            Some(Kind::Method(name)) => check(&Called::Method(name.bind(py)), answer),
            Some(Kind::Handle) | None => check(&Called::Handle, answer),
        }
    }
}

impl LoopMessage {
    fn call_now<'py>(&self, actor: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = actor.py();
        let Some(open) = take(&self.open) else {
            return Ok(py.None().into_bound(py));
        };
        let current = self.current.lock();
        let current = current.unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(current) = current {
            current::enter(py, current)?;
        }
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
}

#[pymethods]
impl LoopMessage {
    /// Call what the message asks for, and return what that returns: it may be a coroutine.
    fn call<'py>(&self, actor: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.is_in_call.store(true, Ordering::Relaxed);
        let called = self.call_now(actor);
        self.is_in_call.store(false, Ordering::Relaxed);
        called
    }

    /// Whether `call` runs at this moment.
    #[getter]
    fn is_in_call(&self) -> bool {
        self.is_in_call.load(Ordering::Relaxed)
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

    /// Whether its items are wanted, and not an answer.
    #[getter]
    fn is_stream(&self) -> bool {
        self.is_stream
    }

    /// Return an answer whose items are wanted, or raise a `TypeError` if it has none.
    fn check_stream<'py>(&self, answer: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        if answer.hasattr(intern!(answer.py(), "__anext__"))? {
            return Ok(answer);
        }
        self.checked(answer, |called, answer| {
            stream::run::check(&self.name, called, answer).map(Bound::into_any)
        })
    }

    /// Return whether there is room for another item, or None if no more items are wanted.
    ///
    /// If there is no room, the loop is told to look at this message when there may be some.
    fn has_room(&self, py: Python<'_>) -> PyResult<Option<bool>> {
        let Some(outlet) = self.outlet() else {
            return Ok(None);
        };
        Ok(match outlet.space(py)? {
            Space::Free => Some(true),
            Space::Full => Some(false),
            Space::Closed => None,
        })
    }

    /// Hand on an item of the stream. An exception says that it cannot be sent.
    fn put(&self, item: Bound<'_, PyAny>) -> PyResult<()> {
        match self.outlet() {
            Some(outlet) => outlet.put(item),
            None => Ok(()),
        }
    }

    /// End the message with its answer.
    fn finish(&self, py: Python<'_>, answer: Bound<'_, PyAny>) -> PyResult<()> {
        let checked = self.checked(answer, |called, answer| {
            answer::check(&self.name, called, answer)
        });
        self.end(py, Ended::By(checked))
    }

    /// End the stream with what its generator has returned.
    fn finish_stream(&self, py: Python<'_>, value: Bound<'_, PyAny>) -> PyResult<()> {
        self.end(py, Ended::By(Ok(value)))
    }

    /// End the message with an exception.
    fn fail(&self, py: Python<'_>, error: Bound<'_, PyAny>) -> PyResult<()> {
        self.end(py, Ended::By(Err(PyErr::from_value(error))))
    }

    /// End the stream, which was closed.
    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        self.end(py, Ended::Closed)
    }

    /// Log that a generator ignores `GeneratorExit`, and make sure that it never goes on.
    fn give_up(&self, generator: Bound<'_, PyAny>) {
        stream::run::give_up(&self.name, generator);
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
