//! How a message of this process gets a place in the bounded mailbox of an actor that is reached by the
//! parent: it waits there, or a place is reserved for it.

use std::sync::Arc;
use std::time::Instant;

use pyo3::prelude::*;

use super::relay::Pending;
use super::remote::Remote;
use crate::engine::ipc::relay::{Awaited, Place, Question, split_number};
use crate::engine::latch::Latch;
use crate::py::future;
use crate::py::host;
use crate::py::host::room::has_passed;
use crate::py::host::seat::{Reservation, RoomId, RoomSeat, Turn};
use crate::py::interpreter::imports;
use crate::py::interpreter::imports::{ActorDeadlock, MailboxFull};
use crate::py::interpreter::running_loop::call_at;
use crate::py::message::fault::{Unending, dump_error};
use crate::py::message::message::{Awaiting, Message};
use crate::py::message::ticket::Carrier;

impl Remote {
    /// The number of a message and how it gets a place in the mailbox.
    pub(super) fn entrance(&self, reserved: Option<&Reservation>) -> (u64, Place) {
        match reserved {
            Some(reserved) => (reserved.number(), Place::Reserved),
            None if self.description.is_bounded => (self.way.relay.number(), Place::Awaited),
            None => (self.way.relay.number(), Place::Unneeded),
        }
    }

    /// Has the event loop that runs here fail the message if it still waits for a place at `deadline`.
    pub(super) fn limit(
        &self,
        number: u64,
        deadline: Instant,
        running: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let (way, name) = (Arc::clone(&self.way), self.name.clone());
        call_at(running, deadline, move |py| {
            if !way.is_ours() {
                return Ok(());
            }
            let error = dump_error(py, full(&name))?;
            if way.relay.must_leave(number, error) {
                py.detach(|| way.ask_parent_soon(Question::Leave(number)));
            }
            Ok(())
        })
    }

    /// Waits until the message of this number has a place in the mailbox, or is refused.
    pub(super) fn wait_for_place(
        &self,
        py: Python<'_>,
        number: u64,
        admitted: &Latch,
        deadline: Option<Instant>,
    ) -> PyResult<()> {
        let waited = self.wait_until_admitted(py, number, admitted, deadline);
        if matches!(waited, Ok(true)) {
            return Ok(());
        }
        // Unless it has just been admitted.
        let withdraw = match waited {
            Ok(_) => Question::Leave(number),
            Err(_) => Question::Cancel(number),
        };
        let is_withdrawn = self.way.ask_parent(py, withdraw)?;
        if is_withdrawn {
            // The parent says nothing more of one that was sent by `tell`.
            drop(self.way.relay.leave(number));
        }
        match waited {
            Err(error) if is_withdrawn || !error.is_instance_of::<ActorDeadlock>(py) => Err(error),
            Ok(_) if is_withdrawn => Err(full(&self.name)),
            _ => Ok(()),
        }
    }

    fn wait_until_admitted(
        &self,
        py: Python<'_>,
        number: u64,
        admitted: &Latch,
        deadline: Option<Instant>,
    ) -> PyResult<bool> {
        let awaited = Awaited::Room(number);
        if has_passed(deadline) || !self.serves_room_here() {
            return self.way.wait_for_actor(py, admitted, awaited, deadline);
        }
        // It would wait for itself.
        self.way.wait_in_sight(py, admitted, awaited, deadline)
    }

    /// If coroutines of the event loop of this thread wait for a place: waits for one before them until
    /// `deadline`.
    pub(super) fn overtake(
        &self,
        py: Python<'_>,
        deadline: Option<Instant>,
    ) -> PyResult<Option<host::seat::Place>> {
        let can_wait = self.description.is_bounded && !has_passed(deadline);
        if !can_wait || !RoomSeat::is_awaited_here(self.room()) {
            return Ok(None);
        }
        let seat = self.reserve(py)?;
        seat.overtake();
        let cell = seat.cell();
        let waited = self.wait_until_admitted(py, seat.order(), cell.done(), deadline);
        // Otherwise the coroutine gets its turn back, with the place if that has just been granted.
        let place = matches!(waited, Ok(true)).then(|| seat.place()).flatten();
        seat.leave();
        if !waited? {
            return Err(full(&self.name));
        }
        // It raises why there is no place.
        seat.future(py).call_method0(py, "result")?;
        Ok(place)
    }

    /// The members of a pool share the room.
    fn room(&self) -> RoomId {
        RoomId::Elsewhere(split_number(self.known.number).0)
    }

    /// Whether only this thread frees places in the mailbox. In a pool any member does.
    fn serves_room_here(&self) -> bool {
        self.description.index().is_none() && self.way.serves_here(self.known.number)
    }

    /// Asks the parent for a place, for a message that will be sent when there is one.
    pub(super) fn reserve(&self, py: Python<'_>) -> PyResult<RoomSeat> {
        let (future, cell) = future::new_future(py)?;
        let number = self.way.relay.number();
        let awaiting = Awaiting::Relayed(Awaited::Room(number), Unending::Room);
        // A posted cell keeps its future alive for the callbacks.
        cell.post(Message::Awaiting(awaiting));
        self.way
            .relay
            .enter(number, Pending::Place(Arc::clone(&cell)));
        let way = Arc::clone(&self.way);
        let reservation = Reservation::new(number, move |number| {
            if way.is_ours() {
                Python::attach(|py| {
                    drop(way.relay.leave(number));
                    py.detach(|| way.ask_parent_soon(Question::Leave(number)));
                });
            }
        });
        let target = self.known.number;
        let blocks = || imports::blocks_actor(py)?.call0()?.is_truthy();
        let question = if self.serves_room_here() && blocks()? {
            Question::PlaceNow(target)
        } else {
            Question::Place(target)
        };
        self.way.send(py, question.encode(number))?;
        self.way.resume_io_thread(py);
        let turn = Turn::Elsewhere(reservation);
        Ok(RoomSeat::new(self.room(), future, cell, turn))
    }
}

fn full(name: &str) -> PyErr {
    MailboxFull::new_err(format!(
        "the mailbox of actor {name} is full, and no place became free in time"
    ))
}
