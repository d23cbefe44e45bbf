//! Whether an event loop runs in the calling thread, which must not block then.

use std::time::Instant;

use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyCFunction;

use super::daemon_threads::outlasting_method;
use super::imports;

/// The event loop that runs in the calling thread.
pub(in crate::py) fn running_loop(py: Python<'_>) -> PyResult<Option<Bound<'_, PyAny>>> {
    // A program that has not imported it runs none.
    if !imports::modules(py)?.contains(intern!(py, "asyncio.events"))? {
        return Ok(None);
    }
    let running = imports::running_loop(py)?.call0()?;
    Ok((!running.is_none()).then_some(running))
}

/// Has an event loop, which runs in the calling thread, call `f` at `at`.
pub(in crate::py) fn call_at(
    running: &Bound<'_, PyAny>,
    at: Instant,
    f: impl Fn(Python<'_>) -> PyResult<()> + Send + Sync + 'static,
) -> PyResult<()> {
    let py = running.py();
    let f = PyCFunction::new_closure(py, None, None, move |args, _| f(args.py()))?;
    let seconds = at.saturating_duration_since(Instant::now());
    let args = (seconds.as_secs_f64(), f);
    outlasting_method(running, intern!(py, "call_later"), args, None).map(drop)
}

/// Return whether an event loop of asyncio runs in this thread.
#[pyfunction]
pub(in crate::py) fn runs_event_loop(py: Python<'_>) -> PyResult<bool> {
    Ok(running_loop(py)?.is_some())
}

/// Return the event loop that runs in the calling thread, which what is awaited needs.
///
/// Raises `RuntimeError` if there is none, for example under trio.
#[pyfunction]
pub(in crate::py) fn need_event_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    running_loop(py)?.ok_or_else(|| {
        PyRuntimeError::new_err(
            "no asyncio event loop runs in this thread, and awaiting an actor needs one: elsewhere, as \
             under trio, wait in another thread, for example by `await \
             trio.to_thread.run_sync(future.result)`",
        )
    })
}
