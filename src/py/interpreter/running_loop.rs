//! Whether an event loop runs in the calling thread, which must not block then.

use pyo3::intern;
use pyo3::prelude::*;

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

/// Return whether an event loop of asyncio runs in this thread.
#[pyfunction]
pub(in crate::py) fn runs_event_loop(py: Python<'_>) -> PyResult<bool> {
    Ok(running_loop(py)?.is_some())
}
