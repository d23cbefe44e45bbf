//! A block: who has it, and what becomes of it.

use std::ptr::NonNull;
use std::sync::Arc;

use super::Arena;
use crate::engine::packet::Reference;
use crate::engine::sys::{self, SharedBytes};

/// A block of this process: what it is about to send, or has received. It is freed when this is
/// dropped.
#[derive(Debug)]
pub struct Block {
    pub(super) arena: Arc<Arena>,
    pub(super) slot: usize,
    /// Where it begins in the slot.
    pub(super) at: usize,
    pub(super) len_bytes: usize,
    pub(super) bytes: Arc<SharedBytes>,
    pub(super) origin: Origin,
}

/// What is to become of a block that is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// It was made here and has not been sent: nobody will get it.
    Here,
    /// It has been received: its slot is for the next.
    There,
    /// It has been given to the other process, whose it is to free.
    Gone,
}

impl Block {
    pub fn len_bytes(&self) -> usize {
        self.len_bytes
    }

    /// Copies what it is to hold into a new block.
    pub fn fill(&self, source: &[u8]) {
        self.bytes.fill(source);
    }

    pub fn as_slice(&self) -> &[u8] {
        self.bytes.slice(self.at, self.len_bytes)
    }

    /// Where it is in this process.
    pub fn start(&self) -> NonNull<u8> {
        NonNull::from(self.as_slice()).cast()
    }

    fn address(&self) -> usize {
        self.bytes.start().addr().get() + self.at
    }

    /// Has [`Arena::find`] know of a received block.
    pub fn list(self: &Arc<Self>) {
        let mut received = self.arena.received();
        received.insert(self.address(), Arc::downgrade(self));
    }

    /// Gives it to the other process: who gets the frame with the reference has it from then on.
    pub fn leave(mut self) {
        self.origin = Origin::Gone;
    }

    /// A part of it, which is in it at this address: see [`Arena::find`].
    #[must_use]
    pub fn into_part(mut self, address: usize, len_bytes: usize) -> Self {
        self.unlist();
        self.at += self.inside(address);
        self.len_bytes = len_bytes;
        self
    }

    /// The bytes of such a part.
    pub fn part(&self, address: usize, len_bytes: usize) -> &[u8] {
        self.bytes.slice(self.at + self.inside(address), len_bytes)
    }

    fn inside(&self, address: usize) -> usize {
        address - self.address()
    }

    /// [`Arena::find`] is not to know of it any more.
    fn unlist(&self) {
        let mut received = self.arena.received();
        let listed = received.get(&self.address());
        // A part of it may have become a block of its own, at the same address.
        if listed.is_some_and(|block| block.strong_count() == 0) {
            received.remove(&self.address());
        }
    }

    pub fn reference(&self) -> Reference {
        Reference {
            slot: self.slot as u64,
            at: self.at as u64,
            len_bytes: self.len_bytes as u64,
        }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if sys::process_id() != self.arena.process {
            // Nor does it look into the list, whose lock may be a thread's that is not here.
            return;
        }
        self.unlist();
        match self.origin {
            Origin::Here => self.arena.discard(self.slot),
            Origin::There => self.arena.shared.slots().release(self.slot),
            Origin::Gone => {}
        }
    }
}
