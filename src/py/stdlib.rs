//! What the standard library reaches for inside a future: its condition, its waiters, the names of
//! its states. Made when something asks; a future that nobody looks into has none of it.

use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::future::FutureCore;
use super::imports;
use crate::engine::cell::Phase;

/// What `concurrent.futures.wait` and `as_completed` reach for.
pub(super) struct Stdlib {
    pub(super) condition: Py<PyAny>,
    pub(super) waiters: Py<PyList>,
}

impl Stdlib {
    pub(super) fn new(py: Python<'_>) -> PyResult<Self> {
        Ok(Self {
            condition: imports::condition(py)?.call0()?.unbind(),
            waiters: PyList::empty(py).unbind(),
        })
    }

    /// Runs `body` holding the condition. Waiting for it lets other threads run.
    pub(super) fn hold<T>(
        &self,
        py: Python<'_>,
        body: impl FnOnce() -> PyResult<T>,
    ) -> PyResult<T> {
        let condition = self.condition.bind(py);
        condition.call_method0(intern!(py, "acquire"))?;
        let result = body();
        condition.call_method0(intern!(py, "release"))?;
        result
    }

    /// Wakes who waits for the condition. The caller holds it.
    pub(super) fn notify(&self, py: Python<'_>) -> PyResult<()> {
        self.condition.call_method0(py, intern!(py, "notify_all"))?;
        Ok(())
    }

    /// Tells the waiters by their method `event` that the future is done, and wakes who waits for
    /// the condition. The caller holds it.
    pub(super) fn tell_waiters(&self, future: &Bound<'_, FutureCore>, event: &str) -> PyResult<()> {
        let py = future.py();
        for waiter in self.waiters.bind(py) {
            waiter.call_method1(event, (future,))?;
        }
        self.notify(py)
    }
}

pub(super) fn state_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Pending => "PENDING",
        Phase::Running => "RUNNING",
        Phase::Cancelled => "CANCELLED",
        Phase::Notified => "CANCELLED_AND_NOTIFIED",
        Phase::Finished => "FINISHED",
    }
}

pub(super) fn phase_named(state: &str) -> PyResult<Phase> {
    Ok(match state {
        "PENDING" => Phase::Pending,
        "RUNNING" => Phase::Running,
        "CANCELLED" => Phase::Cancelled,
        "CANCELLED_AND_NOTIFIED" => Phase::Notified,
        "FINISHED" => Phase::Finished,
        _ => {
            return Err(PyValueError::new_err(format!(
                "no state of a future: {state:?}"
            )));
        }
    })
}
