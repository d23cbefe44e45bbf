//! A message as a cell holds it: as Python objects, as an encoded frame, or as a ticket in its place.

use std::sync::Arc;

use pyo3::prelude::*;

use super::fault::Unending;
use super::items::Items;
use super::relayed::Relayed;
use super::request::{Call, Wants};
use super::tally::Queued;
use super::ticket::{Carrier, Ticket};
use crate::engine::cell::Claimable;
use crate::engine::ipc::frame::Kind;
use crate::engine::ipc::relay;
use crate::engine::room::{Permit, Seat};
use crate::engine::waits::Node;
use crate::py::codec::body::Body;
use crate::py::codec::packed::Packed;
use crate::py::interpreter::daemon_threads::outlast;

/// A message, in whatever form the cell holds it.
pub(in crate::py) enum Message {
    /// As Python objects, for a thread of this process.
    Call(Call, Wants),
    /// Packed by the carrier of a remote actor.
    Carried(Py<PyAny>, Wants),
    /// Encoded for a child; its kind says whether it was sent by `tell`. If it is a stream, with where
    /// its items go.
    Frame(Packed, Option<Arc<Items>>),
    /// In place of a frame that has been sent to a child.
    Ticket(Ticket),
    /// As it was received from another process, for a thread of this one. The kind is a message's. If
    /// it is a stream, with where its items go.
    Received(Kind, Box<Body>, Option<Arc<Items>>),
    /// In a child, in place of a message to another actor, which the parent has.
    Relayed(Relayed),
    /// In place of a message that will never begin.
    Revoked,
    /// In place of one, for a future that ends when something else does than a message.
    Awaiting(Awaiting),
    /// Any of the above, with its place in a bounded mailbox.
    Bounded(Box<Message>, Permit),
    /// Any of the above, waiting for its place in a bounded mailbox. It is counted meanwhile, unless
    /// another process has sent it.
    Waiting(Box<Message>, Seat, Option<Queued>),
}

// Every cell has room for the largest, and a message in a flood costs as much as its memory.
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Message>() == 56);

/// What a future of no message waits for, and how a deadlock would be told.
#[derive(Clone)]
pub(in crate::py) enum Awaiting {
    /// Until this actor goes on.
    Here(Arc<Node>, Unending),
    /// The same, of an actor that is reached by the parent.
    Relayed(relay::Awaited, Unending),
}

impl Message {
    /// Attaches to the message its place in a bounded mailbox, if that is bounded. The place is
    /// released when the message begins or is dropped.
    pub(in crate::py) fn bounded(self, permit: Option<Permit>) -> Self {
        match permit {
            Some(permit) => Self::Bounded(Box::new(self), permit),
            None => self,
        }
    }

    /// A message that waited for its place, with the place that it is being granted, and whether it
    /// waited. For [`Wake::enter`](crate::engine::room::Wake::enter).
    pub(in crate::py) fn seated(self) -> (Self, bool) {
        match self {
            Self::Waiting(message, seat, queued) => {
                drop(queued);
                (Self::Bounded(message, seat.enter()), true)
            }
            message => (message, false),
        }
    }

    /// Takes out a message that still waits for its place: then it never gets one.
    pub(in crate::py) fn unseated(self) -> (Self, Option<Self>) {
        match self {
            Self::Waiting(..) => (Self::Revoked, Some(self)),
            message => (message, None),
        }
    }

    /// Drops a message that will never begin. If it has shared memory, this is done while detached:
    /// giving memory back to the system takes time.
    pub(in crate::py) fn discard(self, py: Python<'_>) {
        outlast();
        if self.has_blocks() {
            py.detach(|| drop(self));
        }
    }

    fn has_blocks(&self) -> bool {
        match self {
            Self::Frame(packed, _) => packed.has_blocks(),
            Self::Ticket(ticket) => ticket.has_references(),
            Self::Bounded(message, _) | Self::Waiting(message, ..) => message.has_blocks(),
            _ => false,
        }
    }

    /// What its caller wants to hear of it.
    pub(in crate::py) fn wants(&self) -> Wants {
        match self {
            Self::Call(_, wants) | Self::Carried(_, wants) => wants.clone(),
            Self::Frame(packed, items) => Wants::of(packed.kind.is_told(), items.clone()),
            Self::Received(kind, _, items) => Wants::of(kind.is_told(), items.clone()),
            Self::Ticket(ticket) => ticket.wants(),
            Self::Relayed(relayed) => Wants::of(false, relayed.items().cloned()),
            Self::Bounded(message, _) | Self::Waiting(message, ..) => message.wants(),
            Self::Revoked | Self::Awaiting(_) => Wants::Answer,
        }
    }

    /// Where its items go, if it is a stream.
    pub(in crate::py) fn items(&self) -> Option<Arc<Items>> {
        self.wants().into_items()
    }

    /// Another one that shares the packed message, if it has not been sent.
    pub(in crate::py) fn share_packed(&mut self) -> Option<Packed> {
        match self {
            Self::Frame(packed, _) => Some(packed.share()),
            Self::Bounded(message, _) => message.share_packed(),
            _ => None,
        }
    }

    /// Puts `packed` in the place of the packed message, which it returns.
    pub(in crate::py) fn replace_packed(&mut self, packed: Packed) -> Packed {
        match self {
            Self::Frame(old, _) => std::mem::replace(old, packed),
            Self::Bounded(message, _) => message.replace_packed(packed),
            // It has been sent.
            _ => packed,
        }
    }

    /// Turns the ticket of a message that a dead child had not begun into the kept message, and
    /// returns true. Returns false, and the message as it was, if it had begun or was not kept.
    pub(in crate::py) fn into_unsent(self) -> (Self, bool) {
        match self {
            Self::Ticket(mut ticket) if !ticket.has_begun() => match ticket.take_kept() {
                Some(kept) => {
                    let message = Self::Frame(kept, ticket.items.take());
                    (message.bounded(ticket.permit.take()), true)
                }
                None => (Self::Ticket(ticket), false),
            },
            message => (message, false),
        }
    }

    /// Turns the ticket of a message that a child has not begun, and now never will, into the kept
    /// message, and returns true. Returns false, and the message as it was, if the child has begun it.
    pub(in crate::py) fn take_back(self) -> (Self, bool) {
        match self {
            Self::Ticket(mut ticket) if ticket.is_kept() && ticket.withdraw() => {
                match ticket.take_kept() {
                    Some(kept) => {
                        let message = Self::Frame(kept, ticket.items.take());
                        (message.bounded(ticket.permit.take()), true)
                    }
                    None => (Self::Ticket(ticket), false),
                }
            }
            message => (message, false),
        }
    }

    /// Whether the message has a place in a bounded mailbox.
    pub(in crate::py) fn has_permit(&self) -> bool {
        match self {
            Self::Ticket(ticket) => ticket.permit.is_place(),
            Self::Bounded(..) => true,
            _ => false,
        }
    }

    /// Takes the place of a message that has begun in a child.
    pub(in crate::py) fn take_permit(&mut self) -> Option<Permit> {
        match self {
            Self::Ticket(ticket) => ticket.permit.take(),
            _ => None,
        }
    }

    /// Whether this process is a child, whose parent has the message.
    pub(in crate::py) fn is_relayed(&self) -> bool {
        matches!(self, Self::Relayed(_))
    }

    /// What brings the answer to a message that a child has, and the message's sequence number.
    pub(in crate::py) fn carrier(&mut self) -> Option<(Arc<dyn Carrier>, u64)> {
        match self {
            Self::Ticket(ticket) => ticket.carrier(),
            Self::Relayed(relayed) => relayed.carrier(),
            _ => None,
        }
    }
}

impl Claimable for Message {
    fn withdraw(&self) -> bool {
        match self {
            Self::Ticket(ticket) => ticket.withdraw(),
            Self::Relayed(relayed) => relayed.is_withdrawn(),
            _ => true,
        }
    }

    fn has_begun(&self) -> bool {
        match self {
            Self::Ticket(ticket) => ticket.has_begun(),
            Self::Relayed(relayed) => relayed.has_begun(),
            _ => false,
        }
    }

    fn ask(&self) -> bool {
        match self {
            Self::Ticket(ticket) => ticket.ask(),
            Self::Relayed(relayed) => relayed.is_asked(),
            _ => false,
        }
    }
}
