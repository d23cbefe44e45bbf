//! A message of a child on its way into the mailbox of another actor, which may be full.
//!
//! The message waits for a place by itself, or a place is reserved before the child sends it: then the
//! child can still decide not to.

use std::sync::Arc;

use super::asker::Asker;
use super::held::Reserved;
use super::onward::Onward;
use super::turn::Turn;
use crate::engine::cell;
use crate::engine::ipc::frame::{Kind, encode};
use crate::engine::ipc::relay::{Address, Place};
use crate::engine::latch::Latch;
use crate::engine::room::{Permit, Wake};
use crate::engine::waits::Circle;
use crate::py::future::ActorCell;
use crate::py::host::host::Host;
use crate::py::interpreter::lifecycle;
use crate::py::message::fault::Unending;
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
    /// If the mailbox is bounded.
    pub(super) turn: Option<Arc<Turn>>,
}

impl Entering {
    pub(super) fn enter(self: &Arc<Self>) {
        let (Some(room), Some(turn)) = (self.host.mailbox.room(), &self.turn) else {
            return self.put(None);
        };
        let permit = match self.address.place {
            Place::Reserved => self.asker.take_reserved(self.number),
            Place::Unneeded | Place::Awaited => None,
        };
        let waiter = || Arc::clone(self) as Arc<dyn Wake>;
        let permit = permit.or_else(|| turn.acquire(&self.host, room, waiter));
        if permit.is_some() {
            self.put(permit);
        }
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
        }
        // As in `Host::admit`: during the interpreter's exit an actor cannot send to itself.
        let is_own = self.asker.link.tally.node.id == self.host.tally.node.id;
        let is_refused = is_own && lifecycle::is_exiting();
        let cell = Arc::clone(&self.cell);
        if is_refused || !self.host.accept_relayed(cell, self.is_told) {
            return self.refuse();
        }
        // Not before it is in the mailbox: the thread that hears of it may send the next message.
        if self.admitted.is_some() {
            let ends = self.is_told.then_some(self.number);
            let admitted = encode(Kind::Admitted, self.number, b"");
            self.asker.send(admitted, ends);
        }
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
    fn wake(&self) {
        let permit = self.turn.as_ref().and_then(|turn| turn.granted());
        if permit.is_some() {
            self.put(permit);
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
