//! What the standard library accesses inside a future: its condition, its waiters, the names of its
//! states. The condition and the waiters are made when they are first asked for; most futures have
//! none.

use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString, PyTuple};

use crate::engine::cell::Phase;
use crate::py::interpreter::daemon_threads::{outlasting, outlasting_method};
use crate::py::interpreter::imports;

/// The longest wait: Python's locks refuse a timeout that is much longer.
const MOST_SECONDS: f64 = 1e6;

/// What `concurrent.futures.wait` and `as_completed` access.
pub(super) struct Condition {
    pub(super) object: Py<PyAny>,
    pub(super) waiters: Py<PyList>,
}

impl Condition {
    pub(super) fn new(py: Python<'_>) -> PyResult<Self> {
        Ok(Self {
            object: outlasting(imports::condition(py)?, (), None)?.unbind(),
            waiters: PyList::empty(py).unbind(),
        })
    }

    /// Runs `body` holding the condition. Acquiring it lets other threads run, and on the main thread
    /// signal handlers. If a handler raises, that is returned, and `body` does not run.
    pub(super) fn hold<T>(
        &self,
        py: Python<'_>,
        body: impl FnOnce() -> PyResult<T>,
    ) -> PyResult<T> {
        self.acquire(py)?;
        let result = body();
        self.release(py)?;
        result
    }

    /// Like `hold`, but `body` runs even if a signal handler raises. What was raised is returned
    /// beside the result.
    pub(super) fn hold_surely<T>(
        &self,
        py: Python<'_>,
        body: impl FnOnce() -> T,
    ) -> (T, PyResult<()>) {
        // Each failure is a signal. After this many the condition itself must be broken, and threads
        // that wait for it cannot be helped.
        const TRIES: u32 = 1000;
        let (mut is_held, mut raised) = (false, Ok(()));
        for _ in 0..TRIES {
            let acquired = self.acquire(py);
            is_held = acquired.is_ok();
            raised = raised.and(acquired);
            if is_held {
                break;
            }
        }
        let result = body();
        if is_held {
            raised = raised.and(self.release(py));
        }
        (result, raised)
    }

    fn call<'py>(
        &self,
        method: &Bound<'py, PyString>,
        args: impl IntoPyObject<'py, Target = PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        outlasting_method(self.object.bind(method.py()), method, args, None)
    }

    fn acquire(&self, py: Python<'_>) -> PyResult<()> {
        self.call(intern!(py, "acquire"), ()).map(drop)
    }

    fn release(&self, py: Python<'_>) -> PyResult<()> {
        self.call(intern!(py, "release"), ()).map(drop)
    }

    /// Whether the calling thread holds it.
    pub(super) fn is_own(&self, py: Python<'_>) -> PyResult<bool> {
        self.call(intern!(py, "_is_owned"), ())?.extract()
    }

    /// For a thread that holds it, once or several times: releases it until it is notified or
    /// `timeout` has passed. An error is what a signal handler raised.
    pub(super) fn wait(&self, py: Python<'_>, timeout: Option<Duration>) -> PyResult<()> {
        let seconds = timeout.map(|timeout| timeout.as_secs_f64().min(MOST_SECONDS));
        self.call(intern!(py, "wait"), (seconds,)).map(drop)
    }

    /// Wakes the threads that wait for the condition. The caller holds it.
    pub(super) fn notify(&self, py: Python<'_>) -> PyResult<()> {
        self.call(intern!(py, "notify_all"), ()).map(drop)
    }

    /// Calls the method `event` of each waiter, because the future is done, and wakes the threads
    /// that wait for the condition. The caller holds it. If one waiter raises, the others are called
    /// all the same.
    pub(super) fn tell_waiters(&self, future: &Bound<'_, PyAny>, event: &str) -> PyResult<()> {
        let py = future.py();
        let mut told = Ok(());
        for waiter in self.waiters.bind(py) {
            let one = waiter
                .getattr(event)
                .and_then(|tell| outlasting(&tell, (future,), None));
            told = told.and(one.map(drop));
        }
        told.and(self.notify(py))
    }
}

pub(super) fn state_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Pending => "PENDING",
        Phase::Running => "RUNNING",
        Phase::Cancelled => "CANCELLED",
        Phase::Notified | Phase::Stopped => "CANCELLED_AND_NOTIFIED",
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
                "not a state of a future: {state:?}"
            )));
        }
    })
}
