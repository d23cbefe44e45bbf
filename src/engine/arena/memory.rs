//! The memory of an arena's slots: which slots are in use, how much memory they have, and where that
//! is mapped.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::refusal::Refusal;
use crate::engine::ipc::region::{Region, Setting};
use crate::engine::ipc::slots::{Pages, SLOTS, SLOTS_EACH};
use crate::engine::sync::Mutex;
use crate::engine::sys::{self, Error, Handle, SharedBytes};

/// The length of a slot's range of offsets, and so of the largest block. The words are in the first.
const STRIDE_BYTES: u64 = 1 << 40;
const LEN_BYTES: u64 = (1 + SLOTS as u64) * STRIDE_BYTES;

/// The unit of sizes: a multiple of the page size of most systems.
pub(super) const PAGE_BYTES: u64 = 16 * 1024;

/// Smaller requests skip the check of available memory.
const CHECKED_BYTES: u64 = 64 << 20;

/// Which process this is; each fills slots of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
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

/// Which slots give their memory back.
#[derive(Clone, Copy)]
enum Which {
    Free,
    /// Free ones that were not used for a while.
    Old,
}

#[derive(Debug)]
pub(super) struct Memory {
    pub(super) region: Arc<Region>,
    /// `None` once the other process is gone. Blocks that exist do not need it.
    open: Mutex<Option<Open>>,
    /// Why the file has no room for blocks.
    no_room: Option<Error>,
    pub(super) side: Side,
}

/// What new blocks need.
#[derive(Debug)]
struct Open {
    file: Arc<Handle>,
    /// Mappings without a block, by slot, for the next block in the slot.
    maps: BTreeMap<usize, SharedBytes>,
}

impl Memory {
    /// The parent's: blocks may take `limit_bytes` on either side.
    pub(super) fn create(region: Arc<Region>, file: Arc<Handle>, limit_bytes: u64) -> Self {
        let made = sys::make_sparse(&file, LEN_BYTES);
        if made.is_ok() {
            let limit = region.setting(Setting::LimitBytes);
            limit.store(limit_bytes, Ordering::SeqCst);
        }
        // A system that has no blocks at all is as if they were turned off: nobody is warned.
        let no_room = made.err().filter(|error| *error != Error::UNSUPPORTED);
        Self::new(region, file, Side::Parent, no_room)
    }

    /// The child's.
    pub(super) fn join(region: Arc<Region>, file: Arc<Handle>) -> Self {
        Self::new(region, file, Side::Child, None)
    }

    fn new(region: Arc<Region>, file: Arc<Handle>, side: Side, no_room: Option<Error>) -> Self {
        Self {
            region,
            open: Mutex::new(Some(Open {
                file,
                maps: BTreeMap::new(),
            })),
            no_room,
            side,
        }
    }

    /// For when the other process is gone: there are no new blocks, and the handle is closed.
    pub(super) fn close(&self) {
        drop(self.open.lock().take());
    }

    pub(super) fn is_closed(&self) -> bool {
        self.open.lock().is_none()
    }

    pub(super) fn file(&self) -> Result<Arc<Handle>, Error> {
        let open = self.open.lock();
        open.as_ref()
            .map(|open| Arc::clone(&open.file))
            .ok_or(Error::CLOSED)
    }

    /// How many pages the blocks of each side may take.
    pub(super) fn limit_pages(&self) -> u64 {
        let limit = self.region.setting(Setting::LimitBytes);
        limit.load(Ordering::SeqCst) / PAGE_BYTES
    }

    /// How many pages of memory a slot has.
    pub(super) fn pages(&self, slot: usize) -> u64 {
        self.region.slots().size(slot)
    }

    /// The slots of `side` that have ever been taken.
    fn used(&self, side: Side) -> Range<usize> {
        let slots = side.slots();
        let used = self.region.setting(side.used()).load(Ordering::SeqCst);
        let used = usize::try_from(used).map_or(SLOTS_EACH, |used| used.min(SLOTS_EACH));
        slots.start..slots.start + used
    }

    /// Takes a slot with memory for `len_bytes`. May block while the system finds the memory.
    pub(super) fn take(&self, len_bytes: usize) -> Result<usize, Refusal> {
        let wanted = pages(len_bytes as u64);
        match self.region.slots().take_warm(self.used(self.side), wanted) {
            Some(slot) => Ok(slot),
            None => self.take_cold(wanted),
        }
    }

    fn take_cold(&self, wanted: u64) -> Result<usize, Refusal> {
        self.make_room(wanted)?;
        let slots = self.region.slots();
        let mine = self.side.slots();
        let slot = slots.take_cold(mine.clone()).or_else(|| {
            // All free slots have memory, but none has the right size.
            self.trim();
            slots.take_cold(mine.clone())
        });
        let slot = slot.ok_or(Refusal::Exhausted)?;
        let used = self.region.setting(self.side.used());
        used.fetch_max((slot - mine.start + 1) as u64, Ordering::SeqCst);
        let reserve = |file: Arc<_>| sys::reserve(&file, offset(slot), wanted * PAGE_BYTES);
        if let Err(error) = self.file().and_then(reserve) {
            slots.abandon(slot);
            return Err(Refusal::System(error));
        }
        slots.grown(slot, wanted);
        Ok(slot)
    }

    /// Makes sure that `wanted` more pages stay under the limit, and that the system has them.
    fn make_room(&self, wanted: u64) -> Result<(), Refusal> {
        if let Some(error) = self.no_room {
            return Err(Refusal::System(error));
        }
        let limit = self.limit_pages();
        if limit == 0 {
            return Err(Refusal::Off);
        }
        let slots = self.region.slots();
        let used = slots.pages(self.used(self.side));
        if used.held + wanted > limit {
            return Err(Refusal::Exhausted);
        }
        if used.held + used.warm + wanted > limit {
            self.trim();
        }
        let wanted_bytes = wanted * PAGE_BYTES;
        if wanted_bytes < CHECKED_BYTES || shortage(wanted_bytes).is_none() {
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

    /// Gives back the memory of slots that were not used since the last call. The parent calls it
    /// now and then, for both sides.
    pub(super) fn age(&self) {
        self.trim_slots(Side::Parent, Which::Old);
        self.trim_slots(Side::Child, Which::Old);
    }

    fn trim_slots(&self, side: Side, which: Which) {
        for slot in self.used(side) {
            self.trim_slot(slot, which);
        }
    }

    fn trim_slot(&self, slot: usize, which: Which) {
        let slots = self.region.slots();
        let trimmed = match which {
            Which::Free => slots.trim(slot),
            Which::Old => slots.age(slot),
        };
        if let Some(pages) = trimmed {
            let give = |file: Arc<_>| sys::give_back(&file, offset(slot), pages * PAGE_BYTES);
            // If the system does not take it, the slot's next block gets it.
            _ = self.file().and_then(give);
            slots.trimmed(slot);
        }
    }

    /// Whether there is, or may soon be, something for `age` to do.
    pub(super) fn has_memory(&self) -> bool {
        self.usage_bytes() != (0, 0)
    }

    /// How many bytes the blocks of both sides take: those in use, and those that are free.
    pub(super) fn usage_bytes(&self) -> (u64, u64) {
        let slots = self.region.slots();
        let both = [Side::Parent, Side::Child].map(|side| slots.pages(self.used(side)));
        let sum = |of: fn(&Pages) -> u64| both.iter().map(of).sum::<u64>();
        (sum(|p| p.held) * PAGE_BYTES, sum(|p| p.warm) * PAGE_BYTES)
    }

    /// How many bytes a slot has, if a block in it is in use.
    pub(super) fn size_in_use(&self, slot: usize) -> Option<u64> {
        let slots = self.region.slots();
        (slot < SLOTS && slots.is_held(slot)).then(|| slots.size(slot) * PAGE_BYTES)
    }

    /// Frees a slot for the next block.
    pub(super) fn release(&self, slot: usize) {
        self.region.slots().release(slot);
    }

    /// Frees a slot whose message never arrives: its memory is given back at once.
    pub(super) fn discard(&self, slot: usize) {
        self.region.slots().release(slot);
        self.trim_slot(slot, Which::Free);
    }

    /// The memory of a slot. May block while much is mapped for the first time.
    pub(super) fn map(&self, slot: usize) -> Result<SharedBytes, Error> {
        let len_bytes = usize::try_from(self.pages(slot) * PAGE_BYTES);
        let len_bytes = len_bytes.map_err(|_| Error::NO_MEMORY)?;
        let mut open = self.open.lock();
        let kept = open.as_mut().and_then(|open| open.maps.remove(&slot));
        drop(open);
        if let Some(bytes) = kept.filter(|bytes| bytes.len_bytes() >= len_bytes) {
            return Ok(bytes);
        }
        SharedBytes::map(&*self.file()?, offset(slot), len_bytes)
    }

    /// Keeps a mapping that `map` made, for the next block in the slot.
    pub(super) fn keep_map(&self, slot: usize, bytes: SharedBytes) {
        let mut open = self.open.lock();
        let old = open.as_mut().and_then(|open| open.maps.insert(slot, bytes));
        drop(open);
        drop(old);
    }

    /// A mapping like `bytes`, which are those of a slot, but private to this process.
    pub(super) fn private_twin(
        &self,
        slot: usize,
        bytes: &SharedBytes,
    ) -> Result<SharedBytes, Error> {
        SharedBytes::map_private(&*self.file()?, offset(slot), bytes.len_bytes())
    }
}

/// The available memory, if that is less than what is wanted.
fn shortage(wanted_bytes: u64) -> Option<u64> {
    let with_reserve = wanted_bytes.saturating_add(wanted_bytes / 8);
    sys::available_bytes().filter(|available| *available < with_reserve)
}

fn offset(slot: usize) -> u64 {
    (1 + slot as u64) * STRIDE_BYTES
}

/// Rounded up to an eighth of the next power of two: blocks of similar size fit each other's slots.
fn pages(len_bytes: u64) -> u64 {
    let pages = len_bytes.div_ceil(PAGE_BYTES).max(1);
    pages.next_multiple_of((pages.next_power_of_two() / 8).max(1))
}
