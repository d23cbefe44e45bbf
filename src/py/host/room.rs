//! How a sender waits for a place in a bounded mailbox: blocked in `post`, or by a future in `apost`
//! (`seat.rs`). `entering.rs` has how a message waits by itself.
//!
//! A message holds its permit until it begins or is known never to. Dropping the permit may wake a
//! waiter, which may run Python code. So a permit is never dropped under a lock.

use std::sync::Arc;
use std::time::Instant;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::host::Host;
use super::seat::{Place, RoomId, RoomSeat, Turn};
use crate::engine::latch::Latch;
use crate::engine::room::{Permit, Room, Seat, Wake};
use crate::engine::waits::{Node, Pending};
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
        if RoomSeat::is_awaited_here(RoomId::of(room)) {
            return self.overtake(py, room, deadline);
        }
        let granted = Arc::new(Latch::default());
        let seat = self.queue(py, room, Arc::clone(&granted) as _);
        let waited = self.wait_until_granted(py, &granted, &granted, deadline);
        // Even after a timeout: the place may have been granted at the last moment.
        let permit = seat.leave();
        waited?;
        permit.ok_or_else(|| self.full(NOT_IN_TIME))
    }

    /// For a thread in whose event loop coroutines wait for `room`: waits for a place before them.
    fn overtake(
        &self,
        py: Python<'_>,
        room: &Arc<Room>,
        deadline: Option<Instant>,
    ) -> PyResult<Permit> {
        let seat = self.queue_future(py, room)?;
        seat.overtake();
        let cell = seat.cell();
        let waited = self.wait_until_granted(py, cell.done(), &cell, deadline);
        // Otherwise the coroutine gets its turn back, with the place if that has just been granted.
        let place = matches!(waited, Ok(true)).then(|| seat.place()).flatten();
        seat.leave();
        waited?;
        place
            .and_then(Place::here)
            .ok_or_else(|| self.full(NOT_IN_TIME))
    }

    fn wait_until_granted(
        &self,
        py: Python<'_>,
        granted: &Latch,
        pending: &Arc<impl Pending + 'static>,
        deadline: Option<Instant>,
    ) -> PyResult<bool> {
        wait_for_actor(
            &self.node_with_room(),
            || Arc::clone(pending) as _,
            deadline,
            Unending::Room,
            |deadline| {
                let wait = |until| wait_for(py, granted, until);
                wait_unless_stuck(granted, &self.tally, deadline, wait)
            },
        )
    }

    /// Takes a place in `room`, which is that of the mailbox, if one is free. Call it detached, without
    /// a lock.
    pub(in crate::py) fn try_acquire_detached(&self, room: &Arc<Room>) -> Option<Permit> {
        room.try_acquire().or_else(|| {
            // A message may have begun without a report of that.
            self.release_begun_detached();
            room.try_acquire()
        })
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
        self.queue_future(py, room)
    }

    fn queue_future(&self, py: Python<'_>, room: &Arc<Room>) -> PyResult<RoomSeat> {
        let (future, waiter) = future::new_future(py)?;
        // A posted cell keeps its future alive for the callbacks.
        waiter.post(Message::Awaiting(Awaiting::Here(
            self.node_with_room(),
            Unending::Room,
        )));
        let wakes = WakesFuture(Arc::clone(&waiter));
        let seat = self.queue(py, room, Arc::new(wakes));
        Ok(RoomSeat::new(
            RoomId::of(room),
            future,
            waiter,
            Turn::Here(seat),
        ))
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
            Some(pool) => pool.transport.release_begun(),
            None => self.transport.release_begun(),
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
