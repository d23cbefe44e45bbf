//! Runs a future's callbacks, before the threads that wait for the future go on. No lock is held
//! while a callback runs.

use std::cell::Cell;
use std::time::{Duration, Instant};

use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::core::{ActorCell, FutureCore, Watch};
use crate::py::interpreter::daemon_threads::{outlasting, outlasting_method};
use crate::py::interpreter::imports;
use crate::py::interpreter::wait::{Attached, keep, wait_for};

/// How long a thread that waits in `result()` lets callbacks run before it goes on: as long as a
/// thread may keep the GIL.
const HEAD_START: Duration = Duration::from_millis(5);

/// What runs the callbacks. This decides where a raised `BaseException` goes that is no `Exception`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Runner {
    /// A caller of the future's methods, which gets the exception.
    Caller,
    Engine,
}

/// Serves the watch of a cell that has just ended: runs the callbacks.
pub(super) fn serve(
    py: Python<'_>,
    cell: &ActorCell,
    future: Option<&Bound<'_, FutureCore>>,
    watch: Option<Box<Watch>>,
    runner: Runner,
) -> PyResult<()> {
    let Some(watch) = watch else {
        return Ok(());
    };
    let Watch {
        future: kept,
        callbacks,
    } = *watch;
    let kept = kept.map(|kept| kept.into_bound(py));
    let _serving = Serving::begin(cell);
    if TRACES.get()
        && let Err(error) = imports::trace_thread(py).and_then(PyAnyMethods::call0)
    {
        error.write_unraisable(py, None);
    }
    match future.or(kept.as_ref()) {
        Some(future) => run_callbacks(future, callbacks, runner),
        None => Ok(()),
    }
}

thread_local! {
    static TRACES: Cell<bool> = const { Cell::new(false) };
}

/// From now on `threading.settrace` and `setprofile` also apply to callbacks that this thread runs,
/// as they do in the threads of a pool. It is for a thread of an engine, whose Python thread state,
/// with its hooks, lives only while the thread is attached.
pub(in crate::py) fn trace_here() {
    TRACES.set(true);
}

/// While it lives, this thread runs the callbacks of a cell. Dropping it wakes the threads that wait
/// for that.
struct Serving<'a>(&'a ActorCell);

thread_local! {
    static SERVING: Cell<usize> = const { Cell::new(0) };
}

impl<'a> Serving<'a> {
    fn begin(cell: &'a ActorCell) -> Self {
        SERVING.set(SERVING.get() + 1);
        Self(cell)
    }
}

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        SERVING.set(SERVING.get() - 1);
        self.0.served().set();
    }
}

/// Whether this thread runs callbacks at this moment.
pub(in crate::py) fn run_here() -> bool {
    SERVING.get() > 0
}

/// Calls all callbacks. An `Exception` that one raises is logged. Of other exceptions, the first is
/// raised in the caller that made the callbacks run. An engine has no such caller: there it is
/// logged too, unless the thread waits for an answer and can raise it afterwards.
pub(super) fn run_callbacks(
    future: &Bound<'_, FutureCore>,
    callbacks: Vec<Py<PyAny>>,
    runner: Runner,
) -> PyResult<()> {
    let py = future.py();
    if callbacks.is_empty() {
        return Ok(());
    }
    // Opened before the callbacks run: otherwise the time it takes would count as theirs.
    let mut raised = future.get().opened(py).map(drop);
    let mut attached = (callbacks.len() > 1).then(Attached::begin);
    for callback in callbacks {
        if let Some(attached) = &mut attached {
            attached.give_way(py);
        }
        let Err(error) = outlasting(callback.bind(py), (future,), None) else {
            continue;
        };
        let to_log = if error.is_instance_of::<PyException>(py) {
            Some(error)
        } else if runner == Runner::Caller {
            raised = raised.and(Err(error));
            None
        } else {
            keep(error)
        };
        if let Some(error) = to_log {
            raised = raised.and(log(future, error));
        }
    }
    raised
}

fn log(future: &Bound<'_, FutureCore>, error: PyErr) -> PyResult<()> {
    let py = future.py();
    let kwargs = PyDict::new(py);
    kwargs.set_item("exc_info", error.into_value(py))?;
    let text = intern!(py, "exception calling callback for %r");
    let (logger, error) = (imports::futures_logger(py)?, intern!(py, "error"));
    outlasting_method(logger, error, (text, future), Some(&kwargs)).map(drop)
}

/// Lets the callbacks of a cell that is done run before this thread goes on, but only for as long
/// as a thread may keep the GIL (with or without a GIL), because callbacks may block, or wait for
/// this very thread. A thread that runs callbacks itself does not wait: it may ask for the result of
/// the same future.
pub(super) fn let_callbacks_go_first(
    py: Python<'_>,
    cell: &ActorCell,
    deadline: Option<Instant>,
) -> PyResult<()> {
    if !run_here() && !cell.served().is_set() {
        let last = Instant::now() + HEAD_START;
        let last = deadline.map_or(last, |deadline| deadline.min(last));
        wait_for(py, cell.served(), Some(last))?;
    }
    Ok(())
}
