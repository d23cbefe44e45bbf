//! How a sender waits for a place in a bounded mailbox: blocked in `post`, or by a future in `apost`.
//!
//! A permit goes with its message until that begins or is known never to. Dropping it may wake a
//! waiter, and run Python for that: so it is dropped holding no lock.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::host::Host;
use crate::engine::latch::Latch;
use crate::engine::room::{Permit, Room, Seat, Wake};
use crate::py::future;
use crate::py::future::{ActorCell, settle};
use crate::py::interpreter::imports::MailboxFull;
use crate::py::interpreter::wait::wait_for;
use crate::py::message::message::Message;
use crate::py::message::outcome::Outcome;

/// Ends the future that `apost` awaits.
struct FutureOfRoom(Arc<ActorCell>);

impl Wake for FutureOfRoom {
    fn wake(&self) {
        // A cancelled one is done already; then `apost` gives the place up.
        settle::settle(&self.0, Outcome::Nothing);
    }
}

/// For `apost`: a turn in the queue for room, and a future of the place.
#[pyclass(frozen, module = "futures_actors._core")]
pub(in crate::py) struct RoomSeat {
    #[pyo3(get)]
    future: Py<PyAny>,
    /// `None` once the place has been used, or given up.
    seat: Mutex<Option<Seat>>,
}

impl RoomSeat {
    fn take(&self) -> Option<Seat> {
        let mut seat = self.seat.lock().unwrap_or_else(PoisonError::into_inner);
        seat.take()
    }

    /// The place that was granted.
    pub(in crate::py) fn permit(&self) -> PyResult<Permit> {
        let permit = self.take().and_then(Seat::leave);
        permit.ok_or_else(|| PyRuntimeError::new_err("there was no room to post into"))
    }
}

#[pymethods]
impl RoomSeat {
    /// Give up the turn, or the place if it has been granted.
    fn leave(&self) {
        drop(self.take());
    }

    /// What it waits for is cleared by the future.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.future)
    }
}

impl Host {
    /// Takes a place in the mailbox, waiting for one until `deadline`; `None` if it has no bound.
    /// An error is `MailboxFull`, or what a signal's handler raised.
    pub(in crate::py) fn acquire(
        &self,
        py: Python<'_>,
        deadline: Option<Instant>,
    ) -> PyResult<Option<Permit>> {
        let Some(room) = self.mailbox.room() else {
            return Ok(None);
        };
        if let Some(permit) = room.try_acquire() {
            return Ok(Some(permit));
        }
        // A message may have begun of which nobody has told.
        self.release_begun(py);
        if let Some(permit) = room.try_acquire() {
            return Ok(Some(permit));
        }
        if deadline.is_some_and(|at| Instant::now() >= at) {
            return Err(self.full(""));
        }
        self.refuse_own_thread()?;
        let granted = Arc::new(Latch::default());
        let seat = self.queue(py, room, Arc::clone(&granted) as _);
        let waited = wait_for(py, &granted, deadline);
        // The place may have been granted at the last moment.
        let permit = seat.leave();
        waited?;
        match permit {
            Some(permit) => Ok(Some(permit)),
            None => Err(self.full(", and has been for as long as was waited")),
        }
    }

    pub(in crate::py) fn wait_for_room(&self, py: Python<'_>) -> PyResult<RoomSeat> {
        self.refuse_own_thread()?;
        let Some(room) = self.mailbox.room() else {
            return Err(PyRuntimeError::new_err("this mailbox has no bound"));
        };
        let (future, waiter) = future::new_future(py)?;
        // As one that was posted, it lives for those that it wakes.
        waiter.post(Message::Revoked);
        let seat = self.queue(py, room, Arc::new(FutureOfRoom(waiter)));
        Ok(RoomSeat {
            future: future.unbind(),
            seat: Mutex::new(Some(seat)),
        })
    }

    fn queue(&self, py: Python<'_>, room: &Arc<Room>, waiter: Arc<dyn Wake>) -> Seat {
        let seat = room.queue(waiter);
        // From now on the transport tells of each message that begins; this finds those before.
        self.release_begun(py);
        seat
    }

    /// Frees the places of messages that are known to have begun.
    fn release_begun(&self, py: Python<'_>) {
        py.detach(|| drop(self.transport.begun()));
    }

    fn refuse_own_thread(&self) -> PyResult<()> {
        if self.is_own_thread() {
            return Err(self.full(", and its own thread cannot wait for room"));
        }
        Ok(())
    }

    fn full(&self, more: &str) -> PyErr {
        let size = self.mailbox.room().map_or(0, |room| room.size());
        let name = &self.name;
        MailboxFull::new_err(format!(
            "the mailbox of actor {name} is full: {size} messages have not begun{more}"
        ))
    }
}
