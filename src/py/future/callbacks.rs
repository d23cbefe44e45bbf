//! A future's callbacks: who runs them, and that they go ahead of the threads that wait for the
//! future. They are called holding no lock.

use std::cell::Cell;
use std::time::{Duration, Instant};

use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::core::{ActorCell, FutureCore, Watch};
use crate::py::interpreter::imports;
use crate::py::interpreter::main_only::outlasting;
use crate::py::interpreter::wait::{Attached, keep, wait_for};

/// How long callbacks may take before the thread that waits in `result()` goes on without them:
/// as long as a thread may keep the GIL.
const HEAD_START: Duration = Duration::from_millis(5);

/// Who runs the callbacks, which decides where an exception that is no `Exception` goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Runner {
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

/// Has `threading.settrace` and `setprofile` hold for the callbacks that this thread runs, as they
/// do in the thread of a pool that runs callbacks. It is for an engine's thread whose Python thread
/// state lives only as long as it is attached, and the hooks with that.
pub(in crate::py) fn trace_here() {
    TRACES.set(true);
}

/// While it lives this thread runs the callbacks of a cell; its end lets go whoever waits for that.
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

/// Calls all of them. An `Exception` of a callback is logged; what else it raises goes to whoever
/// made the callback run, the first of several. An engine has nobody to give it to, unless it is a
/// thread that waits for an answer.
pub(super) fn run_callbacks(
    future: &Bound<'_, FutureCore>,
    callbacks: Vec<Py<PyAny>>,
    runner: Runner,
) -> PyResult<()> {
    let py = future.py();
    if callbacks.is_empty() {
        return Ok(());
    }
    // Opened here, so that no callback can be blamed for the time it takes.
    let mut raised = future.get().opened(py).map(drop);
    let mut attached = (callbacks.len() > 1).then(Attached::begin);
    for callback in callbacks {
        if let Some(attached) = &mut attached {
            attached.give_way(py);
        }
        let Err(error) = outlasting(|| callback.call1(py, (future,))) else {
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
    imports::futures_logger(py)?.call_method("error", (text, future), Some(&kwargs))?;
    Ok(())
}

/// Lets the callbacks of a cell that is done run before this thread goes on: for as long as
/// they would have if the thread that runs them had the GIL, whether or not it has one. They
/// may block, and wait for this very thread. A thread that runs callbacks itself does not wait:
/// it may be its own future that it asks.
pub(super) fn let_callbacks_go_first(
    py: Python<'_>,
    cell: &ActorCell,
    deadline: Option<Instant>,
) -> PyResult<()> {
    if SERVING.get() == 0 && !cell.served().is_set() {
        let last = Instant::now() + HEAD_START;
        let last = deadline.map_or(last, |deadline| deadline.min(last));
        wait_for(py, cell.served(), Some(last))?;
    }
    Ok(())
}
