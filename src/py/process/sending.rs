//! Sends the messages of a link, and keeps count of those in flight.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::link::Link;
use super::outbound::{Outbound, Source};
use crate::engine::ipc::pipe::Flush;
use crate::engine::sys::Handle;
use crate::py::future::ActorCell;

/// Which thread sends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum SentBy {
    Poster,
    IoThread,
    /// The thread that reads the answers: the I/O thread, or one in `result()`.
    Reader,
}

impl Link {
    /// Stores how many messages are in flight, where other threads and members look.
    pub(super) fn count_in_flight(&self, outbound: &Outbound) {
        self.messages_in_flight
            .store(outbound.in_flight.len(), Ordering::SeqCst);
        if let Some(seat) = &self.seat {
            outbound.publish(seat);
        }
    }

    /// Where its messages come from.
    fn source(&self) -> Source<'_> {
        Source {
            mailbox: &self.mailbox,
            seat: self.seat.as_ref(),
        }
    }

    pub(in crate::py) fn messages_in_flight(&self) -> usize {
        self.messages_in_flight.load(Ordering::SeqCst)
    }

    /// How many messages have been sent so far.
    pub(in crate::py) fn sent(&self) -> u64 {
        self.outbound()
            .as_ref()
            .map_or(0, |outbound| outbound.in_flight.count())
    }

    /// The handle to write to, while the pipe has not taken everything.
    pub(in crate::py) fn unsent(&self) -> Option<Arc<Handle>> {
        let outbound = self.outbound();
        let outbound = outbound.as_ref()?;
        let connection = outbound.connection.as_ref()?;
        (!connection.writer.is_empty() && !connection.has_hung_up)
            .then(|| Arc::clone(connection.writer.handle()))
    }

    /// For when the child has closed its end of the pipe: nothing is written any more. The I/O
    /// thread will see that the child ends.
    pub(in crate::py) fn hang_up(&self) {
        if let Some(outbound) = self.outbound().as_mut()
            && let Some(connection) = &mut outbound.connection
        {
            connection.has_hung_up = true;
        }
    }

    /// Sends from the mailbox while fewer than `limit` messages are in flight. If the pipe does not
    /// take everything, a posting thread leaves the rest to the I/O thread. So does any other thread
    /// with a message whose blocks must be copied, since it may hold a lock or have a deadline. The
    /// I/O thread gets that message.
    pub(super) fn pump(self: &Arc<Self>, limit: usize, by: SentBy) -> Option<Arc<ActorCell>> {
        let mut guard = self.outbound();
        let outbound = guard.as_mut()?;
        if by != SentBy::Poster {
            // Some may have been answered.
            self.count_in_flight(outbound);
        }
        let pumped = outbound.pump(&self.source(), || self.carrier(), self.keeps, limit);
        let connection = outbound.connection.as_mut();
        let surplus = connection.map(|connection| connection.relayed.take_surplus());
        self.count_in_flight(outbound);
        drop(guard);
        drop(surplus);
        let is_blocked = pumped.flushed == Flush::Blocked && by == SentBy::Poster;
        if is_blocked || (pumped.to_copy.is_some() && by != SentBy::IoThread) {
            self.ring();
        }
        pumped.to_copy
    }

    /// Fills the window. For a thread that has just read answers, or has seen room in the pipe.
    pub(in crate::py) fn refill(self: &Arc<Self>) {
        _ = self.pump(usize::MAX, SentBy::Reader);
    }

    /// Wakes the I/O thread so that it looks at the link. An error is logged after `outbound` is
    /// unlocked: a log handler needs the interpreter, and the thread that has the interpreter may
    /// want `outbound`.
    pub(super) fn ring(&self) {
        let bell = self
            .outbound()
            .as_ref()
            .map(|outbound| Arc::clone(&outbound.bell));
        if let Some(Err(error)) = bell.map(|bell| bell.ring()) {
            log::error!(target: "futures_actors", "actor {}: cannot wake its I/O thread: {error}", self.name);
        }
    }

    /// Makes the I/O thread look into the mailbox regularly for a while.
    pub(super) fn serve_convoy(&self) {
        self.convoy.serve();
        self.ring();
    }
}
