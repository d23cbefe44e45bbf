//! The core of an async actor, as its event loop sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pyo3::prelude::*;

use super::message::{LoopMessage, Running};
use super::source::{Calls, Source};
use super::waits::{self, LoopWait};
use crate::engine::sys::{self, HandleNumber};
use crate::engine::waits::How;
use crate::py::future::FutureCore;
use crate::py::interpreter::imports;
use crate::py::message::fault::log_failure;

/// How long messages may be handled, one after the other, before other callbacks of the loop have their
/// turn.
const TURN_NANOS: u64 = 250_000;

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

    fn begin_next(&self, py: Python<'_>) -> PyResult<Option<LoopMessage>> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let Some(taken) = self.source.take(py, number)? else {
            return Ok(None);
        };
        let now = sys::now_nanos();
        self.last_begun.store(now, Ordering::Relaxed);
        let (name, source) = (&self.name, &self.source);
        let message = LoopMessage::new(name, source, &self.running, number, now, taken);
        Ok(Some(message))
    }
}

#[pymethods]
impl LoopCore {
    /// Begin the next message and return it; None if there is none, or none any more.
    fn take(&self, py: Python<'_>) -> PyResult<Option<LoopMessage>> {
        self.begin_next(py)
    }

    /// Begin the next message, unless it is time for other callbacks of the loop.
    ///
    /// `first`: the message with which the loop came to these.
    fn take_next(&self, py: Python<'_>, first: &LoopMessage) -> PyResult<Option<LoopMessage>> {
        if sys::now_nanos() - first.begun() > TURN_NANOS {
            return Ok(None);
        }
        self.begin_next(py)
    }

    /// Return whether another message is there, or likely to come in a moment.
    fn expects_more(&self) -> bool {
        self.source.expects_more()
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
