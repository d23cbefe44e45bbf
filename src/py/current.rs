//! What runs in this thread: the message that `current_message()` returns.
//!
//! The thread of an actor says so when a message begins and when it ends. That takes no lock and
//! counts no references, so an actor that never asks pays a few nanoseconds.

use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::sync::Arc;

use once_cell::sync::OnceCell;
use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use super::future::ActorCell;
use super::interpreter::imports;
use super::message::items::Items;
use crate::engine::ipc::region::Region;

/// A message that runs.
#[derive(Clone)]
pub(super) enum Running {
    /// In a thread of this process.
    Here(Arc<ActorCell>),
    /// In this process, which is a child. Its future is in the parent.
    InChild(Claimed),
    /// In this process, which another system has started. Its future is elsewhere; to call this says
    /// whether it was asked to stop.
    Remote(Arc<Py<PyAny>>),
}

impl Running {
    fn was_asked(&self, py: Python<'_>) -> PyResult<bool> {
        match self {
            Self::Here(cell) => Ok(cell.was_asked()),
            Self::InChild(claimed) => Ok(claimed.was_asked()),
            Self::Remote(was_asked) => was_asked.bind(py).call0()?.is_truthy(),
        }
    }

    /// The message has ended. Call it before the answer is sent.
    pub(super) fn end(&self) {
        if let Self::InChild(claimed) = self {
            claimed.end();
        }
    }
}

/// A message that a child has claimed.
#[derive(Clone)]
pub(super) struct Claimed {
    region: Arc<Region>,
    sequence: u64,
    /// Set when it has ended: whether it was asked to stop. From then on its claim word may be used
    /// for another message. There only if the handler has asked for the message.
    ended: Option<Arc<OnceCell<bool>>>,
}

impl Claimed {
    pub(super) fn new(region: &Arc<Region>, sequence: u64) -> Self {
        Self {
            region: Arc::clone(region),
            sequence,
            ended: None,
        }
    }

    /// Like `new`, for a message that others may ask for after it has ended.
    pub(super) fn shared(region: &Arc<Region>, sequence: u64) -> Self {
        Self {
            ended: Some(Arc::default()),
            ..Self::new(region, sequence)
        }
    }

    fn was_asked(&self) -> bool {
        let ended = self.ended.as_ref().and_then(|ended| ended.get());
        match ended {
            Some(was_asked) => *was_asked,
            None => self.region.claims().was_asked(self.sequence),
        }
    }

    fn end(&self) {
        if let Some(ended) = &self.ended {
            // Only this thread sets it, and once.
            _ = ended.set(self.region.claims().was_asked(self.sequence));
        }
    }
}

thread_local! {
    /// Each message that begins ends, so nothing is left to be dropped when the thread ends. Otherwise
    /// each access would have to look whether it has.
    static RUNNING: Cell<Option<ManuallyDrop<Running>>> = const { Cell::new(None) };
}

/// A message begins in this thread.
#[inline]
pub(super) fn begin(message: Running) {
    RUNNING.set(Some(ManuallyDrop::new(message)));
}

/// The stream that begins in this thread has its items there: they are closed when it is asked to stop.
pub(super) fn close_on_request(items: &Arc<Items>) {
    let running = RUNNING.take();
    if let Some(Running::Here(cell)) = running.as_deref() {
        let items = Arc::downgrade(items);
        cell.on_request(move || {
            if let Some(items) = items.upgrade() {
                Python::attach(|_| drop(items.close()));
            }
        });
    }
    RUNNING.set(running);
}

/// The message of this thread has ended. Returns it; `None` if there was none.
#[inline]
pub(super) fn end() -> Option<Running> {
    let running = RUNNING.take().map(ManuallyDrop::into_inner);
    if let Some(running) = &running {
        running.end();
    }
    running
}

/// The message of the context that runs, where an event loop runs several.
static IN_CONTEXT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// A message begins in the context that runs: `current_message()` returns it there, and in copies of the
/// context.
pub(super) fn enter(py: Python<'_>, message: Running) -> PyResult<()> {
    let make = || imports::context_var(py)?.call1(("futures_actors.current_message",));
    let variable = IN_CONTEXT.get_or_try_init(py, || make().map(Bound::unbind))?;
    let message = CurrentMessage(message);
    variable
        .call_method1(py, intern!(py, "set"), (message,))
        .map(drop)
}

/// Have `current_message()` return a message in this context, for a remote actor.
///
/// To call `was_asked` says whether the message was asked to stop.
#[pyfunction]
pub(super) fn enter_message(was_asked: Bound<'_, PyAny>) -> PyResult<()> {
    let py = was_asked.py();
    enter(py, Running::Remote(Arc::new(was_asked.unbind())))
}

/// End the message of this context, for a remote actor.
#[pyfunction]
pub(super) fn leave_message(py: Python<'_>) -> PyResult<()> {
    let none = py.None();
    match IN_CONTEXT.get(py) {
        Some(variable) => variable
            .call_method1(py, intern!(py, "set"), (none,))
            .map(drop),
        None => Ok(()),
    }
}

/// The message of the context that runs.
fn in_context(py: Python<'_>) -> PyResult<Option<Bound<'_, PyAny>>> {
    let Some(variable) = IN_CONTEXT.get(py) else {
        return Ok(None);
    };
    let none = py.None();
    let message = variable
        .bind(py)
        .call_method1(intern!(py, "get"), (none,))?;
    Ok((!message.is_none()).then_some(message))
}

/// Return the message that this thread handles.
///
/// It works in `handle`, in methods that a proxy calls, and in functions given to `submit`. In an
/// async actor it also works in tasks that they make, and in `asyncio.to_thread`. Elsewhere it
/// raises `RuntimeError`.
#[pyfunction]
pub(super) fn current_message(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let mut running = RUNNING.take();
    if let Some(Running::InChild(claimed)) = running.as_deref_mut() {
        claimed.ended.get_or_insert_default();
    }
    let message = running.as_deref().cloned().map(CurrentMessage);
    RUNNING.set(running);
    let message = match message {
        Some(message) => Some(Bound::new(py, message)?.into_any()),
        None => in_context(py)?,
    };
    message.ok_or_else(|| {
        PyRuntimeError::new_err(
            "no message is being handled in this thread: call current_message() inside handle, and \
             hand what it returns to other threads",
        )
    })
}

/// The message that an actor handles, as its handler sees it. `current_message()` returns it.
///
/// It may be handed to other threads of the actor's process.
#[pyclass(frozen, module = "futures_actors")]
pub(super) struct CurrentMessage(Running);

#[pymethods]
impl CurrentMessage {
    /// Whether `request_cancel()` was called on the message's future since the message began.
    #[getter]
    fn cancel_requested(&self, py: Python<'_>) -> PyResult<bool> {
        self.0.was_asked(py)
    }

    /// Raise `concurrent.futures.CancelledError` if the message was asked to stop.
    ///
    /// If that leaves the handler, the message's future is cancelled.
    fn check_cancelled(&self, py: Python<'_>) -> PyResult<()> {
        if !self.0.was_asked(py)? {
            return Ok(());
        }
        let error = imports::cancelled_error(py)?.clone();
        Err(PyErr::from_type(
            error,
            ("the message was asked to stop, by request_cancel()",),
        ))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<&'static str> {
        Ok(if self.0.was_asked(py)? {
            "<the current message, asked to stop>"
        } else {
            "<the current message>"
        })
    }
}

/// Whether a handler raises `error` to say that it has stopped as it was asked to: the
/// `CancelledError` of `concurrent.futures` or of `asyncio`. It imports neither, since an exception of
/// a module that is not loaded cannot have been raised.
pub(super) fn is_cancellation(py: Python<'_>, error: &PyErr) -> bool {
    let names = [
        intern!(py, "concurrent.futures._base"),
        intern!(py, "asyncio.exceptions"),
    ];
    names.into_iter().any(|name| {
        let module = imports::modules(py).and_then(|modules| modules.get_item(name));
        // Another thread may be importing it.
        let class = module.ok().flatten().and_then(|module| {
            let class = module.getattr_opt(intern!(py, "CancelledError"));
            class.ok().flatten()
        });
        class.is_some_and(|class| error.is_instance(py, &class))
    })
}
