//! Blocks of shared memory for big buffers, which cross without the pipe: one copy in, none out.
//!
//! The file that a parent shares with its child is cut into slots, each a range of offsets so large
//! that every block fits; what has not been reserved takes no memory. Half of the slots are the
//! parent's to fill, half the child's. `slots.rs` has the protocol of who may touch which; here are
//! their bytes.
//!
//! Invariant: a block in use belongs to one [`Block`] value in one process, or to a frame that has
//! not arrived; who drops the value frees the slot. A process that `fork` made frees nothing.

mod memory;
mod refusal;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use self::memory::{Memory, Side};
pub use self::refusal::Refusal;
use super::ipc::body::Reference;
use super::ipc::region::{Region, Setting};
use super::sys::{self, Error, Handle, SharedBytes};

/// Why there is no block for a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotReceived {
    /// It refers to none: the link is broken.
    Nonsense,
    /// It cannot be mapped, and has been freed.
    System(Error),
}

#[derive(Debug)]
pub struct Arena {
    memory: Memory,
    process: u32,
    refused: AtomicBool,
    /// What this process has been given and not dropped, by the address of its first byte.
    received: Mutex<BTreeMap<usize, Weak<Block>>>,
}

impl Arena {
    /// The parent's: blocks may take `limit_bytes` on either side.
    pub fn create(region: Arc<Region>, file: Arc<Handle>, limit_bytes: u64) -> Self {
        Self::new(Memory::create(region, file, limit_bytes))
    }

    /// The child's.
    pub fn join(region: Arc<Region>, file: Arc<Handle>) -> Self {
        Self::new(Memory::join(region, file))
    }

    fn new(memory: Memory) -> Self {
        Self {
            memory,
            process: sys::process_id(),
            refused: AtomicBool::new(false),
            received: Mutex::default(),
        }
    }

    /// The other process is gone: no more blocks, and no handle.
    pub fn close(&self) {
        self.memory.close();
    }

    /// Gives the memory back that no block has used since the last call; for the parent, which calls
    /// it now and then for both sides.
    pub fn age(&self) {
        self.memory.age();
    }

    /// Whether there is, or may soon be, something for `age` to do.
    pub fn has_memory(&self) -> bool {
        self.memory.has_memory()
    }

    /// How many bytes the blocks of both sides take: those in use, and those that are free.
    pub fn usage_bytes(&self) -> (u64, u64) {
        self.memory.usage_bytes()
    }

    /// In a process that `fork` has just made: what its views show is its own from here on, and
    /// none of it can be given away or freed.
    pub fn after_fork(&self) -> Result<(), Error> {
        // Another thread may have held the lock, and is not here to let go.
        let Ok(received) = self.received.try_lock() else {
            return Err(Error::DEADLOCK);
        };
        let blocks: Vec<_> = received.values().filter_map(Weak::upgrade).collect();
        drop(received);
        let mut views = blocks.iter();
        views.try_for_each(|block| block.bytes.make_private())
    }

    fn received(&self) -> MutexGuard<'_, BTreeMap<usize, Weak<Block>>> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new block of `len_bytes`, which this process must fill. May block while the system finds
    /// the memory.
    pub fn take(self: &Arc<Self>, len_bytes: usize) -> Result<Block, Refusal> {
        let taken = self.memory.take(len_bytes).and_then(|slot| {
            let block = self.block(slot, 0, len_bytes, Origin::Here);
            block.map_err(Refusal::System)
        });
        if let (Side::Child, Err(refusal)) = (self.memory.side, &taken) {
            let why = self.memory.region.setting(Setting::ChildRefused);
            why.store(refusal.to_word(), Ordering::SeqCst);
        }
        taken
    }

    /// A block in a slot that this process has.
    fn block(
        self: &Arc<Self>,
        slot: usize,
        at: usize,
        len_bytes: usize,
        origin: Origin,
    ) -> Result<Block, Error> {
        match self.memory.map(slot) {
            Ok(bytes) => Ok(Block {
                arena: Arc::clone(self),
                slot,
                at,
                len_bytes,
                bytes,
                origin,
            }),
            Err(error) => {
                self.memory.release(slot);
                Err(error)
            }
        }
    }

    /// Whether to warn: once for an actor, and the parent does it, which hears of the child's.
    pub fn is_first_refusal(&self) -> bool {
        self.memory.side == Side::Parent && !self.refused.swap(true, Ordering::SeqCst)
    }

    /// Why the child could not have a block, told once.
    pub fn take_child_refusal(&self) -> Option<Refusal> {
        let why = self.memory.region.setting(Setting::ChildRefused);
        if why.load(Ordering::SeqCst) == 0 {
            return None;
        }
        Refusal::from_word(why.swap(0, Ordering::SeqCst))
    }

    /// The block that a frame has brought. It is this process's from now on. May block while much
    /// memory is mapped for the first time.
    pub fn receive(self: &Arc<Self>, reference: Reference) -> Result<Block, NotReceived> {
        let number = |number| usize::try_from(number).map_err(|_| NotReceived::Nonsense);
        let slot = number(reference.slot)?;
        let size = self.memory.size_in_use(slot);
        let end = reference.at.checked_add(reference.len_bytes);
        let fits = size.zip(end).is_some_and(|(size, end)| end <= size);
        if reference.len_bytes == 0 || !fits {
            return Err(NotReceived::Nonsense);
        }
        let (at, len_bytes) = (number(reference.at)?, number(reference.len_bytes)?);
        let block = self.block(slot, at, len_bytes, Origin::There);
        block.map_err(NotReceived::System)
    }

    /// Frees what a frame refers to that nobody will receive.
    pub fn free(&self, reference: Reference) {
        if let Ok(slot) = usize::try_from(reference.slot) {
            self.memory.discard(slot);
        }
    }

    /// The received block that has all of these bytes.
    pub fn find(&self, address: usize, len_bytes: usize) -> Option<Arc<Block>> {
        let received = self.received();
        let (start, block) = received.range(..=address).next_back()?;
        let (inside, block) = (address - start, block.upgrade()?);
        // Before the block is dropped, which looks in there too.
        drop(received);
        (inside <= block.len_bytes && len_bytes <= block.len_bytes - inside).then_some(block)
    }
}

/// A block of this process: what it is about to send, or has received. It is freed when this is
/// dropped.
#[derive(Debug)]
pub struct Block {
    arena: Arc<Arena>,
    slot: usize,
    /// Where it begins in the slot.
    at: usize,
    len_bytes: usize,
    bytes: Arc<SharedBytes>,
    origin: Origin,
}

/// What is to become of a block that is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
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
            Origin::Here => self.arena.memory.discard(self.slot),
            Origin::There => self.arena.memory.release(self.slot),
            Origin::Gone => {}
        }
    }
}
