//! `FutureCore`, the base of `ActorFuture` that holds a cell: its data, what a process that `os.fork`
//! made may do with it, and how a sealed outcome is opened.
//!
//! `settle.rs` has how a future ends, `waiting.rs` waits for it, `methods.rs` is what Python sees of it.

use std::sync::Arc;

use once_cell::race::OnceBox;
use once_cell::sync::OnceCell;
use pyo3::exceptions::{PyException, PyRuntimeError};
use pyo3::prelude::*;

use super::condition::Condition;
use crate::engine::cell::{Cell, Origin, Phase};
use crate::engine::sys;
use crate::py::interpreter::daemon_threads::outlast;
use crate::py::interpreter::{imports, lifecycle};
use crate::py::message::message::Message;
use crate::py::message::outcome::{Opened, Outcome, Sealed};
use crate::py::message::tally::Tally;
use crate::py::message::ticket::Ask;

pub(in crate::py) type ActorCell = Cell<Message, Outcome, Watch>;

// With the counts of its `Arc` it fits into 128 bytes, as the allocator counts them.
#[cfg(all(target_os = "linux", not(portable)))]
const _: () = assert!(size_of::<ActorCell>() <= 96);

/// The callbacks that run when a cell ends.
#[derive(Default)]
pub(in crate::py) struct Watch {
    /// The future that callbacks get as their argument. Only that of a posted message is kept alive
    /// here; a future that the user made is not.
    pub(in crate::py) future: Option<Py<FutureCore>>,
    pub(in crate::py) callbacks: Vec<Py<PyAny>>,
}

/// The state of an `ActorFuture`.
#[pyclass(
    subclass,
    frozen,
    weakref,
    name = "Future",
    module = "futures_actors._core"
)]
pub(in crate::py) struct FutureCore {
    pub(in crate::py) cell: Arc<ActorCell>,
    pub(super) condition: OnceBox<Condition>,
    /// Counts a cancellation. It is set for the future of a posted message.
    tally: OnceCell<Arc<Tally>>,
    /// The lifecycle's generation when the future was made, which a process made by `os.fork` does
    /// not share. Such a process has no actors to wait for.
    generation: u32,
}

impl Drop for FutureCore {
    /// Drops the outcome here, where the thread is attached: an engine may hold the cell for a
    /// moment longer. If none does, the cell is dropped here, too.
    fn drop(&mut self) {
        outlast();
        if Arc::strong_count(&self.cell) > 1 && !self.is_elsewhere() {
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

/// Like `new_future`, for a message to the actor that `tally` belongs to.
pub(in crate::py) fn new_posted<'py>(
    py: Python<'py>,
    tally: &Arc<Tally>,
) -> PyResult<(Bound<'py, PyAny>, Arc<ActorCell>)> {
    let future = imports::actor_future(py)?.call0()?;
    let core = future.cast::<FutureCore>()?.get();
    // The future is new, so `set` cannot fail.
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

    /// The counts in which a cancellation is counted, if the message was posted.
    pub(super) fn tally(&self) -> Option<&Arc<Tally>> {
        self.tally.get()
    }

    /// Whether this is a copy that `os.fork` has made of a future whose message is in the other
    /// process. Then it never ends here, and the caller must not take its cell's lock: a thread of
    /// the other process may have held it during the fork. Once the cell is done, threads take the
    /// lock only to read the outcome, if at all, so it may be taken here.
    pub(super) fn is_elsewhere(&self) -> bool {
        self.tally.get().is_some() && self.is_forked() && !self.cell.done().is_set()
    }

    pub(super) fn is_forked(&self) -> bool {
        self.generation != lifecycle::generation()
    }

    /// Returns an error if the future cannot be ended in this process.
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

    /// The outcome as Python objects; `None` unless the message has finished. The first caller opens
    /// a sealed outcome. If two open it at once, both get what the first one stored. An error is
    /// what a signal handler raised in the meantime: then the outcome is still sealed.
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
        // If another thread was faster, its condition is used, and ours is dropped without a lock.
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

/// Asks about a message that another process has, if it has not ended: see [`Carrier::ask`].
///
/// [`Carrier::ask`]: crate::py::message::ticket::Carrier::ask
pub(super) fn ask_carrier(py: Python<'_>, cell: &ActorCell, ask: Ask) -> PyResult<Option<bool>> {
    match cell.message(Message::carrier).flatten() {
        Some((carrier, sequence)) => carrier.ask(py, sequence, ask),
        None => Ok(None),
    }
}

/// Likewise, but does not wait for what is said.
pub(super) fn ask_carrier_soon(py: Python<'_>, cell: &ActorCell, ask: Ask) {
    if let Some((carrier, sequence)) = cell.message(Message::carrier).flatten() {
        carrier.ask_soon(py, sequence, ask);
    }
}

/// Whether `error` was raised by the code of the opened object, and not by a signal handler that ran
/// in the meantime. Handlers run only on the main thread. To tell them apart there, the outcome is
/// opened again: a handler raises only once, the object's code would raise again.
fn is_own(py: Python<'_>, error: &PyErr, sealed: &Sealed) -> bool {
    error.is_instance_of::<PyException>(py)
        || !sys::is_main_thread()
        || sealed
            .open(py)
            .is_err_and(|again| again.get_type(py).is(error.get_type(py)))
}
