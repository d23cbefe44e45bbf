//! A ticket takes the place of a message in its cell when the message has been sent to a child.
//!
//! The message's claim decides whether the child begins it or a caller cancels it. The trait
//! [`Carrier`] is what a future needs of the link that carries its message.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use pyo3::prelude::*;

use super::items::Items;
use super::request::Wants;
use crate::engine::ipc::body::Reference;
use crate::engine::ipc::region::Region;
use crate::engine::latch::Latch;
use crate::engine::room::Permit;
use crate::py::codec::packed::Packed;

/// What carries messages to a child and brings their answers.
pub(in crate::py) trait Carrier: Send + Sync {
    /// Makes the I/O thread read the answers, if it has left that to a waiting thread.
    fn resume_io_thread(&self, py: Python<'_>);

    /// Reads in the place of the I/O thread until `done` is set, the latch of the message that was
    /// sent as `sequence`. Returns early if the I/O thread reads, or if it must do more than end this
    /// one message: the caller must then wait for the latch. An error is what a signal handler raised.
    fn read_for(
        self: Arc<Self>,
        py: Python<'_>,
        done: &Latch,
        sequence: u64,
        deadline: Option<Instant>,
    ) -> PyResult<()>;

    /// For a thread that waits for an item of the stream that was sent as `sequence`: `done` is set when
    /// one comes. Reads as `read_for` does, or has another thread read.
    fn read_item_for(
        self: Arc<Self>,
        py: Python<'_>,
        done: &Latch,
        sequence: u64,
        deadline: Option<Instant>,
    ) -> PyResult<()> {
        _ = (done, sequence, deadline);
        self.resume_io_thread(py);
        Ok(())
    }

    /// Wakes the child if it waits in the middle of a stream, since it may go on or must stop. Call it
    /// detached.
    fn wake_child(&self);

    /// Has what carries the messages say what has become of message `sequence`, or do something about
    /// it. Returns what it says; `None` if this process can see and do that itself.
    fn ask(&self, py: Python<'_>, sequence: u64, ask: Ask) -> PyResult<Option<bool>> {
        _ = (py, sequence, ask);
        Ok(None)
    }

    /// Like `ask`, but does not wait for what is said.
    fn ask_soon(&self, py: Python<'_>, sequence: u64, ask: Ask) {
        _ = (py, sequence, ask);
    }

    /// Frees the blocks that the frame of a withdrawn message refers to.
    fn free(&self, references: &[Reference]);

    /// Whether this process started the child, and is not a copy that `os.fork` made.
    fn is_ours(&self) -> bool;
}

/// What is asked about a message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::py) enum Ask {
    HasBegun,
    /// Cancel it, if it has not begun.
    Cancel,
    /// Cancel it, or if it has begun, ask it to stop. Whether one of the two was done.
    Stop,
    /// Cancel it, or if an async actor has begun it, ask it to stop. Whether one of the two was done.
    Abandon,
}

/// What all tickets of one child have in common.
pub(in crate::py) struct Passage {
    pub(in crate::py) carrier: Arc<dyn Carrier>,
    /// Shared with that child, which need not be the link's current one.
    pub(in crate::py) region: Arc<Region>,
}

/// Takes the place of a message that the child has.
pub(in crate::py) struct Ticket {
    passage: Arc<Passage>,
    sequence: u64,
    /// Where its items go, if it is a stream.
    pub(super) items: Option<Arc<Items>>,
    /// Its place in a bounded mailbox, until it is known to have begun.
    pub(super) permit: Permit,
    /// In a box, because few messages have any.
    left: Option<Box<Left>>,
    is_withdrawn: AtomicBool,
    is_told: bool,
}

/// What this process still has of a message that it has sent.
enum Left {
    /// The blocks that the frame refers to. They belong to this process until the child claims the
    /// message.
    Blocks(Vec<Reference>),
    /// The message with its blocks, so that it can be sent to the next child, if the actor may be
    /// started again.
    Whole(Packed),
}

impl Ticket {
    /// A ticket for `message`, which is about to be sent on `passage`.
    pub(in crate::py) fn new(
        passage: &Arc<Passage>,
        sequence: u64,
        message: &Packed,
        items: Option<Arc<Items>>,
        permit: Option<Permit>,
        kept: Option<Packed>,
    ) -> Self {
        let left = match kept {
            Some(kept) => Some(Left::Whole(kept)),
            None => message.references().map(Left::Blocks),
        };
        Self {
            passage: Arc::clone(passage),
            sequence,
            items,
            permit: permit.unwrap_or_default(),
            left: left.map(Box::new),
            is_withdrawn: AtomicBool::new(false),
            is_told: message.kind.is_told(),
        }
    }

    /// What its caller wants to hear of it.
    pub(super) fn wants(&self) -> Wants {
        Wants::of(self.is_told, self.items.clone())
    }

    /// Whether the message itself is here.
    pub(super) fn is_kept(&self) -> bool {
        matches!(self.left.as_deref(), Some(Left::Whole(_)))
    }

    /// Takes out the message, if it is here.
    pub(super) fn take_kept(&mut self) -> Option<Packed> {
        match self.left.take().map(|left| *left) {
            Some(Left::Whole(kept)) => Some(kept),
            left => {
                self.left = left.map(Box::new);
                None
            }
        }
    }

    /// Takes the message back: true if the child has not begun it and never will. The blocks are
    /// freed later, when the ticket is dropped, because the cell is locked here.
    pub(in crate::py) fn withdraw(&self) -> bool {
        let withdrawn = self.passage.region.claims().withdraw(self.sequence);
        if withdrawn {
            self.is_withdrawn.store(true, Ordering::SeqCst);
        }
        withdrawn
    }

    pub(in crate::py) fn has_references(&self) -> bool {
        match self.left.as_deref() {
            None => false,
            Some(Left::Blocks(_)) => true,
            Some(Left::Whole(kept)) => kept.has_blocks(),
        }
    }

    pub(in crate::py) fn has_begun(&self) -> bool {
        self.passage.region.claims().has_started(self.sequence)
    }

    /// Asks the child to stop the message, if it has begun and was not sent by `tell`.
    pub(in crate::py) fn ask(&self) -> bool {
        !self.is_told && self.passage.region.claims().ask(self.sequence)
    }

    /// What brings the answer, and the message's number. `None` in a process that `os.fork` made:
    /// there the carrier's locks may stay locked forever, and its descriptors and memory belong to
    /// the other process.
    pub(in crate::py) fn carrier(&self) -> Option<(Arc<dyn Carrier>, u64)> {
        let carrier = &self.passage.carrier;
        let is_ours = carrier.is_ours();
        is_ours.then(|| (Arc::clone(carrier), self.sequence))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let Some(left) = self.left.take() else {
            return;
        };
        match *left {
            Left::Blocks(blocks) if self.is_withdrawn.load(Ordering::SeqCst) => {
                self.passage.carrier.free(&blocks);
            }
            Left::Whole(kept) if !self.is_withdrawn.load(Ordering::SeqCst) => {
                drop(kept.into_frame());
            }
            // What is kept frees its blocks when it is dropped.
            Left::Blocks(_) | Left::Whole(_) => {}
        }
    }
}
