//! Blocks of shared memory for big buffers, which do not go through the pipe: one copy in, none out.
//!
//! The file that a parent shares with its child is divided into slots. Each is a range of offsets so
//! large that every block fits; ranges that are not reserved take no memory. The parent fills half of
//! the slots, the child the other half. `slots.rs` has the protocol that decides which process may
//! touch a slot; here are the slots' bytes.
//!
//! Invariant: a block in use belongs to one [`Block`] value in one process, or to a frame that has
//! not arrived. Dropping the value frees the slot, unless forked processes still read it: see
//! `forks.rs`. A process that `fork` made frees nothing.

pub mod forks;
mod lending;
mod memory;
mod refusal;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use self::lending::{Lending, Lent};
use self::memory::{Memory, Side};
pub use self::refusal::Refusal;
use super::ipc::body::Reference;
use super::ipc::region::{Region, Setting};
use super::sys::{self, Error, Handle, SharedBytes};

/// Why there is no block for a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotReceived {
    /// The reference is to no block: the other process has sent nonsense.
    Nonsense,
    /// It cannot be mapped, and has been freed.
    System(Error),
}

#[derive(Debug)]
pub struct Arena {
    memory: Arc<Memory>,
    lending: Arc<Lending>,
    process: u32,
    refused: AtomicBool,
    /// How many forks are under way: see `forks.rs`.
    forks: AtomicUsize,
    /// The blocks that this process has received and not dropped, by the address of the first byte,
    /// except those that were copied when received, which no fork shares.
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
        let memory = Arc::new(memory);
        Self {
            lending: Arc::new(Lending::new(&memory)),
            memory,
            process: sys::process_id(),
            forks: AtomicUsize::new(0),
            refused: AtomicBool::new(false),
            received: Mutex::default(),
        }
    }

    /// For when the other process is gone: there are no new blocks, and the handle is closed. Nothing
    /// may be received at the same time or later.
    pub fn close(&self) {
        // A later fork maps these blocks privately, for which it needs the handle, or what is
        // prepared here with the handle.
        for block in self.received_blocks() {
            block.prepare_for_forks();
        }
        self.memory.close();
    }

    /// Gives back memory that no block has used since the last call. The parent calls it now and
    /// then, for both sides.
    pub fn age(&self) {
        self.memory.age();
    }

    /// Whether there is, or may soon be, something for `age` to do.
    pub fn has_memory(&self) -> bool {
        self.memory.has_memory()
    }

    /// Whether the other process is gone.
    pub fn is_closed(&self) -> bool {
        self.memory.is_closed()
    }

    /// How many bytes the blocks of both sides take: those in use, and those that are free.
    pub fn usage_bytes(&self) -> (u64, u64) {
        self.memory.usage_bytes()
    }

    fn received(&self) -> MutexGuard<'_, BTreeMap<usize, Weak<Block>>> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn received_blocks(&self) -> Vec<Arc<Block>> {
        let received = self.received();
        received.values().filter_map(Weak::upgrade).collect()
    }

    /// A new block of `len_bytes`, which this process must fill. May block while the system finds
    /// the memory.
    pub fn take(self: &Arc<Self>, len_bytes: usize) -> Result<Block, Refusal> {
        let taken = self.memory.take(len_bytes).and_then(|slot| {
            let block = self.block(slot, 0, len_bytes, OnDrop::Discard);
            block.map_err(Refusal::System)
        });
        if let (Side::Child, Err(refusal)) = (self.memory.side, &taken) {
            let why = self.memory.region.setting(Setting::ChildRefused);
            why.store(refusal.to_word(), Ordering::SeqCst);
        }
        taken
    }

    /// A block in a slot that belongs to this process.
    fn block(
        self: &Arc<Self>,
        slot: usize,
        at: usize,
        len_bytes: usize,
        on_drop: OnDrop,
    ) -> Result<Block, Error> {
        match self.memory.map(slot) {
            Ok(bytes) => Ok(Block {
                arena: Arc::clone(self),
                slot,
                at,
                len_bytes,
                bytes,
                sharing: Mutex::default(),
                on_drop,
            }),
            Err(error) => {
                self.memory.release(slot);
                Err(error)
            }
        }
    }

    /// Whether to warn: once for an actor. The parent warns for the child too.
    pub fn is_first_refusal(&self) -> bool {
        self.memory.side == Side::Parent && !self.refused.swap(true, Ordering::SeqCst)
    }

    /// Why the child did not get a block. It is returned once.
    pub fn take_child_refusal(&self) -> Option<Refusal> {
        let why = self.memory.region.setting(Setting::ChildRefused);
        if why.load(Ordering::SeqCst) == 0 {
            return None;
        }
        Refusal::from_word(why.swap(0, Ordering::SeqCst))
    }

    /// The block that a frame has brought. From now on it belongs to this process, and `find` finds
    /// it. May block while much memory is mapped for the first time.
    pub fn receive(self: &Arc<Self>, reference: Reference) -> Result<Arc<Block>, NotReceived> {
        let number = |number| usize::try_from(number).map_err(|_| NotReceived::Nonsense);
        let slot = number(reference.slot)?;
        let size = self.memory.size_in_use(slot);
        let end = reference.at.checked_add(reference.len_bytes);
        let fits = size.zip(end).is_some_and(|(size, end)| end <= size);
        if reference.len_bytes == 0 || !fits {
            return Err(NotReceived::Nonsense);
        }
        let (at, len_bytes) = (number(reference.at)?, number(reference.len_bytes)?);
        let block = self.block(slot, at, len_bytes, OnDrop::Release);
        let block = Arc::new(block.map_err(NotReceived::System)?);
        let mut received = self.received();
        if self.forks.load(Ordering::SeqCst) == 0 {
            received.insert(block.address(), Arc::downgrade(&block));
            return Ok(block);
        }
        drop(received);
        // A fork is under way and will not find it in the list. No other thread has seen it yet.
        block.make_own().map_err(NotReceived::System)?;
        Ok(block)
    }

    /// Frees the block that a frame refers to, which will never be received.
    pub fn free(&self, reference: Reference) {
        if let Ok(slot) = usize::try_from(reference.slot) {
            self.memory.discard(slot);
        }
    }

    /// The received block that contains all of these bytes.
    pub fn find(&self, address: usize, len_bytes: usize) -> Option<Arc<Block>> {
        let received = self.received();
        let (start, block) = received.range(..=address).next_back()?;
        let (inside, block) = (address - start, block.upgrade()?);
        // Before the block is dropped, which locks the list too.
        drop(received);
        (inside <= block.len_bytes && len_bytes <= block.len_bytes - inside).then_some(block)
    }
}

/// A block that this process is about to send, or has received. Dropping it frees the block.
#[derive(Debug)]
pub struct Block {
    arena: Arc<Arena>,
    slot: usize,
    /// Where it begins in the slot.
    at: usize,
    len_bytes: usize,
    /// All of its slot.
    bytes: SharedBytes,
    sharing: Mutex<Sharing>,
    on_drop: OnDrop,
}

/// Whether other processes see what is written to a block.
///
/// ```text
///           make_private               make_own
///  Shared ──────────────▶ Lent ───────────────────────▶ Own
///     │                                                   ▲
///     └───────────▶ Prepared ─────────────────────────────┘
///  prepare_for_forks            make_private
/// ```
#[derive(Debug, Default)]
enum Sharing {
    /// The process at the other end of the arena does, when it has the block.
    #[default]
    Shared,
    /// As `Shared`, but that process is gone, so no other process uses the slot. At a fork, these
    /// bytes take the place of the block's.
    Prepared(SharedBytes),
    /// None does. Pages that were not written to are still in the slot, where forked processes read
    /// them.
    Lent(Arc<Lent>),
    /// None does, and no process uses the slot.
    Own,
}

/// What happens to a block's slot when the block is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnDrop {
    /// Its memory is given back: the block was made here and not sent.
    Discard,
    /// It is free for the next block: this one has been received.
    Release,
    /// The block was sent to the other process, which frees the slot.
    Nothing,
}

impl Block {
    pub fn len_bytes(&self) -> usize {
        self.len_bytes
    }

    pub fn is_in(&self, arena: &Arc<Arena>) -> bool {
        Arc::ptr_eq(&self.arena, arena)
    }

    /// Copies `source` into a new block.
    pub fn fill(&mut self, source: &[u8]) {
        self.bytes.fill(source);
    }

    pub fn as_slice(&self) -> &[u8] {
        self.bytes.slice(self.at, self.len_bytes)
    }

    /// Where it is in this process. Code that has the block may write there.
    pub fn start(&self) -> NonNull<u8> {
        self.bytes.start(self.at)
    }

    fn address(&self) -> usize {
        self.start().addr().get()
    }

    fn sharing(&self) -> MutexGuard<'_, Sharing> {
        self.sharing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The block itself, to send it, if there is no other reference to it and it is `Shared`.
    pub fn into_sole(self: Arc<Self>) -> Result<Self, Arc<Self>> {
        let mut block = Arc::try_unwrap(self)?;
        let sharing = block.sharing.get_mut();
        match sharing.unwrap_or_else(PoisonError::into_inner) {
            Sharing::Shared => Ok(block),
            _ => Err(Arc::new(block)),
        }
    }

    /// From now on only this process sees what it writes. The caller must keep what is returned until
    /// the processes that are forked now have ended. Other threads may use the block meanwhile.
    fn make_private(&self) -> Result<Option<Arc<Lent>>, Error> {
        let mut sharing = self.sharing();
        let private = match std::mem::take(&mut *sharing) {
            Sharing::Shared => {
                let twin = self.arena.memory.private_twin(self.slot, &self.bytes)?;
                self.bytes.replace_by(twin)?;
                Sharing::Lent(self.arena.lending.lend(self.slot))
            }
            Sharing::Prepared(twin) => {
                self.bytes.replace_by(twin)?;
                Sharing::Own
            }
            private => private,
        };
        let lent = match &private {
            Sharing::Lent(lent) => Some(Arc::clone(lent)),
            _ => None,
        };
        *sharing = private;
        Ok(lent)
    }

    /// Like `make_private`, and also copies what is still in the slot.
    fn make_own(&self) -> Result<(), Error> {
        let Some(lent) = self.make_private()? else {
            return Ok(());
        };
        self.bytes.copy_pages();
        // The slot is freed with the last reference to `lent`, which an earlier fork may have.
        drop(std::mem::replace(&mut *self.sharing(), Sharing::Own));
        drop(lent);
        Ok(())
    }

    /// Prepares what a fork will need, before the arena is closed.
    fn prepare_for_forks(&self) {
        let mut sharing = self.sharing();
        if let Sharing::Shared = *sharing
            && let Ok(twin) = self.arena.memory.private_twin(self.slot, &self.bytes)
        {
            *sharing = Sharing::Prepared(twin);
        }
    }

    /// Gives it to the other process, which has it once the frame with the reference arrives.
    pub fn leave(mut self) {
        self.on_drop = OnDrop::Nothing;
    }

    /// Reduces the block to the part at this address: see [`Arena::find`].
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

    /// From now on [`Arena::find`] does not find it.
    fn unlist(&self) {
        let mut received = self.arena.received();
        let listed = received.get(&self.address());
        // The entry may be another block's: a part that became a block, at the same address.
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
            // A process that `fork` made. The list's lock may belong to a thread that is not here.
            return;
        }
        self.unlist();
        let sharing = self.sharing.get_mut();
        match sharing.unwrap_or_else(PoisonError::into_inner) {
            Sharing::Shared => {}
            // The arena is closed, or the slot is freed with `Lent`, or is freed already.
            Sharing::Prepared(_) | Sharing::Lent(_) | Sharing::Own => return,
        }
        let bytes = std::mem::take(&mut self.bytes);
        if self.on_drop == OnDrop::Discard && self.arena.memory.is_closed() {
            // Other blocks may keep the file for long, but nobody reads this part of it any more.
            bytes.give_back();
            return;
        }
        self.arena.memory.keep_map(self.slot, bytes);
        match self.on_drop {
            OnDrop::Discard => self.arena.memory.discard(self.slot),
            OnDrop::Release => self.arena.memory.release(self.slot),
            OnDrop::Nothing => {}
        }
    }
}
