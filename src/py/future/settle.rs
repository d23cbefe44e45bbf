//! How a message is begun and ended: by an engine, by an executor, or by whoever has its future.
//!
//! A message that is being ended ends, whatever the handlers of signals, waiters and callbacks raise
//! meanwhile. Call what is here holding no lock.

use pyo3::prelude::*;

use super::callbacks::{Runner, serve};
use super::condition::Condition;
use super::core::{ActorCell, FutureCore, Watch, resume_io_thread};
use crate::engine::cell::{Begin, Cancel, Hold, Phase, Settle};
use crate::py::interpreter::wait;
use crate::py::message::message::Message;
use crate::py::message::outcome::{Outcome, Sealed};
use crate::py::message::tally::{Completion, Tally};

/// Ends a message by what an engine has found. Attaches only if somebody watches; call it holding
/// no lock.
///
/// False: it was done before, as when somebody has called `set_result` on its future.
pub(in crate::py) fn settle(cell: &ActorCell, outcome: Outcome) -> bool {
    match cell.settle(outcome, Hold::Nothing) {
        Settle::Settled(_) => true,
        Settle::NeedsAttached(outcome) | Settle::NeedsCondition(outcome) => {
            Python::attach(|py| settle_attached(py, cell, outcome))
        }
        // Python objects are dropped attached.
        Settle::TooLate(outcome) => {
            Python::attach(|_| drop(outcome));
            false
        }
    }
}

/// As `settle`, for a thread that is attached.
pub(in crate::py) fn settle_attached(py: Python<'_>, cell: &ActorCell, outcome: Outcome) -> bool {
    let (settled, raised) = match cell.settle(outcome, Hold::Attached) {
        Settle::Settled(watch) => (true, serve(py, cell, None, watch, Runner::Engine)),
        Settle::NeedsAttached(outcome) | Settle::NeedsCondition(outcome) => {
            match watching_future(py, cell) {
                Some(future) => {
                    let (finished, raised) = FutureCore::finish(&future, outcome, Runner::Engine);
                    (finished.is_ok(), raised)
                }
                // Done meanwhile.
                None => (false, Ok(())),
            }
        }
        Settle::TooLate(_) => (false, Ok(())),
    };
    if let Some(error) = raised.err().and_then(wait::keep) {
        error.write_unraisable(py, None);
    }
    settled
}

/// Cancels a message without its future at hand. An error is what a callback or a signal's handler
/// raised, and comes after the cancelling.
pub(in crate::py) fn cancel(
    py: Python<'_>,
    cell: &ActorCell,
    tally: Option<&Tally>,
) -> PyResult<bool> {
    resume_io_thread(py, cell);
    match cell.cancel(Hold::Attached) {
        Cancel::Cancelled { message, watch } => {
            discard(py, message);
            if let Some(tally) = tally {
                tally.end(Completion::Cancelled);
            }
            serve(py, cell, None, watch, Runner::Caller)?;
            Ok(true)
        }
        Cancel::Already => Ok(true),
        Cancel::TooLate => Ok(false),
        Cancel::NeedsCondition => match watching_future(py, cell) {
            Some(future) => FutureCore::cancel_cell(&future),
            None => Ok(false),
        },
    }
}

/// Drops what was cancelled.
fn discard(py: Python<'_>, message: Option<Message>) {
    if let Some(message) = message {
        message.discard(py);
    }
}

fn watching_future<'py>(py: Python<'py>, cell: &ActorCell) -> Option<Bound<'py, FutureCore>> {
    let future = |watch: &Watch| watch.future.as_ref().map(|f| f.clone_ref(py));
    let found = cell.watch(|_, watch| watch.as_deref().and_then(future));
    Some(found??.into_bound(py))
}

/// The message, unless it was cancelled or its future settled by hand.
pub(in crate::py) fn begin(cell: &ActorCell) -> Option<Message> {
    match cell.begin() {
        // Which lets who waits for room have its place.
        Begin::Message(Message::Bounded(message, _)) => Some(*message),
        Begin::Message(message) => Some(message),
        Begin::Gone => None,
    }
}

impl FutureCore {
    /// Cancels the message if `handle` has not begun on it, and runs the callbacks. An error is what
    /// a callback or a signal's handler raised, and comes after the cancelling.
    pub(super) fn cancel_cell(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let cell = &slf.get().cell;
        resume_io_thread(slf.py(), cell);
        let (ended, told) = match cell.cancel(Hold::Attached) {
            Cancel::NeedsCondition => Self::cancel_witnessed(slf),
            ended => (ended, Ok(())),
        };
        match ended {
            Cancel::Cancelled { message, watch } => {
                discard(slf.py(), message);
                if let Some(tally) = slf.get().tally() {
                    tally.end(Completion::Cancelled);
                }
                let served = serve(slf.py(), cell, Some(slf), watch, Runner::Caller);
                told.and(served).map(|()| true)
            }
            Cancel::Already => told.map(|()| true),
            Cancel::TooLate | Cancel::NeedsCondition => told.map(|()| false),
        }
    }

    /// Settles the cell, whatever looks on and whatever is raised meanwhile, and runs the callbacks.
    /// Hands the outcome back if the future was done already.
    pub(super) fn finish(
        slf: &Bound<'_, Self>,
        outcome: Outcome,
        runner: Runner,
    ) -> (Result<(), Outcome>, PyResult<()>) {
        let cell = &slf.get().cell;
        let (settled, told) = match cell.settle(outcome, Hold::Attached) {
            Settle::NeedsCondition(outcome) => Self::settle_witnessed(slf, outcome),
            settled => (settled, Ok(())),
        };
        match settled {
            Settle::Settled(watch) => {
                let served = serve(slf.py(), cell, Some(slf), watch, runner);
                (Ok(()), told.and(served))
            }
            Settle::TooLate(outcome)
            | Settle::NeedsAttached(outcome)
            | Settle::NeedsCondition(outcome) => (Err(outcome), told),
        }
    }

    fn settle_witnessed(
        slf: &Bound<'_, Self>,
        outcome: Outcome,
    ) -> (Settle<Outcome, Watch>, PyResult<()>) {
        let this = slf.get();
        let event = match &outcome {
            Outcome::Raised(_) | Outcome::Sealed(Sealed::Error(_) | Sealed::Fault(_)) => {
                "add_exception"
            }
            _ => "add_result",
        };
        Self::end_witnessed(slf, |condition| {
            let settled = this.cell.settle(outcome, Hold::Condition);
            let told = if matches!(settled, Settle::Settled(_)) {
                let opened = this.opened(slf.py()).map(drop);
                opened.and(condition.tell_waiters(slf.as_any(), event))
            } else {
                Ok(())
            };
            (settled, told)
        })
    }

    fn cancel_witnessed(slf: &Bound<'_, Self>) -> (Cancel<Message, Watch>, PyResult<()>) {
        let cell = &slf.get().cell;
        Self::end_witnessed(slf, |condition| {
            let ended = cell.cancel(Hold::Condition);
            let told = match ended {
                Cancel::Cancelled { .. } if cell.phase() == Phase::Notified => {
                    condition.tell_waiters(slf.as_any(), "add_cancelled")
                }
                Cancel::Cancelled { .. } => condition.notify(slf.py()),
                _ => Ok(()),
            };
            (ended, told)
        })
    }

    /// Runs `end` holding the condition, whatever is raised meanwhile.
    fn end_witnessed<T>(
        slf: &Bound<'_, Self>,
        end: impl FnOnce(&Condition) -> (T, PyResult<()>),
    ) -> (T, PyResult<()>) {
        let condition = slf.get().condition.get();
        let condition = condition.expect("it was made before the cell could ask for it");
        let ((ended, told), raised) = condition.hold_surely(slf.py(), || end(condition));
        (ended, raised.and(told))
    }
}
