//! The connection to one child: what is written to it, and what it can refer to.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::held::Relayed;
use crate::engine::arena::Arena;
use crate::engine::ipc::frame::Encoded;
use crate::engine::ipc::pipe::{Flush, Writer};
use crate::engine::ipc::region::Region;
use crate::py::message::ticket::Passage;

/// The connection to one child.
pub(in crate::py) struct Connection {
    pub(in crate::py) writer: Writer,
    pub(in crate::py) region: Arc<Region>,
    /// `None` until the first message is sent. With it the link refers to itself, until the connection
    /// is dropped, which is when the child has ended.
    pub(super) passage: Option<Arc<Passage>>,
    /// Where the blocks of messages for this child are.
    pub(super) arena: Arc<Arena>,
    /// The child does not read any more: it has ended, or is about to.
    pub(in crate::py) has_hung_up: bool,
    /// How many messages have been queued.
    pub(super) queued: u64,
    /// The stop frame has been queued.
    pub(super) is_told: bool,
    pub(super) relayed: Relayed,
}

impl Connection {
    pub(in crate::py) fn new(writer: Writer, region: &Arc<Region>, arena: &Arc<Arena>) -> Self {
        Self {
            writer,
            region: Arc::clone(region),
            passage: None,
            arena: Arc::clone(arena),
            has_hung_up: false,
            queued: 0,
            is_told: false,
            relayed: Relayed::default(),
        }
    }

    /// Sends a frame that is about a message or a question of the child.
    pub(super) fn send(&mut self, frame: Encoded) -> Flush {
        self.writer.push(frame);
        self.queued += 1;
        self.flush()
    }

    /// Writes what the pipe takes.
    pub(super) fn flush(&mut self) -> Flush {
        if self.has_hung_up {
            return Flush::Done;
        }
        // On an error the child is gone, or the system lacks some resource. The I/O thread tries again
        // and finds out.
        let flushed = self.writer.flush().unwrap_or(Flush::Blocked);
        if flushed == Flush::Done {
            self.region.sent().store(self.queued, Ordering::Relaxed);
        }
        flushed
    }
}
