//! A message of a child on its way into the mailbox of another actor, which may be full.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::asker::Asker;
use super::onward::Onward;
use crate::engine::cell;
use crate::engine::ipc::frame::{Kind, encode};
use crate::engine::ipc::relay::Address;
use crate::engine::latch::Latch;
use crate::engine::room::{Permit, Seat, Wake};
use crate::py::future::ActorCell;
use crate::py::host::host::Host;
use crate::py::interpreter::lifecycle;
use crate::py::message::message::Message;

/// A message on its way into a mailbox. In a bounded one it waits for a place, first come, first served
/// with all other senders.
pub(super) struct Entering {
    pub(super) asker: Asker,
    pub(super) host: Arc<Host>,
    pub(super) address: Address,
    pub(super) number: u64,
    pub(super) cell: Arc<ActorCell>,
    pub(super) is_told: bool,
    /// See `Asked`.
    pub(super) admitted: Option<Arc<Latch>>,
    /// If it is a stream.
    pub(super) stream: Option<Arc<Onward>>,
    pub(super) turn: Mutex<Turn>,
}

#[derive(Default)]
pub(super) enum Turn {
    /// The thread that queues has not stored the seat yet.
    #[default]
    Queueing,
    Seated(Seat),
    Granted,
}

impl Entering {
    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn enter(self: &Arc<Self>) {
        let Some(room) = self.host.mailbox.room() else {
            return self.put(None);
        };
        let permit = room.try_acquire().or_else(|| {
            // A message may have begun without a report of that.
            drop(self.host.transport.begun());
            room.try_acquire()
        });
        if permit.is_some() {
            return self.put(permit);
        }
        let seat = room.queue(Arc::clone(self) as Arc<dyn Wake>);
        let mut turn = self.turn();
        if matches!(*turn, Turn::Granted) {
            drop(turn);
            return self.take(seat);
        }
        *turn = Turn::Seated(seat);
        drop(turn);
        // From here on the transport reports each message that begins.
        drop(self.host.transport.begun());
    }

    fn take(&self, seat: Seat) {
        self.put(seat.leave());
    }

    /// The message has ended. If it waited for room, it leaves the queue.
    pub(super) fn give_up(&self) {
        let turn = std::mem::replace(&mut *self.turn(), Turn::Granted);
        // Without the lock: this locks the room.
        drop(turn);
    }

    fn put(&self, permit: Option<Permit>) {
        let mut permit = Some(permit);
        let place = |message: Message| (message.bounded(permit.take().flatten()), ());
        // If it was cancelled, the place is given back here.
        if self.cell.exchange(place).is_none() {
            return drop(permit);
        }
        if let Some(admitted) = &self.admitted {
            admitted.set();
            let ends = self.is_told.then_some(self.number);
            let admitted = encode(Kind::Admitted, self.number, b"");
            self.asker.send(admitted, ends);
        }
        // As in `Host::admit`: during the interpreter's exit an actor cannot send to itself.
        let is_own = self.asker.link.tally.node.id == self.host.tally.node.id;
        let is_refused = is_own && lifecycle::is_exiting();
        let cell = Arc::clone(&self.cell);
        if is_refused || !self.host.accept_relayed(cell, self.is_told) {
            self.refuse();
        }
    }

    fn refuse(&self) {
        if let Some(stream) = &self.stream {
            stream.refuse();
        }
        self.asker.refuse(self.address, self.number, &self.host);
        if self.stream.is_some() {
            // It and the cell hold each other until the cell ends.
            drop(self.cell.cancel(cell::Hold::Condition));
        }
    }
}

impl Wake for Entering {
    fn wake(&self) {
        let turn = std::mem::replace(&mut *self.turn(), Turn::Granted);
        if let Turn::Seated(seat) = turn {
            self.take(seat);
        }
    }
}
