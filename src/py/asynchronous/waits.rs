//! The wait of an event loop, some or all of whose messages only wait for other actors.
//!
//! `_awaits.py` finds out which, and enters the wait. It ends the wait before any of these messages
//! goes on. So while a wait of all is entered, and they take every place, the loop goes on by what
//! other actors do, or else by a timeout.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;

use super::source::{Entered, Source};
use crate::engine::waits::{self, How, Refuse, Refused, Target, WAITS, Waiting};
use crate::py::future::FutureCore;
use crate::py::future::awaiting::Awaited;
use crate::py::future::deadlock::Refusal;
use crate::py::message::fault::Unending;

/// A wait for actors of this process.
struct Here {
    refusal: Arc<Refusal>,
    _waiting: Option<Waiting<'static>>,
}

impl Here {
    /// The actor that runs in this thread waits until one of these has happened.
    fn begin(how: How, targets: Vec<Target>) -> Option<Box<dyn Entered>> {
        let mine = waits::served_here()?;
        let refusal = Arc::<Refusal>::default();
        let waiting = WAITS.begin(&mine, how, targets, Arc::clone(&refusal) as _);
        let waiting = waiting.map_err(|refused| refusal.refuse(refused)).ok();
        Some(Box::new(Self {
            refusal,
            _waiting: waiting,
        }))
    }
}

impl Entered for Here {
    fn refused(&self) -> Option<Refused> {
        self.refusal.refused().cloned()
    }
}

/// A wait of an event loop, from `LoopCore.wait` until `end`.
#[pyclass(frozen, module = "futures_actors._core")]
pub(in crate::py) struct LoopWait {
    entered: Mutex<Option<Box<dyn Entered>>>,
    /// How to tell of each thing that is waited for.
    what: Vec<Unending>,
}

#[pymethods]
impl LoopWait {
    /// Return the place of an await that would never end, and its error; None if all may end.
    fn refused<'py>(&self, py: Python<'py>) -> Option<(usize, Bound<'py, PyAny>)> {
        let entered = self.entered.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = entered.as_ref()?.refused();
        drop(entered);
        let Refused { target, circle } = refused?;
        let error = self.what.get(target)?.error(&circle);
        Some((target, error.into_value(py).into_bound(py).into_any()))
    }

    /// Say that the event loop has something to do.
    fn end(&self) {
        let ended = {
            let mut entered = self.entered.lock().unwrap_or_else(PoisonError::into_inner);
            entered.take()
        };
        // Without the lock.
        drop(ended);
    }
}

/// The wait of an event loop some of whose messages have nothing to do until one of `futures` is done.
/// `None` if that is of no use: one is done, or some of the actors are known here and some only to the
/// parent, which needs to know only of an actor that does nothing else.
pub(super) fn begin(
    py: Python<'_>,
    source: &dyn Source,
    how: How,
    futures: &[Bound<'_, FutureCore>],
) -> PyResult<Option<LoopWait>> {
    let (mut here, mut relayed, mut what) = (Vec::new(), Vec::new(), Vec::new());
    for future in futures {
        let Some((awaited, unending)) = future.get().awaited() else {
            return Ok(None);
        };
        match awaited {
            Awaited::Here(target) => here.push(target),
            Awaited::Relayed(awaited) => relayed.push(awaited),
        }
        what.push(unending);
    }
    let entered = match (&here[..], &relayed[..]) {
        ([_, ..], []) => Here::begin(how, here),
        ([], [_, ..]) if matches!(how, How::Blocked(_)) => source.wait_in_sight(py, &relayed)?,
        _ => None,
    };
    Ok(entered.map(|entered| LoopWait {
        entered: Mutex::new(Some(entered)),
        what,
    }))
}
