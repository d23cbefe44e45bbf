//! Decides which process may touch a slot of shared memory: each slot has a word, which both map.
//!
//! The parent fills half of the slots, the child the other half. The process that has a block frees
//! it with one store, so no message goes back.
//!
//! ```text
//!            take (its filler)              release (the block's owner)
//!  COLD ─────────────────────────▶ HELD ──────────────────────────▶ WARM ─ age ─▶ OLD
//!   ▲ ▲                            │ ▲         take (its filler)     │             │
//!   │ └──────── abandon ───────────┘ └───────────────────────────────┴─────────────┤
//!   └─── trimmed ──── TRIMMING ◀─────── trim (its filler), age (the parent) ───────┘
//! ```
//!
//! COLD has no memory, WARM and OLD have, and all three are free. Invariant: a slot leaves these three
//! by a compare-exchange, so of a filler and a trimmer one wins. It leaves HELD and TRIMMING by a
//! store of the process that has it. The word also holds the slot's size, in pages.

use std::ops::{Deref, Range};

#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU64, Ordering};

/// Each side's share of the slots.
pub const SLOTS_EACH: usize = 1024;
pub const SLOTS: usize = 2 * SLOTS_EACH;

const COLD: u64 = 0;
const HELD: u64 = 1;
const WARM: u64 = 2;
/// Like `WARM`, and it was already so when the parent last looked.
const OLD: u64 = 3;
const TRIMMING: u64 = 4;

const STATE_BITS: u32 = 3;

fn word(state: u64, pages: u64) -> u64 {
    pages << STATE_BITS | state
}

fn state(word: u64) -> u64 {
    word & ((1 << STATE_BITS) - 1)
}

fn pages(word: u64) -> u64 {
    word >> STATE_BITS
}

fn is_free(word: u64) -> bool {
    matches!(state(word), WARM | OLD)
}

/// The table, over any memory that holds the words.
#[derive(Debug)]
pub struct Slots<W>(W);

impl<W: Deref<Target = [AtomicU64]>> Slots<W> {
    pub fn new(words: W) -> Self {
        Self(words)
    }

    fn load(&self, slot: usize) -> u64 {
        self.0[slot].load(Ordering::SeqCst)
    }

    fn exchange(&self, slot: usize, from: u64, to: u64) -> bool {
        let exchanged = self.0[slot].compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst);
        exchanged.is_ok()
    }

    /// WARM | OLD -> HELD, for the smallest slot that fits and does not waste much.
    pub fn take_warm(&self, among: Range<usize>, wanted: u64) -> Option<usize> {
        loop {
            let words = among.clone().map(|slot| (self.load(slot), slot));
            let fits = |word| (wanted..=wanted.saturating_mul(2)).contains(&pages(word));
            let (found, slot) = words
                .filter(|&(word, _)| is_free(word) && fits(word))
                .min()?;
            if self.exchange(slot, found, word(HELD, pages(found))) {
                return Some(slot);
            }
        }
    }

    /// COLD -> HELD, for the first. It has no memory yet: see [`grown`](Self::grown).
    pub fn take_cold(&self, mut among: Range<usize>) -> Option<usize> {
        among.find(|&slot| self.exchange(slot, word(COLD, 0), word(HELD, 0)))
    }

    /// HELD -> HELD, by the process that has it and has given it memory.
    pub fn grown(&self, slot: usize, pages: u64) {
        self.0[slot].store(word(HELD, pages), Ordering::SeqCst);
    }

    /// HELD -> COLD, by the process that has it: there is no memory for it.
    pub fn abandon(&self, slot: usize) {
        self.0[slot].store(word(COLD, 0), Ordering::SeqCst);
    }

    /// HELD -> WARM, by the process that has it.
    pub fn release(&self, slot: usize) {
        let held = self.load(slot);
        debug_assert_eq!(state(held), HELD);
        self.0[slot].store(word(WARM, pages(held)), Ordering::SeqCst);
    }

    /// WARM | OLD -> TRIMMING. Returns its pages, which the caller must give back to the system.
    pub fn trim(&self, slot: usize) -> Option<u64> {
        self.trim_if(slot, is_free)
    }

    /// WARM -> OLD, or OLD -> TRIMMING as `trim` does: it was not taken between two looks.
    pub fn age(&self, slot: usize) -> Option<u64> {
        let found = self.load(slot);
        if state(found) == WARM {
            // If it was taken in the meantime, it is not old.
            self.exchange(slot, found, word(OLD, pages(found)));
            return None;
        }
        self.trim_if(slot, |word| state(word) == OLD)
    }

    fn trim_if(&self, slot: usize, is_ripe: fn(u64) -> bool) -> Option<u64> {
        let found = self.load(slot);
        let trims = is_ripe(found) && self.exchange(slot, found, word(TRIMMING, pages(found)));
        trims.then(|| pages(found))
    }

    /// TRIMMING -> COLD, by the process that trims it.
    pub fn trimmed(&self, slot: usize) {
        self.0[slot].store(word(COLD, 0), Ordering::SeqCst);
    }

    /// Whether a block in it is in use, in either process.
    pub fn is_held(&self, slot: usize) -> bool {
        state(self.load(slot)) == HELD
    }

    /// How many pages of memory it has.
    pub fn size(&self, slot: usize) -> u64 {
        pages(self.load(slot))
    }

    /// How many pages of memory these slots have: those in use, and those free.
    pub fn pages(&self, among: Range<usize>) -> Pages {
        let mut sum = Pages::default();
        for slot in among {
            let found = self.load(slot);
            match state(found) {
                HELD => sum.held += pages(found),
                WARM | OLD => sum.warm += pages(found),
                _ => {}
            }
        }
        sum
    }
}

/// Memory of slots, in pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pages {
    pub held: u64,
    pub warm: u64,
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn slots(count: usize) -> Slots<Vec<AtomicU64>> {
        Slots::new((0..count).map(|_| AtomicU64::new(0)).collect())
    }

    #[test]
    fn every_event_in_every_state() {
        let slots = slots(1);
        assert_eq!(slots.take_warm(0..1, 1), None);
        assert_eq!(slots.trim(0), None);
        assert_eq!(slots.take_cold(0..1), Some(0));
        assert!(slots.is_held(0));
        assert_eq!(slots.take_cold(0..1), None);
        slots.grown(0, 5);
        assert_eq!(slots.pages(0..1), Pages { held: 5, warm: 0 });
        assert_eq!(slots.take_warm(0..1, 1), None);
        assert_eq!(slots.trim(0), None);
        slots.release(0);
        assert_eq!(slots.pages(0..1), Pages { held: 0, warm: 5 });
        assert_eq!(slots.take_cold(0..1), None);
        assert_eq!(slots.take_warm(0..1, 5), Some(0));
        slots.release(0);
        assert_eq!(slots.trim(0), Some(5));
        assert_eq!(slots.trim(0), None);
        assert_eq!(slots.take_warm(0..1, 5), None);
        assert_eq!(slots.take_cold(0..1), None);
        slots.trimmed(0);
        assert_eq!(slots.pages(0..1), Pages::default());
        assert_eq!(slots.take_cold(0..1), Some(0));
        slots.abandon(0);
        assert_eq!(slots.take_cold(0..1), Some(0));
    }

    #[test]
    fn a_slot_that_is_not_taken_between_two_looks_is_trimmed() {
        let slots = slots(1);
        assert_eq!(slots.age(0), None);
        assert_eq!(slots.take_cold(0..1), Some(0));
        slots.grown(0, 5);
        assert_eq!(slots.age(0), None);
        slots.release(0);
        assert_eq!(slots.age(0), None);
        assert_eq!(slots.pages(0..1), Pages { held: 0, warm: 5 });
        assert_eq!(slots.take_warm(0..1, 5), Some(0));
        slots.release(0);
        assert_eq!(slots.age(0), None);
        assert_eq!(slots.age(0), Some(5));
        assert_eq!(slots.age(0), None);
        slots.trimmed(0);
        assert_eq!(slots.take_cold(0..1), Some(0));
    }

    #[test]
    fn the_smallest_that_fits_is_taken_and_no_giant() {
        let slots = slots(4);
        for (slot, pages) in [10, 30, 20, 400].into_iter().enumerate() {
            assert_eq!(slots.take_cold(0..4), Some(slot));
            slots.grown(slot, pages);
        }
        (0..4).for_each(|slot| slots.release(slot));
        assert_eq!(slots.take_warm(0..4, 15), Some(2));
        assert_eq!(slots.take_warm(0..4, 15), Some(1));
        assert_eq!(slots.take_warm(0..4, 15), None);
        assert_eq!(slots.take_warm(0..3, 10), Some(0));
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    /// The receiver frees a block; its filler wants one, and the trimmer to give it back.
    #[test]
    fn loom_a_freed_slot_is_taken_or_trimmed_but_not_both() {
        loom::model(|| {
            let slots = Arc::new(Slots::new(vec![AtomicU64::new(0)]));
            assert_eq!(slots.take_cold(0..1), Some(0));
            slots.grown(0, 3);
            let receiver = {
                let slots = Arc::clone(&slots);
                thread::spawn(move || slots.release(0))
            };
            let trimmer = {
                let slots = Arc::clone(&slots);
                thread::spawn(move || {
                    let trimmed = (0..2).any(|_| slots.age(0).is_some());
                    if trimmed {
                        // No other thread may have it between these two.
                        assert!(!slots.is_held(0));
                        slots.trimmed(0);
                    }
                    trimmed
                })
            };
            let warm = slots.take_warm(0..1, 3).is_some();
            let cold = !warm && slots.take_cold(0..1).is_some();
            receiver.join().unwrap();
            let trimmed = trimmer.join().unwrap();
            assert!(!(warm && trimmed));
            assert!(!cold || trimmed);
            assert_eq!(slots.is_held(0), warm || cold);
        });
    }
}
