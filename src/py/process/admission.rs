//! A message of a child on its way into the mailbox of another actor, which may be full.
//!
//! The message waits for a place by itself, or a place is reserved before the child sends it: then the
//! child can still decide not to.

use std::sync::{Arc, OnceLock};

use super::asker::Asker;
use super::held::Reserved;
use super::onward::Onward;
use super::turn::Turn;
use crate::engine::cell;
use crate::engine::ipc::frame::{Kind, encode};
use crate::engine::ipc::relay::{Address, Place};
use crate::engine::latch::Latch;
use crate::engine::room::{Permit, Room, Wake};
use crate::engine::waits::Circle;
use crate::py::future::ActorCell;
use crate::py::host::host::Host;
use crate::py::interpreter::lifecycle;
use crate::py::message::fault::Unending;
use crate::py::message::message::Message;

/// A message on its way into a mailbox. In a bounded one it waits for a place by itself, first come, first
/// served with all other senders: the thread that releases a place puts it into the mailbox.
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
    /// Whether the mailbox has accepted it, if it has been put there.
    pub(super) accepted: OnceLock<bool>,
}

impl Entering {
    pub(super) fn enter(self: &Arc<Self>) {
        let mut permit = None;
        if let Some(room) = self.host.mailbox.room() {
            permit = match self.address.place {
                Place::Reserved => self.asker.take_reserved(self.number),
                Place::Unneeded | Place::Awaited => None,
            };
            permit = permit.or_else(|| self.acquire(room));
            if permit.is_none() {
                return;
            }
        }
        self.put(|message| (message.bounded(permit.take()), true));
        // If it was cancelled, the place is given back here.
        drop(permit);
        self.wake();
    }

    /// A place, if one is free. Otherwise the message waits for one.
    fn acquire(self: &Arc<Self>, room: &Arc<Room>) -> Option<Permit> {
        let permit = self.host.try_acquire_detached(room);
        if permit.is_some() {
            return permit;
        }
        let mut left = None;
        let permit = room.acquire_or_queue(|seat| {
            left = Some(seat);
            self.cell.exchange(|message| match left.take() {
                Some(seat) => (Message::Waiting(Box::new(message), seat, None), ()),
                None => (message, ()),
            });
            Arc::clone(self) as _
        });
        // If it was cancelled, it leaves the queue here, without the room's lock.
        drop(left);
        if permit.is_none() {
            // From here on the transport reports each message that begins.
            self.host.release_begun_detached();
        }
        permit
    }

    /// Puts the message into the mailbox. `place` gives it its place, and returns false if it wants none. With
    /// the restrictions of [`Wake::enter`].
    fn put(&self, place: impl FnOnce(Message) -> (Message, bool)) {
        if self.cell.exchange(place) != Some(true) {
            return;
        }
        if let Some(admitted) = &self.admitted {
            admitted.set();
        }
        // As in `Host::admit`: during the interpreter's exit an actor cannot send to itself.
        let is_own = self.asker.link.tally.node.id == self.host.tally.node.id;
        let is_refused = self.host.is_forked() || is_own && lifecycle::is_exiting();
        let accepted = !is_refused && self.host.mailbox.put(Arc::clone(&self.cell)).is_ok();
        _ = self.accepted.set(accepted);
    }

    fn refuse(&self) {
        if let Some(stream) = &self.stream {
            stream.refuse();
        }
        self.asker
            .refuse(self.address.target, self.number, &self.host);
        if self.stream.is_some() {
            // It and the cell hold each other until the cell ends.
            drop(self.cell.cancel(cell::Hold::Condition));
        }
    }
}

impl Wake for Entering {
    /// If the message was cancelled, its seat gives up the place.
    fn enter(&self) {
        self.put(Message::seated);
    }

    fn wake(&self) {
        match self.accepted.get() {
            Some(true) => self.host.accept_relayed(self.is_told),
            Some(false) => return self.refuse(),
            None => return,
        }
        // Not before it is in the mailbox: the thread that hears of it may send the next message.
        if self.admitted.is_some() {
            let ends = self.is_told.then_some(self.number);
            let admitted = encode(Kind::Admitted, self.number, b"");
            self.asker.send(admitted, ends);
        }
    }
}

/// A place that a child waits for, before it sends the message.
pub(super) struct Reserving {
    pub(super) asker: Asker,
    pub(super) host: Arc<Host>,
    /// The number of the actor.
    pub(super) target: u64,
    /// That of the message to come.
    pub(super) number: u64,
    pub(super) turn: Arc<Turn>,
}

impl Reserving {
    pub(super) fn enter(self: Arc<Self>, can_wait: bool) {
        let waits = Reserved::Waits(Arc::clone(&self.turn), Arc::clone(&self.host));
        let number = self.number;
        self.asker
            .with_relayed(|relayed| relayed.reserved.insert(number, waits));
        let Some(room) = self.host.mailbox.room() else {
            return self.grant(None);
        };
        let waiter = || Arc::clone(&self) as Arc<dyn Wake>;
        let permit = self.turn.acquire(&self.host, room, waiter);
        if permit.is_some() {
            return self.grant(permit);
        }
        if !can_wait && self.asker.leave(self.number) {
            let circle = Circle(vec![self.host.name.clone()]);
            self.asker
                .fail(self.number, |_| Unending::Room.error(&circle));
        }
    }

    fn grant(&self, permit: Option<Permit>) {
        // Once the mailbox is closed, it grants every place.
        if self.host.mailbox.is_closed() {
            drop((self.asker.take_reserved(self.number), permit));
            return self.asker.refuse(self.target, self.number, &self.host);
        }
        let mut has = Reserved::Has(permit);
        let is_wanted = self.asker.with_relayed(|relayed| {
            let reserved = relayed.reserved.get_mut(&self.number);
            let is_wanted = reserved.is_some();
            if let Some(reserved) = reserved {
                std::mem::swap(reserved, &mut has);
            }
            is_wanted
        });
        // Without the lock.
        drop(has);
        if is_wanted == Some(true) {
            let admitted = encode(Kind::Admitted, self.number, b"");
            self.asker.send(admitted, None);
        }
    }
}

impl Wake for Reserving {
    fn wake_or_decline(&self) -> bool {
        let number = &self.number;
        let is_wanted = self
            .asker
            .with_relayed(|relayed| relayed.reserved.contains_key(number));
        if is_wanted == Some(true) {
            self.wake();
            return false;
        }
        // The child has gone, maybe with thousands that wait.
        self.turn.decline()
    }

    fn wake(&self) {
        let permit = self.turn.granted();
        if permit.is_some() {
            self.grant(permit);
        }
    }
}
