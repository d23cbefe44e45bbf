//! How a sender waits for a place in a bounded mailbox: blocked in `post`, or by a future in `apost`.
//! `entering.rs` has how a message waits by itself.
//!
//! A message holds its permit until it begins or is known never to. Dropping the permit may wake a
//! waiter, which may run Python code. So a permit is never dropped under a lock.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::host::Host;
use crate::engine::latch::Latch;
use crate::engine::room::{Permit, Room, Seat, Wake};
use crate::engine::waits::Node;
use crate::py::future;
use crate::py::future::WakesFuture;
use crate::py::future::callbacks;
use crate::py::future::deadlock::{refuse_own, wait_for_actor, wait_unless_stuck};
use crate::py::interpreter::imports;
use crate::py::interpreter::imports::MailboxFull;
use crate::py::interpreter::wait::wait_for;
use crate::py::message::fault::Unending;
use crate::py::message::message::{Awaiting, Message};

/// For the text of `MailboxFull`.
pub(super) const NOT_IN_TIME: &str = ", and no place became free in time";

pub(in crate::py) fn has_passed(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|at| Instant::now() >= at)
}

/// For `apost` and `atell`: a turn in the queue, and a future that is done once granted.
#[pyclass(frozen, module = "futures_actors._core")]
pub(in crate::py) struct RoomSeat {
    #[pyo3(get)]
    future: Py<PyAny>,
    /// `None` after the place has been used or given up.
    turn: Mutex<Option<Turn>>,
}

/// A turn in the queue of a mailbox, which may be in another process.
pub(in crate::py) enum Turn {
    Here(Seat),
    Elsewhere(Reservation),
}

/// A place in a mailbox.
pub(in crate::py) enum Place {
    Here(Permit),
    Elsewhere(Reservation),
}

impl Place {
    /// A place in a mailbox of this process.
    pub(in crate::py) fn here(self) -> Option<Permit> {
        match self {
            Self::Here(permit) => Some(permit),
            Self::Elsewhere(_) => None,
        }
    }

    /// One that is reserved in another process.
    pub(in crate::py) fn elsewhere(self) -> Option<Reservation> {
        match self {
            Self::Here(_) => None,
            Self::Elsewhere(reservation) => Some(reservation),
        }
    }
}

/// A place in the mailbox of another process, or a turn in the queue for one. Dropping it gives it up.
pub(in crate::py) struct Reservation {
    number: u64,
    give_up: Option<Box<dyn FnOnce(u64) + Send>>,
}

impl Reservation {
    pub(in crate::py) fn new(number: u64, give_up: impl FnOnce(u64) + Send + 'static) -> Self {
        let give_up = Some(Box::new(give_up) as _);
        Self { number, give_up }
    }

    /// The number that the message which takes the place must have.
    pub(in crate::py) fn number(&self) -> u64 {
        self.number
    }

    /// The message takes the place.
    pub(in crate::py) fn take(mut self) {
        self.give_up = None;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(give_up) = self.give_up.take() {
            give_up(self.number);
        }
    }
}

impl RoomSeat {
    /// `future` is done when there is a place.
    pub(in crate::py) fn new(future: Bound<'_, PyAny>, turn: Turn) -> Self {
        Self {
            future: future.unbind(),
            turn: Mutex::new(Some(turn)),
        }
    }

    fn take(&self) -> Option<Turn> {
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        turn.take()
    }

    /// The place that was granted.
    pub(in crate::py) fn place(&self) -> PyResult<Place> {
        let place = match self.take() {
            Some(Turn::Here(seat)) => seat.leave().map(Place::Here),
            Some(Turn::Elsewhere(reservation)) => Some(Place::Elsewhere(reservation)),
            None => None,
        };
        place.ok_or_else(|| PyRuntimeError::new_err("no place in the mailbox has been granted"))
    }
}

#[pymethods]
impl RoomSeat {
    /// Give up the turn, or the place if it has been granted.
    fn leave(&self) {
        drop(self.take());
    }

    /// Visits the future, which breaks a cycle itself.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.future)
    }
}

impl Host {
    /// Takes a place in the mailbox, waiting for one until `deadline`; `None` if it has no bound.
    /// An error is `MailboxFull`, or what a signal handler raised.
    pub(in crate::py) fn acquire(
        &self,
        py: Python<'_>,
        deadline: Option<Instant>,
    ) -> PyResult<Option<Permit>> {
        match self.try_acquire(py) {
            Ok(permit) => Ok(permit),
            Err(room) => self.block_for_room(py, room, deadline).map(Some),
        }
    }

    /// Takes a place in the mailbox, if one is free; `None` if it has no bound. Otherwise returns the
    /// room to wait for.
    #[expect(clippy::inline_always, reason = "every message is posted through it")]
    #[inline(always)]
    pub(super) fn try_acquire(&self, py: Python<'_>) -> Result<Option<Permit>, &Arc<Room>> {
        let Some(room) = self.mailbox.room() else {
            return Ok(None);
        };
        if let Some(permit) = room.try_acquire() {
            return Ok(Some(permit));
        }
        // A message may have begun without a report of that.
        self.release_begun(py);
        room.try_acquire().map(Some).ok_or(room)
    }

    pub(super) fn block_for_room(
        &self,
        py: Python<'_>,
        room: &Arc<Room>,
        deadline: Option<Instant>,
    ) -> PyResult<Permit> {
        if has_passed(deadline) {
            return Err(self.full(""));
        }
        self.refuse_own_thread()?;
        let granted = Arc::new(Latch::default());
        let seat = self.queue(py, room, Arc::clone(&granted) as _);
        let waited = wait_for_actor(
            &self.node_with_room(),
            || Arc::clone(&granted) as _,
            deadline,
            Unending::Room,
            |deadline| {
                let wait = |until| wait_for(py, &granted, until);
                wait_unless_stuck(&granted, &self.tally, deadline, wait)
            },
        );
        // Even after a timeout: the place may have been granted at the last moment.
        let permit = seat.leave();
        waited?;
        permit.ok_or_else(|| self.full(NOT_IN_TIME))
    }

    /// For a pool: takes a place for a message to each member, or all places if there are fewer; none
    /// if the mailbox has no bound. Waits for them until `deadline`.
    pub(in crate::py) fn acquire_for_each(
        &self,
        py: Python<'_>,
        deadline: Option<Instant>,
    ) -> PyResult<Vec<Permit>> {
        let place = self.members().first().and_then(|member| member.place.get());
        let (Some(room), Some(place)) = (self.mailbox.room(), place) else {
            return Ok(Vec::new());
        };
        // One at a time: two that each hold some of the places would wait for each other's.
        let turns = &place.team.broadcasts;
        let _turn = match turns.try_acquire() {
            Some(turn) => turn,
            None => self.block_for_room(py, turns, deadline)?,
        };
        let places = 0..self.members().len().min(room.size());
        places
            .filter_map(|_| self.acquire(py, deadline).transpose())
            .collect()
    }

    pub(in crate::py) fn wait_for_room(&self, py: Python<'_>) -> PyResult<RoomSeat> {
        if self.is_own_thread() && imports::blocks_actor(py)?.call0()?.is_truthy()? {
            self.refuse_own_thread()?;
        }
        let Some(room) = self.mailbox.room() else {
            return Err(PyRuntimeError::new_err("this mailbox is not bounded"));
        };
        let (future, waiter) = future::new_future(py)?;
        // A posted cell keeps its future alive for the callbacks.
        waiter.post(Message::Awaiting(Awaiting::Here(
            self.node_with_room(),
            Unending::Room,
        )));
        let seat = self.queue(py, room, Arc::new(WakesFuture(waiter)));
        Ok(RoomSeat::new(future, Turn::Here(seat)))
    }

    fn queue(&self, py: Python<'_>, room: &Arc<Room>, waiter: Arc<dyn Wake>) -> Seat {
        let seat = room.queue(waiter);
        // From now on the transport reports each message that begins. This finds those that began
        // before.
        self.release_begun(py);
        seat
    }

    pub(super) fn release_begun(&self, py: Python<'_>) {
        py.detach(|| self.release_begun_detached());
    }

    /// Releases the places of messages that have begun. Call it detached, without a lock.
    pub(in crate::py) fn release_begun_detached(&self) {
        // All members of a pool share the room.
        drop(match self.pool() {
            Some(pool) => pool.transport.begun(),
            None => self.transport.begun(),
        });
    }

    /// What must go on so that a place becomes free: the actor, or any member of its pool.
    pub(in crate::py) fn node_with_room(&self) -> Arc<Node> {
        let pool = self.pool();
        let host = pool.as_deref().unwrap_or(self);
        Arc::clone(&host.tally.node)
    }

    fn refuse_own_thread(&self) -> PyResult<()> {
        // Another member of its pool may free a place.
        if !self.is_own_thread() || self.node_with_room().id != self.tally.node.id {
            return Ok(());
        }
        if !callbacks::run_here() {
            // The actor's own code runs, not code of others in its thread.
            refuse_own(&self.tally.node, Unending::Room)?;
        }
        Err(self.full(", and its own thread cannot wait for room"))
    }

    pub(super) fn full(&self, more: &str) -> PyErr {
        let size = self.mailbox.room().map_or(0, |room| room.size());
        let name = &self.name;
        MailboxFull::new_err(format!(
            "the mailbox of actor {name} is full: {size} messages have not begun{more}"
        ))
    }
}
