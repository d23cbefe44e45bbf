//! How a message is begun and ended: by an engine, by an executor, or through its future.
//!
//! Once the end of a message has started, it is carried out, even if signal handlers, waiters or
//! callbacks raise in the meantime. A caller of these functions must not hold a lock.

use std::sync::Arc;

use pyo3::exceptions::PyNotImplementedError;
use pyo3::prelude::*;

use super::callbacks::{Runner, serve};
use super::condition::Condition;
use super::core::{ActorCell, FutureCore, Watch, ask_carrier, ask_carrier_soon, resume_io_thread};
use crate::engine::cell::{Begin, Cancel, Hold, Phase, Settle};
use crate::engine::room::Wake;
use crate::engine::sys;
use crate::py::interpreter::daemon_threads::outlast;
use crate::py::interpreter::wait;
use crate::py::message::items::Items;
use crate::py::message::message::Message;
use crate::py::message::outcome::{Outcome, Sealed};
use crate::py::message::tally::{Completion, Tally};
use crate::py::message::ticket::Ask;

/// Ends a message with the outcome that an engine has. Attaches to Python only if the cell is
/// watched.
///
/// False: it was done before, for example because a caller used `set_result` on its future.
pub(in crate::py) fn settle(cell: &ActorCell, outcome: Outcome) -> bool {
    sys::moment();
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

/// Like `settle`, for a thread that must not run Python code: returns the outcome if the cell is watched.
pub(in crate::py) fn settle_unwatched(cell: &ActorCell, outcome: Outcome) -> Result<(), Outcome> {
    sys::moment();
    match cell.settle(outcome, Hold::Nothing) {
        Settle::Settled(_) => Ok(()),
        Settle::NeedsAttached(outcome)
        | Settle::NeedsCondition(outcome)
        | Settle::TooLate(outcome) => Err(outcome),
    }
}

/// Like `settle`, for a thread that is attached.
pub(in crate::py) fn settle_attached(py: Python<'_>, cell: &ActorCell, outcome: Outcome) -> bool {
    sys::moment();
    let (settled, raised) = match cell.settle(outcome, Hold::Attached) {
        Settle::Settled(watch) => (true, serve(py, cell, None, watch, Runner::Engine)),
        Settle::NeedsAttached(outcome) | Settle::NeedsCondition(outcome) => {
            match watching_future(py, cell) {
                Some(future) => {
                    let (finished, raised) = FutureCore::finish(&future, outcome, Runner::Engine);
                    (finished.is_ok(), raised)
                }
                // It was done in the meantime.
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

/// Cancels a message whose future is not at hand. If a callback or a signal handler raises, that
/// error is returned after the message has been cancelled.
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

/// Cancels a message that has not begun, or asks it to stop; never waits. Returns whether it is known to be
/// cancelled or to have been asked. If a callback or a signal handler raises, that error is returned afterwards.
pub(in crate::py) fn request(
    py: Python<'_>,
    cell: &ActorCell,
    tally: Option<&Tally>,
) -> PyResult<bool> {
    if cancel(py, cell, tally)? {
        return Ok(true);
    }
    ask_carrier_soon(py, cell, Ask::Stop);
    Ok(py.detach(|| ask(cell)))
}

/// Closes a stream, as its taker does: frees its items, and asks its generator to stop. Never waits.
pub(in crate::py) fn close(py: Python<'_>, items: &Items, cell: &ActorCell, tally: &Tally) {
    outlast();
    drop(items.close());
    let closed = request(py, cell, Some(tally));
    if let Some(error) = closed.err().and_then(wait::keep) {
        error.write_unraisable(py, None);
    }
}

/// Asks a message that runs to stop. Returns whether it runs. Call it detached.
pub(in crate::py) fn ask(cell: &ActorCell) -> bool {
    let asked = cell.request();
    if asked && let Some((carrier, _)) = cell.message(Message::carrier).flatten() {
        carrier.wake_child();
    }
    asked
}

/// Counts the end of a message. An engine does so before it ends the message, so that a caller that is
/// notified of the end finds it counted. If it panics in between, the end by that is not counted again.
pub(in crate::py) fn count(tally: &Tally, cell: &ActorCell, completion: Completion) {
    if cell.count() {
        tally.end(completion);
    }
}

/// Ends a future that waits for nothing but to be woken.
pub(in crate::py) struct WakesFuture(pub(in crate::py) Arc<ActorCell>);

impl Wake for WakesFuture {
    fn wake(&self) {
        // If the future is cancelled, this does nothing.
        settle(&self.0, Outcome::Nothing);
    }

    fn runs_python(&self) -> bool {
        true
    }
}

/// Drops a cancelled message.
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

/// Takes the message to handle it; `None` if it was cancelled or its future was ended by the user.
#[expect(clippy::inline_always, reason = "it moves every message")]
#[inline(always)]
pub(in crate::py) fn begin(cell: &ActorCell) -> Option<Message> {
    sys::moment();
    match cell.begin() {
        // This drops the permit, so a sender that waits for room gets the place.
        Begin::Message(Message::Bounded(message, _)) => Some(*message),
        Begin::Message(message) => Some(message),
        Begin::Gone => None,
    }
}

impl FutureCore {
    /// Cancels the message if `handle` has not begun on it, and runs the callbacks. If a callback or
    /// a signal handler raises, that error is returned after the message has been cancelled.
    pub(super) fn cancel_cell(slf: &Bound<'_, Self>) -> PyResult<bool> {
        resume_io_thread(slf.py(), &slf.get().cell);
        ask_carrier(slf.py(), &slf.get().cell, Ask::Cancel)?;
        Self::cancel_unbegun(slf)
    }

    /// Like `cancel_cell`, or asks the message to stop if it runs. Returns whether one of the two was
    /// done.
    pub(super) fn stop_cell(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let (py, cell) = (slf.py(), &slf.get().cell);
        resume_io_thread(py, cell);
        let said = ask_carrier(py, cell, Ask::Stop)?;
        if Self::cancel_unbegun(slf)? {
            return Ok(true);
        }
        let this = slf.get();
        // A stream can be closed; if nobody holds it, that has been done.
        let is_refused = |t: &Arc<Tally>| {
            t.refuses_requests() && t.streams.find(cell.done()).is_none() && !cell.was_asked()
        };
        if this.phase() == Phase::Running && this.tally().is_some_and(is_refused) {
            return Err(PyNotImplementedError::new_err(
                "a message that a Ray actor has begun cannot be asked to stop, only a stream can: \
                 write the handler with yield, and ask for it by stream() instead of post()",
            ));
        }
        let asked = py.detach(|| ask(cell));
        Ok(said.unwrap_or(asked))
    }

    /// Cancels the message if this process knows that `handle` has not begun on it.
    fn cancel_unbegun(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let cell = &slf.get().cell;
        let (ended, told) = match cell.cancel(Hold::Attached) {
            Cancel::NeedsCondition => Self::cancel_exposed(slf),
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

    /// Settles the cell, with the condition held if that is exposed, and runs the callbacks. It does
    /// so even if something raises in the meantime. Returns the outcome if the future was done before.
    pub(super) fn finish(
        slf: &Bound<'_, Self>,
        outcome: Outcome,
        runner: Runner,
    ) -> (Result<(), Outcome>, PyResult<()>) {
        let cell = &slf.get().cell;
        let (settled, told) = match cell.settle(outcome, Hold::Attached) {
            Settle::NeedsCondition(outcome) => Self::settle_exposed(slf, outcome),
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

    fn settle_exposed(
        slf: &Bound<'_, Self>,
        outcome: Outcome,
    ) -> (Settle<Outcome, Watch>, PyResult<()>) {
        let this = slf.get();
        let event = match &outcome {
            Outcome::Raised(_) | Outcome::Sealed(Sealed::Error(_) | Sealed::Fault(_)) => {
                "add_exception"
            }
            Outcome::Stopped => "add_cancelled",
            _ => "add_result",
        };
        Self::end_exposed(slf, |condition| {
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

    fn cancel_exposed(slf: &Bound<'_, Self>) -> (Cancel<Message, Watch>, PyResult<()>) {
        let cell = &slf.get().cell;
        Self::end_exposed(slf, |condition| {
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

    /// Runs `end` holding the condition, even if something raises in the meantime.
    fn end_exposed<T>(
        slf: &Bound<'_, Self>,
        end: impl FnOnce(&Condition) -> (T, PyResult<()>),
    ) -> (T, PyResult<()>) {
        let condition = slf.get().condition.get();
        let condition = condition.expect("it was made before the cell could ask for it");
        let ((ended, told), raised) = condition.hold_surely(slf.py(), || end(condition));
        (ended, raised.and(told))
    }
}
