//! How messages get from a mailbox to an actor. A new transport implements [`Transport`].

use std::sync::Arc;
use std::time::Instant;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::streams::{RunningStream, Stalled};
use crate::engine::ipc::frame::Kind;
use crate::engine::mailbox::Mailbox;
use crate::engine::room::{Granted, Permit};
use crate::engine::sys;
use crate::py::codec::body::Body;
use crate::py::future::ActorCell;
use crate::py::message::fault::Force;
use crate::py::message::items::Items;
use crate::py::message::message::Message;
use crate::py::message::request::{Asked, Wants};
use crate::py::message::tally::{Counts, Tally};

/// How messages get from a mailbox to the actor.
pub(in crate::py) trait Transport: Send + Sync {
    /// Makes a message. An error fails only this message.
    fn pack(&self, asked: Asked<'_, '_>, wants: Wants) -> PyResult<Message>;

    /// Makes a message with its place in a bounded mailbox, and puts it into `cell`. It is made where it
    /// stays, since to move one costs as much as a lock.
    fn pack_into(
        &self,
        cell: &ActorCell,
        asked: Asked<'_, '_>,
        wants: Wants,
        permit: Option<Permit>,
    ) -> PyResult<()> {
        cell.post(self.pack(asked, wants)?.bounded(permit));
        Ok(())
    }

    /// Makes a message of one that came from another process; `items` is where its items go, if it is a
    /// stream. Called detached, and must not block. The error says why such messages cannot be sent.
    fn adopt(
        &self,
        kind: Kind,
        body: Body,
        items: Option<Arc<Items>>,
    ) -> Result<Message, &'static str>;

    /// Called when the mailbox has a new message or was closed. Must not block, and must be detached
    /// while it makes system calls.
    fn rouse(&self, py: Python<'_>);

    /// Like `rouse`, by a thread that is not attached. It must not block.
    fn rouse_detached(&self);

    /// The messages that have left the mailbox and may not have begun.
    fn in_flight(&self) -> Vec<Arc<ActorCell>>;

    /// Whether the calling thread is one that the host's own thread waits for before it ends.
    fn is_own_thread(&self) -> bool {
        false
    }

    /// The tracebacks of the actor's threads, as text.
    fn dump_traceback(&self, py: Python<'_>, deadline: Option<Instant>) -> PyResult<Dump>;

    /// Releases the places of messages that have left the mailbox and have begun. Each message that had
    /// begun before the call has no place after it, whichever thread has released that. While a sender
    /// waits for room, the transport from now on releases further places by itself. Call it detached; it
    /// takes locks briefly.
    fn release_begun(&self) -> Vec<Granted> {
        Vec::new()
    }

    /// Ends the actor, whatever it is doing, if that is possible. Then the messages that it leaves
    /// behind fail when it has ended. The caller closes the mailbox afterwards. Called detached; must
    /// not block.
    fn signal(&self, force: Force) -> sys::Result<Signalled>;

    /// The counts of the tally, with what only the transport knows. Call it detached; it takes locks
    /// briefly.
    fn counts(&self, tally: &Tally) -> Counts {
        tally.counts()
    }

    /// The streams that the actor runs, or may be about to run.
    fn streams(&self) -> Vec<RunningStream> {
        Vec::new()
    }

    /// Whether nothing runs but what is `stalled`, nor a callback of a message, and no message can begin:
    /// for the interpreter's exit. False if that is not certain.
    fn is_at_rest(&self, mailbox: &Mailbox<Arc<ActorCell>>, stalled: Stalled) -> bool;

    /// Whether the actor has died and is being started again.
    fn is_restarting(&self) -> bool {
        false
    }

    /// The process that the actor lives in, while it lives.
    fn pid(&self) -> Option<u32>;

    /// Visits the Python objects that it holds.
    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        _ = visit;
        Ok(())
    }
}

/// Whether the actor can be ended from outside.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::py) enum Signalled {
    Yes,
    No,
}

/// The result of asking for an actor's tracebacks.
pub(in crate::py) enum Dump {
    Text(String),
    TimedOut(&'static str),
    Ended,
}
