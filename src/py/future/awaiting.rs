//! Awaiting a future in a handler of an async actor: an await that would never end is refused.
//!
//! `_event_loop.py` calls this when an await has lasted for a moment. Only awaits of the task that
//! handles a message are looked at: such a message keeps its place until the await is over.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;

use super::core::FutureCore;
use crate::engine::waits::{self, How, WAITS, Waiting};
use crate::py::message::fault::Unending;

/// An await in the graph of waits, from `enter_await` until `end`.
#[pyclass(frozen, module = "futures_actors._core")]
pub(in crate::py) struct EnteredAwait(Mutex<Option<Waiting<'static>>>);

#[pymethods]
impl EnteredAwait {
    /// Say that the task goes on.
    fn end(&self) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = waiting.take();
        drop(waiting);
    }
}

/// Enter that a handler of the actor that runs in this thread awaits `future`.
///
/// Raises `ActorDeadlock` if it would wait for ever, because actors wait for each other. Returns
/// None if that cannot be known.
#[pyfunction]
pub(in crate::py) fn enter_await(future: &Bound<'_, FutureCore>) -> PyResult<Option<EnteredAwait>> {
    let this = future.get();
    let (Some(mine), Some(tally)) = (waits::served_here(), this.tally()) else {
        return Ok(None);
    };
    let pending = Arc::clone(&this.cell) as _;
    let waiting = WAITS.begin(&mine, How::Awaits, &tally.node, pending);
    let waiting = waiting.map_err(|circle| Unending::Await.error(&circle))?;
    Ok(Some(EnteredAwait(Mutex::new(Some(waiting)))))
}
