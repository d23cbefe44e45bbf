//! A ticket: what stands in a cell for a message that has been sent ahead to a child.
//!
//! Whether the child begins the message or a caller cancels it, its claim decides. What a future
//! needs of the link that carries it is the trait [`Carrier`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use pyo3::prelude::*;

use crate::engine::ipc::body::Reference;
use crate::engine::ipc::frame::Kind;
use crate::engine::ipc::region::Region;
use crate::engine::latch::Latch;
use crate::engine::room::Permit;
use crate::py::codec::body::{Few, Packed};

/// What carries messages to a child and brings their answers.
pub(in crate::py) trait Carrier: Send + Sync {
    /// Has the I/O thread read the answers, if it has left that to a thread that waits.
    fn resume_io_thread(&self, py: Python<'_>);

    /// Reads in the place of the I/O thread until `done` is set, the latch of the message that was
    /// sent as `sequence`. Returns early if the I/O thread reads, or if there is more to do than to
    /// end this one message: the caller must wait for the latch. An error is what a signal's
    /// handler raised.
    fn read_for(
        self: Arc<Self>,
        py: Python<'_>,
        done: &Latch,
        sequence: u64,
        deadline: Option<Instant>,
    ) -> PyResult<()>;

    /// Frees the blocks that the frame of a withdrawn message refers to.
    fn free(&self, references: &[Reference]);

    /// Whether this is the process that started it, and not one that `os.fork` made.
    fn is_ours(&self) -> bool;
}

/// A message that the child has, in place of the message.
pub(in crate::py) struct Ticket {
    carrier: Arc<dyn Carrier>,
    /// With the child that has it, whichever the link has now.
    region: Arc<Region>,
    sequence: u64,
    pub(in crate::py) is_told: bool,
    /// Its place in a bounded mailbox, until it is known to have begun.
    pub(in crate::py) permit: Option<Permit>,
    /// What the frame refers to: the child's once it claims the message, and until then ours.
    references: Few<Reference>,
    is_withdrawn: AtomicBool,
    /// The message, for another child should this one die: where an actor is started again.
    pub(in crate::py) kept: Option<Box<Packed>>,
}

impl Ticket {
    /// A ticket for `message`, which is about to be sent to the child that has `region`.
    pub(in crate::py) fn new(
        carrier: &Arc<dyn Carrier>,
        region: &Arc<Region>,
        sequence: u64,
        message: &Packed,
        permit: Option<Permit>,
        kept: Option<Packed>,
    ) -> Self {
        Self {
            carrier: Arc::clone(carrier),
            region: Arc::clone(region),
            sequence,
            is_told: message.kind == Kind::Told,
            permit,
            references: message.references(),
            is_withdrawn: AtomicBool::new(false),
            kept: kept.map(Box::new),
        }
    }

    /// What the frame refers to is freed when the ticket is dropped: here its cell is locked.
    pub(in crate::py) fn withdraw(&self) -> bool {
        let withdrawn = self.region.claims().withdraw(self.sequence);
        if withdrawn {
            self.is_withdrawn.store(true, Ordering::SeqCst);
        }
        withdrawn
    }

    pub(in crate::py) fn has_references(&self) -> bool {
        self.references.is_some()
    }

    pub(in crate::py) fn has_begun(&self) -> bool {
        self.region.claims().has_started(self.sequence)
    }

    /// Who brings the answer, and to which number. `None` in a process that `os.fork` made: there
    /// no thread lets go of the carrier's locks, and its descriptors and memory are still the other
    /// process's.
    pub(in crate::py) fn carrier(&self) -> Option<(Arc<dyn Carrier>, u64)> {
        let is_ours = self.carrier.is_ours();
        is_ours.then(|| (Arc::clone(&self.carrier), self.sequence))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(references) = &self.references
            && self.is_withdrawn.load(Ordering::SeqCst)
        {
            self.carrier.free(references);
        }
    }
}
