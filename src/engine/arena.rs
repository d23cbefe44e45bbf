//! Blocks of shared memory for big buffers, which cross without the pipe: one copy in, none out.
//!
//! The file that a parent shares with its child is cut into slots, each a range of offsets so large
//! that every block fits; what has not been reserved takes no memory. Half of the slots are the
//! parent's to fill, half the child's. `slots.rs` has the protocol of who may touch which; here are
//! their bytes.
//!
//! Invariant: a block in use belongs to one [`Block`] value in one process, or to a frame that has
//! not arrived; who drops the value frees the slot. A process that `fork` made frees nothing.

mod block;
mod refusal;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

pub use self::block::Block;
use self::block::Origin;
pub use self::refusal::Refusal;
use super::packet::Reference;
use super::shared::{Setting, Shared};
use super::sys::{self, Error, Handle, SharedBytes};

/// Each side's share of the slots.
const SLOTS_EACH: usize = 1024;
pub(super) const SLOTS: usize = 2 * SLOTS_EACH;

/// A slot's range of offsets, and so the largest block. The first range has the words.
const STRIDE_BYTES: u64 = 1 << 40;
pub(super) const LEN_BYTES: u64 = (1 + SLOTS as u64) * STRIDE_BYTES;

/// What sizes are counted in: a multiple of the page of most systems.
const PAGE_BYTES: u64 = 16 * 1024;

/// Below this nobody asks the system whether it has so much.
const MUCH_BYTES: u64 = 64 << 20;

/// Which process this is, and which slots are its to fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Parent,
    Child,
}

impl Side {
    fn used(self) -> Setting {
        match self {
            Self::Parent => Setting::ParentUsed,
            Self::Child => Setting::ChildUsed,
        }
    }

    fn slots(self) -> Range<usize> {
        match self {
            Self::Parent => 0..SLOTS_EACH,
            Self::Child => SLOTS_EACH..SLOTS,
        }
    }
}

/// Which slots are to give their memory back.
#[derive(Clone, Copy)]
enum Which {
    Free,
    /// Those that have been free for a while.
    Old,
}

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
    shared: Arc<Shared>,
    /// `None` once the other process is gone. Blocks do without it.
    file: Mutex<Option<Arc<Handle>>>,
    /// Why the file has no room for blocks.
    no_room: Option<Error>,
    side: Side,
    process: u32,
    refused: AtomicBool,
    /// What this process has mapped, by slot: mappings are kept as long as they are large enough.
    maps: Mutex<BTreeMap<usize, Arc<SharedBytes>>>,
    /// What this process has been given and not dropped, by the address of its first byte.
    received: Mutex<BTreeMap<usize, Weak<Block>>>,
}

impl Arena {
    /// The parent's: blocks may take `limit_bytes` on either side.
    pub fn create(shared: Arc<Shared>, file: Arc<Handle>, limit_bytes: u64) -> Self {
        let no_room = sys::make_sparse(&file, LEN_BYTES).err();
        if no_room.is_none() {
            let limit = shared.setting(Setting::LimitBytes);
            limit.store(limit_bytes, Ordering::SeqCst);
        }
        Self::new(shared, file, Side::Parent, no_room)
    }

    /// The child's.
    pub fn join(shared: Arc<Shared>, file: Arc<Handle>) -> Self {
        Self::new(shared, file, Side::Child, None)
    }

    fn new(shared: Arc<Shared>, file: Arc<Handle>, side: Side, no_room: Option<Error>) -> Self {
        Self {
            shared,
            file: Mutex::new(Some(file)),
            no_room,
            side,
            process: sys::process_id(),
            refused: AtomicBool::new(false),
            maps: Mutex::default(),
            received: Mutex::default(),
        }
    }

    /// The other process is gone: no more blocks, and no descriptor.
    pub fn close(&self) {
        drop(self.lock_file().take());
        drop(std::mem::take(&mut *self.maps()));
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

    fn lock_file(&self) -> MutexGuard<'_, Option<Arc<Handle>>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self) -> Result<Arc<Handle>, Error> {
        self.lock_file().clone().ok_or(Error::CLOSED)
    }

    fn maps(&self) -> MutexGuard<'_, BTreeMap<usize, Arc<SharedBytes>>> {
        self.maps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn received(&self) -> MutexGuard<'_, BTreeMap<usize, Weak<Block>>> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The slots of `side` that have ever been taken.
    fn used(&self, side: Side) -> Range<usize> {
        let slots = side.slots();
        let used = self.shared.setting(side.used()).load(Ordering::SeqCst);
        let used = usize::try_from(used).map_or(SLOTS_EACH, |used| used.min(SLOTS_EACH));
        slots.start..slots.start + used
    }

    /// A new block of `len_bytes`, which this process is to fill. May block while the system finds
    /// the memory.
    pub fn take(self: &Arc<Self>, len_bytes: usize) -> Result<Block, Refusal> {
        let taken = self.try_take(len_bytes);
        if let (Side::Child, Err(refusal)) = (self.side, &taken) {
            let why = self.shared.setting(Setting::ChildRefused);
            why.store(refusal.to_word(), Ordering::SeqCst);
        }
        taken
    }

    fn try_take(self: &Arc<Self>, len_bytes: usize) -> Result<Block, Refusal> {
        let wanted = pages(len_bytes as u64);
        let slots = self.shared.slots();
        let slot = match slots.take_warm(self.used(self.side), wanted) {
            Some(slot) => slot,
            None => self.take_cold(wanted)?,
        };
        let block = self.block(slot, 0, len_bytes);
        let mut block = block.map_err(Refusal::System)?;
        block.origin = Origin::Here;
        Ok(block)
    }

    /// A block in a slot that this process has.
    fn block(self: &Arc<Self>, slot: usize, at: usize, len_bytes: usize) -> Result<Block, Error> {
        match self.map(slot) {
            Ok(bytes) => Ok(Block {
                arena: Arc::clone(self),
                slot,
                at,
                len_bytes,
                bytes,
                origin: Origin::There,
            }),
            Err(error) => {
                self.shared.slots().release(slot);
                Err(error)
            }
        }
    }

    fn take_cold(&self, wanted: u64) -> Result<usize, Refusal> {
        self.make_room(wanted)?;
        let slots = self.shared.slots();
        let mine = self.side.slots();
        let slot = slots.take_cold(mine.clone()).or_else(|| {
            // All have memory, but none is the right size.
            self.trim();
            slots.take_cold(mine.clone())
        });
        let slot = slot.ok_or(Refusal::Exhausted)?;
        let used = self.shared.setting(self.side.used());
        used.fetch_max((slot - mine.start + 1) as u64, Ordering::SeqCst);
        let reserve = |file: Arc<_>| sys::reserve(&file, offset(slot), wanted * PAGE_BYTES);
        if let Err(error) = self.file().and_then(reserve) {
            slots.abandon(slot);
            return Err(Refusal::System(error));
        }
        slots.grown(slot, wanted);
        Ok(slot)
    }

    /// Sees to it that so much more stays under the limit, and that the system has it.
    fn make_room(&self, wanted: u64) -> Result<(), Refusal> {
        if let Some(error) = self.no_room {
            return Err(Refusal::System(error));
        }
        let limit = self.shared.setting(Setting::LimitBytes);
        let limit = limit.load(Ordering::SeqCst) / PAGE_BYTES;
        if limit == 0 {
            return Err(Refusal::Off);
        }
        let slots = self.shared.slots();
        let used = slots.pages(self.used(self.side));
        if used.held + wanted > limit {
            return Err(Refusal::Exhausted);
        }
        if used.held + used.warm + wanted > limit {
            self.trim();
        }
        let wanted_bytes = wanted * PAGE_BYTES;
        if wanted_bytes < MUCH_BYTES || shortage(wanted_bytes).is_none() {
            return Ok(());
        }
        self.trim();
        match shortage(wanted_bytes) {
            Some(available_bytes) => Err(Refusal::NoMemory { available_bytes }),
            None => Ok(()),
        }
    }

    /// Gives the memory of this side's free slots back to the system.
    fn trim(&self) {
        self.trim_slots(self.side, Which::Free);
    }

    /// Gives the memory back that nobody has used since the last call; for the parent, which calls
    /// it now and then for both sides.
    pub fn age(&self) {
        self.trim_slots(Side::Parent, Which::Old);
        self.trim_slots(Side::Child, Which::Old);
    }

    fn trim_slots(&self, side: Side, which: Which) {
        for slot in self.used(side) {
            self.trim_slot(slot, which);
        }
    }

    fn trim_slot(&self, slot: usize, which: Which) {
        let slots = self.shared.slots();
        let trimmed = match which {
            Which::Free => slots.trim(slot),
            Which::Old => slots.age(slot),
        };
        if let Some(pages) = trimmed {
            let give = |file: Arc<_>| sys::give_back(&file, offset(slot), pages * PAGE_BYTES);
            // If the system does not take it, the slot's next block has it.
            _ = self.file().and_then(give);
            slots.trimmed(slot);
        }
    }

    /// Whether there is, or may soon be, something for `age` to do.
    pub fn has_memory(&self) -> bool {
        self.usage_bytes() != (0, 0)
    }

    /// How many bytes the blocks of both sides take: those in use, and those that are free.
    pub fn usage_bytes(&self) -> (u64, u64) {
        let slots = self.shared.slots();
        let both = [Side::Parent, Side::Child].map(|side| slots.pages(self.used(side)));
        let sum = |of: fn(&super::slots::Pages) -> u64| both.iter().map(of).sum::<u64>();
        (sum(|p| p.held) * PAGE_BYTES, sum(|p| p.warm) * PAGE_BYTES)
    }

    /// Whether to warn: once for an actor, and the parent does it, which hears of the child's.
    pub fn is_first_refusal(&self) -> bool {
        self.side == Side::Parent && !self.refused.swap(true, Ordering::SeqCst)
    }

    /// Why the child could not have a block, told once.
    pub fn take_child_refusal(&self) -> Option<Refusal> {
        let why = self.shared.setting(Setting::ChildRefused);
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
        let slots = self.shared.slots();
        let end = reference.at.checked_add(reference.len_bytes);
        let held = slot < SLOTS && slots.is_held(slot);
        let fits = |end| reference.len_bytes > 0 && end <= slots.size(slot) * PAGE_BYTES;
        if !(held && end.is_some_and(fits)) {
            return Err(NotReceived::Nonsense);
        }
        let (at, len_bytes) = (number(reference.at)?, number(reference.len_bytes)?);
        let block = self.block(slot, at, len_bytes);
        block.map_err(NotReceived::System)
    }

    /// Frees what a frame refers to that nobody will receive.
    pub fn free(&self, reference: Reference) {
        if let Ok(slot) = usize::try_from(reference.slot) {
            self.discard(slot);
        }
    }

    /// Frees a slot whose message nobody gets: its memory is given back at once.
    fn discard(&self, slot: usize) {
        self.shared.slots().release(slot);
        self.trim_slot(slot, Which::Free);
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

    fn map(&self, slot: usize) -> Result<Arc<SharedBytes>, Error> {
        let len = self.shared.slots().size(slot) * PAGE_BYTES;
        let len = usize::try_from(len).map_err(|_| Error::NO_MEMORY)?;
        let mut maps = self.maps();
        if let Some(bytes) = maps.get(&slot).filter(|bytes| bytes.len_bytes() >= len) {
            return Ok(Arc::clone(bytes));
        }
        let bytes = Arc::new(SharedBytes::map(&*self.file()?, offset(slot), len)?);
        let old = maps.insert(slot, Arc::clone(&bytes));
        drop(maps);
        drop(old);
        Ok(bytes)
    }
}

/// What the system has, if that is less than is wanted.
fn shortage(wanted_bytes: u64) -> Option<u64> {
    let with_reserve = wanted_bytes.saturating_add(wanted_bytes / 8);
    sys::available_bytes().filter(|available| *available < with_reserve)
}

fn offset(slot: usize) -> u64 {
    (1 + slot as u64) * STRIDE_BYTES
}

/// In eighths of the power of two above: blocks of nearly the same size fit each other's slots.
fn pages(len_bytes: u64) -> u64 {
    let pages = len_bytes.div_ceil(PAGE_BYTES).max(1);
    pages.next_multiple_of((pages.next_power_of_two() / 8).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: u64 = 1 << 30;

    impl Block {
        fn left(self) -> Reference {
            let reference = self.reference();
            self.leave();
            reference
        }
    }

    fn arenas(limit_bytes: u64) -> (Arc<Arena>, Arc<Arena>) {
        let (here, file) = Shared::create().expect("memory");
        let theirs = sys::duplicate(&file).expect("a handle");
        let there = Shared::map(&theirs).expect("memory");
        let parent = Arena::create(Arc::new(here), Arc::new(file), limit_bytes);
        let child = Arena::join(Arc::new(there), Arc::new(theirs));
        (Arc::new(parent), Arc::new(child))
    }

    fn filled(arena: &Arc<Arena>, len_bytes: usize, byte: u8) -> Block {
        let block = arena.take(len_bytes).expect("room");
        block.fill(&vec![byte; len_bytes]);
        block
    }

    #[test]
    fn what_one_side_fills_the_other_has() {
        let (parent, child) = arenas(MANY);
        for (from, to) in [(&parent, &child), (&child, &parent)] {
            let reference = filled(from, 100_000, 7).left();
            let block = to.receive(reference).expect("valid");
            assert_eq!(block.as_slice(), vec![7; 100_000]);
            assert!(from.usage_bytes().0 >= 100_000);
            drop(block);
            assert_eq!(from.usage_bytes().0, 0);
            assert!(from.usage_bytes().1 >= 100_000);
        }
    }

    #[test]
    fn a_freed_block_is_used_again_and_one_in_use_is_not() {
        let (parent, child) = arenas(MANY);
        let first = filled(&parent, 100_000, 1).left();
        let second = filled(&parent, 100_000, 2).left();
        assert_ne!(first.slot, second.slot);
        drop(child.receive(first).expect("valid"));
        let third = filled(&parent, 99_000, 3).left();
        assert_eq!(third.slot, first.slot);
        let second = child.receive(second).expect("valid");
        assert_eq!(second.as_slice()[0], 2);
    }

    #[test]
    fn a_block_goes_back_as_it_is() {
        let (parent, child) = arenas(MANY);
        let there = child
            .receive(filled(&parent, 1 << 20, 5).left())
            .expect("valid");
        let there = Arc::new(there);
        there.list();
        let address = there.start().addr().get();
        let found = child.find(address + 100, 1000).expect("it is there");
        assert!(child.find(address + 100, 1 << 20).is_none());
        assert!(child.find(address.wrapping_sub(1), 10).is_none());
        drop(there);
        let block = Arc::try_unwrap(found).expect("nobody else has it");
        assert_eq!(block.part(address + 7, 2), [5; 2]);
        let part = block.into_part(address + 100, 1000);
        assert!(child.received().is_empty());
        let back = parent.receive(part.left()).expect("valid");
        assert_eq!(back.as_slice(), [5; 1000]);
        drop(back);
        assert_eq!(parent.usage_bytes().0, 0);
    }

    #[test]
    fn the_limit_holds_and_what_is_free_makes_room() {
        let (parent, _child) = arenas(1 << 20);
        let large = parent.take(700_000).expect("room");
        assert_eq!(parent.take(700_000).err(), Some(Refusal::Exhausted));
        drop(large);
        // Too small for what is free, but that is given back for it.
        let small = parent.take(400_000).expect("room");
        assert_eq!(parent.usage_bytes().1, 0);
        drop(small);
        let (none, _child) = arenas(0);
        assert_eq!(none.take(1).err(), Some(Refusal::Off));
    }

    #[test]
    fn idle_memory_of_both_sides_is_given_back() {
        let (parent, child) = arenas(MANY);
        for (from, to) in [(&parent, &child), (&child, &parent)] {
            drop(to.receive(filled(from, 1 << 20, 1).left()).expect("valid"));
        }
        let blocks = || sys::blocks_of(&parent.file().expect("open")).expect("a file");
        let before = blocks();
        assert!(before >= 2 * (1 << 20) / 512);
        assert!(parent.has_memory());
        parent.age();
        assert!(parent.has_memory());
        parent.age();
        assert!(!parent.has_memory());
        assert!(blocks() <= before - 2 * (1 << 20) / 512);
        let again = filled(&child, 1 << 20, 9);
        assert_eq!(again.as_slice()[77], 9);
    }

    #[test]
    fn what_nobody_will_get_is_given_back_at_once() {
        let (parent, _child) = arenas(MANY);
        let sent = filled(&parent, 1 << 20, 1).left();
        drop(filled(&parent, 1 << 20, 2));
        parent.free(sent);
        assert_eq!(parent.usage_bytes(), (0, 0));
    }

    #[test]
    fn references_to_nothing_are_refused() {
        let (parent, child) = arenas(MANY);
        let good = filled(&parent, 100_000, 1).left();
        let bad = [
            Reference { slot: 1, ..good },
            Reference {
                slot: SLOTS as u64,
                ..good
            },
            Reference {
                slot: u64::MAX,
                ..good
            },
            Reference {
                at: 1 << 30,
                ..good
            },
            Reference {
                at: u64::MAX,
                ..good
            },
            Reference {
                len_bytes: 1 << 40,
                ..good
            },
            Reference {
                len_bytes: 0,
                ..good
            },
        ];
        for reference in bad {
            assert_eq!(child.receive(reference).err(), Some(NotReceived::Nonsense));
        }
        assert!(child.receive(good).is_ok());
    }

    #[test]
    fn views_outlive_the_arena() {
        let (parent, child) = arenas(MANY);
        let reference = filled(&child, 100_000, 3).left();
        let block = parent.receive(reference).expect("valid");
        parent.close();
        assert_eq!(parent.take(1).err(), Some(Refusal::System(Error::CLOSED)));
        drop((parent, child));
        assert_eq!(block.as_slice()[99_999], 3);
    }

    #[test]
    fn what_is_made_private_is_shared_no_more() {
        let (parent, child) = arenas(MANY);
        let reference = filled(&child, 100_000, 3).left();
        let there = child.receive(reference).expect("valid");
        let here = Arc::new(parent.receive(reference).expect("valid"));
        here.list();
        parent.after_fork().expect("memory");
        there.fill(&vec![4; 100_000]);
        assert_eq!(here.as_slice(), vec![3; 100_000]);
        there.leave();
    }

    #[test]
    fn more_blocks_than_slots_are_refused() {
        let (parent, _child) = arenas(MANY);
        let all: Vec<_> = (0..SLOTS_EACH)
            .map(|_| parent.take(1).expect("room"))
            .collect();
        assert_eq!(parent.take(1).err(), Some(Refusal::Exhausted));
        drop(all);
        assert!(parent.take(1).is_ok());
        // Of another size than all that are free.
        assert!(parent.take(1 << 20).is_ok());
    }

    #[test]
    fn a_childs_refusal_is_told_once() {
        let (parent, child) = arenas(100_000);
        assert_eq!(parent.take_child_refusal(), None);
        assert!(child.take(100_001).is_err());
        assert_eq!(parent.take_child_refusal(), Some(Refusal::Exhausted));
        assert_eq!(parent.take_child_refusal(), None);
        for refusal in [
            Refusal::System(Error::NO_SPACE),
            Refusal::NoMemory {
                available_bytes: 12_345,
            },
        ] {
            assert_eq!(Refusal::from_word(refusal.to_word()), Some(refusal));
        }
    }
}
