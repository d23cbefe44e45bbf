//! A message as a cell holds it: the Python objects, the encoded frame, or what stands for it.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use super::ticket::{Carrier, Ticket};
use crate::engine::cell::Claimable;
use crate::engine::ipc::frame::Kind;
use crate::engine::room::Permit;
use crate::py::codec::body::Packed;

/// What is posted.
pub(in crate::py) enum Message {
    /// For `handle`.
    Object(Py<PyAny>),
    /// For `submit`: a function and its arguments.
    Call(Py<PyAny>, Py<PyTuple>, Option<Py<PyDict>>),
    /// For a proxy: the name of a method of the actor, and its arguments.
    Method(Py<PyString>, Py<PyTuple>, Option<Py<PyDict>>),
    /// Any of them, encoded for a child.
    Frame(Packed),
    /// For `handle`, and its answer for nobody.
    Told(Py<PyAny>),
    /// Stands for a frame that a child has.
    Ticket(Ticket),
    /// Stands for a message that nobody will ever begin.
    Revoked,
    /// Any of them, and its place in a bounded mailbox.
    Bounded(Box<Message>, Permit),
}

impl Message {
    /// The message, with the place that it has in a bounded mailbox: that is released when it begins
    /// or is dropped.
    pub(in crate::py) fn bounded(self, permit: Option<Permit>) -> Self {
        match permit {
            Some(permit) => Self::Bounded(Box::new(self), permit),
            None => self,
        }
    }

    /// Drops a message that nobody will begin. It is detached that memory is given back to the
    /// system, which takes its time.
    pub(in crate::py) fn discard(self, py: Python<'_>) {
        if self.has_blocks() {
            py.detach(|| drop(self));
        }
    }

    fn has_blocks(&self) -> bool {
        match self {
            Self::Frame(packed) => packed.has_blocks(),
            Self::Ticket(ticket) => ticket.has_references(),
            Self::Bounded(message, _) => message.has_blocks(),
            _ => false,
        }
    }

    /// Whether nobody awaits its end.
    pub(in crate::py) fn is_told(&self) -> bool {
        match self {
            Self::Told(_) => true,
            Self::Frame(packed) => packed.kind == Kind::Told,
            Self::Ticket(ticket) => ticket.is_told,
            Self::Bounded(message, _) => message.is_told(),
            _ => false,
        }
    }

    /// The message that a dead child had and has not begun, if it was kept: true. Otherwise what
    /// was given.
    pub(in crate::py) fn into_unsent(self) -> (Self, bool) {
        match self {
            Self::Ticket(mut ticket) if !ticket.has_begun() => match ticket.kept.take() {
                Some(kept) => (Self::Frame(*kept).bounded(ticket.permit.take()), true),
                None => (Self::Ticket(ticket), false),
            },
            message => (message, false),
        }
    }

    /// The place of a message that a child has, for who knows that it has begun there.
    pub(in crate::py) fn take_permit(&mut self) -> Option<Permit> {
        match self {
            Self::Ticket(ticket) => ticket.permit.take(),
            _ => None,
        }
    }

    /// What brings the answer of a message that a child has, and to which number.
    pub(in crate::py) fn carrier(&mut self) -> Option<(Arc<dyn Carrier>, u64)> {
        match self {
            Self::Ticket(ticket) => ticket.carrier(),
            _ => None,
        }
    }
}

impl Claimable for Message {
    fn withdraw(&self) -> bool {
        match self {
            Self::Ticket(ticket) => ticket.withdraw(),
            _ => true,
        }
    }

    fn has_begun(&self) -> bool {
        match self {
            Self::Ticket(ticket) => ticket.has_begun(),
            _ => false,
        }
    }
}
