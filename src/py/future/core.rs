//! `FutureCore`, the half of `ActorFuture` that holds a cell: its data, what a process that `os.fork`
//! made may do with it, and how a sealed outcome is opened.
//!
//! How a future ends is in `settle`, what Python sees of it in `methods`.

use std::sync::Arc;

use once_cell::race::OnceBox;
use once_cell::sync::OnceCell;
use pyo3::exceptions::{PyException, PyRuntimeError};
use pyo3::prelude::*;

use super::condition::Condition;
use crate::engine::cell::{Cell, Origin, Phase};
use crate::engine::sys;
use crate::py::interpreter::{imports, lifecycle};
use crate::py::message::message::Message;
use crate::py::message::outcome::{Opened, Outcome, Sealed};
use crate::py::message::tally::Tally;

pub(in crate::py) type ActorCell = Cell<Message, Outcome, Watch>;

/// The callbacks that run when a cell ends.
#[derive(Default)]
pub(in crate::py) struct Watch {
    /// What callbacks get. A bare future is not kept alive by what watches it.
    pub(in crate::py) future: Option<Py<FutureCore>>,
    pub(in crate::py) callbacks: Vec<Py<PyAny>>,
}

/// The state of an `ActorFuture`.
#[pyclass(subclass, frozen, weakref, module = "futures_actors._core")]
pub(in crate::py) struct FutureCore {
    pub(in crate::py) cell: Arc<ActorCell>,
    pub(super) condition: OnceBox<Condition>,
    /// Where a cancellation is counted, if it was posted.
    tally: OnceCell<Arc<Tally>>,
    /// The lifecycle's generation: a process made by `os.fork` has no actors to wait for.
    generation: u32,
}

impl Drop for FutureCore {
    /// What the future came to goes with it, here, where the thread is attached: an engine may hold
    /// the cell for a moment longer.
    fn drop(&mut self) {
        if !self.is_elsewhere() {
            drop(self.cell.clear(Outcome::Nothing));
        }
    }
}

/// A pending future and its cell.
pub(in crate::py) fn new_future(py: Python<'_>) -> PyResult<(Bound<'_, PyAny>, Arc<ActorCell>)> {
    let future = imports::actor_future(py)?.call0()?;
    let cell = Arc::clone(&future.cast::<FutureCore>()?.get().cell);
    Ok((future, cell))
}

/// As `new_future`, of a message to the actor that `tally` is of.
pub(in crate::py) fn new_posted<'py>(
    py: Python<'py>,
    tally: &Arc<Tally>,
) -> PyResult<(Bound<'py, PyAny>, Arc<ActorCell>)> {
    let future = imports::actor_future(py)?.call0()?;
    let core = future.cast::<FutureCore>()?.get();
    // Nobody else sets it.
    _ = core.tally.set(Arc::clone(tally));
    let cell = Arc::clone(&core.cell);
    Ok((future, cell))
}

impl FutureCore {
    pub(super) fn new_bare() -> Self {
        Self {
            cell: Arc::default(),
            condition: OnceBox::new(),
            tally: OnceCell::new(),
            generation: lifecycle::generation(),
        }
    }

    /// Where a cancellation is counted, if the message was posted.
    pub(super) fn tally(&self) -> Option<&Arc<Tally>> {
        self.tally.get()
    }

    /// A copy that `os.fork` has made of a future whose message is in the other process. Here nobody
    /// ends it, nor lets go of its cell's lock should a thread of the other process have held it: so
    /// that is not taken. Once it is done a thread takes it to look, if at all.
    pub(super) fn is_elsewhere(&self) -> bool {
        self.tally.get().is_some() && self.is_forked() && !self.cell.done().is_set()
    }

    pub(super) fn is_forked(&self) -> bool {
        self.generation != lifecycle::generation()
    }

    /// An error if somebody is to end it here.
    pub(super) fn check_reach(&self) -> PyResult<()> {
        if self.is_elsewhere() {
            return Err(lifecycle::forked_error());
        }
        Ok(())
    }

    pub(super) fn phase(&self) -> Phase {
        if self.is_elsewhere() {
            return Phase::Pending;
        }
        self.cell.phase()
    }

    pub(super) fn resume_io_thread(&self, py: Python<'_>) {
        if !self.is_elsewhere() {
            resume_io_thread(py, &self.cell);
        }
    }

    /// What the message came to, as Python objects; `None` unless it finished. The first to ask
    /// opens a sealed outcome; if two open it at once, both get what the first one stored. An error
    /// is what a signal's handler raised meanwhile: then it is still sealed.
    pub(in crate::py) fn opened(&self, py: Python<'_>) -> PyResult<Option<Opened>> {
        if self.is_elsewhere() {
            return Ok(None);
        }
        let sealed = match self.cell.outcome(|outcome| outcome.peek(py)) {
            None => return Ok(None),
            Some(Ok(opened)) => return Ok(Some(opened)),
            Some(Err(sealed)) => sealed,
        };
        let mine = match sealed.open(py) {
            Ok(opened) => opened,
            Err(error) if is_own(py, &error, &sealed) => {
                Opened::Raised(error.into_value(py).into_any())
            }
            Err(error) => return Err(error),
        };
        let mut mine = Some(mine.into_outcome());
        let stored = self.cell.outcome(|outcome| {
            if matches!(outcome, Outcome::Sealed(_)) {
                mine = mine.take().map(|mine| std::mem::replace(outcome, mine));
            }
            outcome.peek(py)
        });
        drop(mine);
        Ok(stored.and_then(Result::ok))
    }

    pub(super) fn condition<'a>(slf: &'a Bound<'_, Self>) -> PyResult<&'a Condition> {
        let py = slf.py();
        let this = slf.get();
        if let Some(condition) = this.condition.get() {
            return Ok(condition);
        }
        this.resume_io_thread(py);
        let condition = Box::new(Condition::new(py)?);
        // If another thread was faster, its condition is the one; ours is dropped, without a lock.
        let mut refused = None;
        let publish = || refused = this.condition.set(condition).err();
        if this.is_elsewhere() {
            publish();
        } else {
            let mut future = Some(slf.clone().unbind());
            let mut watch = Some(Box::<Watch>::default());
            this.cell.expose_condition(publish, |origin, slot| {
                let slot = slot.get_or_insert_with(|| watch.take().unwrap_or_default());
                if origin == Origin::Posted && slot.future.is_none() {
                    slot.future = future.take();
                }
            });
        }
        drop(refused);
        let condition = this.condition.get();
        condition.ok_or_else(|| PyRuntimeError::new_err("a future lost its condition"))
    }

    /// Runs `body` holding the future's condition.
    pub(super) fn with_condition<T>(
        slf: &Bound<'_, Self>,
        body: impl FnOnce(&Condition) -> PyResult<T>,
    ) -> PyResult<T> {
        let condition = Self::condition(slf)?;
        condition.hold(slf.py(), || body(condition))
    }
}

/// The caller wants to be notified without blocking in `result()`, or ends the message by hand, so
/// the I/O thread must read the answers again.
pub(in crate::py) fn resume_io_thread(py: Python<'_>, cell: &ActorCell) {
    if let Some((carrier, _)) = cell.message(Message::carrier).flatten() {
        carrier.resume_io_thread(py);
    }
}

/// Whether `error` was raised by the code of what was opened, and not by the handler of a signal
/// that came meanwhile. Handlers run on the main thread, and raise once, where the user's code would
/// raise again.
fn is_own(py: Python<'_>, error: &PyErr, sealed: &Sealed) -> bool {
    error.is_instance_of::<PyException>(py)
        || !sys::is_main_thread()
        || sealed
            .open(py)
            .is_err_and(|again| again.get_type(py).is(error.get_type(py)))
}
