//! How far the streams of a child may be ahead of their takers.
//!
//! Each slot of the window has three words: how many items may wait, and how many items, and bytes in
//! the pipe, have been taken. The parent stores them, and the child reads them before it makes an
//! item. A child without credit says that it sleeps, looks once more, and then reads its request pipe.
//! The parent first stores what was taken, and then looks whether the child sleeps. A fence stands
//! between the two steps on each side, so one of them sees the other, and no wake-up is lost.

use std::ops::Deref;

#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, Ordering, fence};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU64, Ordering, fence};

use super::claims::{CLAIMS, slot_of};

/// Items whose frames have so many bytes together are not followed by another one before one is taken.
pub const BYTES_AHEAD: usize = 1 << 20;

const WORDS_EACH: usize = 3;
/// The words of the table, and one that says whether the child sleeps.
pub const CREDIT_WORDS: usize = CLAIMS * WORDS_EACH + 1;

/// What a child that sleeps must be woken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sleep {
    /// A message is asked to stop.
    UntilAsked = 1,
    /// That, or an item is taken: a stream has no credit.
    WithoutCredit = 2,
}

const AWAKE: u64 = 0;

/// The table, over any memory that holds the words.
#[derive(Debug)]
pub struct Credits<W>(W);

impl<W: Deref<Target = [AtomicU64]>> Credits<W> {
    /// `words` has [`CREDIT_WORDS`] words.
    pub fn new(words: W) -> Self {
        debug_assert_eq!(words.len(), CREDIT_WORDS);
        Self(words)
    }

    fn words(&self, sequence: u64) -> [&AtomicU64; WORDS_EACH] {
        let at = slot_of(sequence) * WORDS_EACH;
        [&self.0[at], &self.0[at + 1], &self.0[at + 2]]
    }

    fn sleep_word(&self) -> &AtomicU64 {
        &self.0[CREDIT_WORDS - 1]
    }

    /// The parent calls it before it sends the message.
    pub fn offer(&self, sequence: u64, ahead: usize) {
        let [most, taken, bytes] = self.words(sequence);
        most.store(ahead as u64, Ordering::SeqCst);
        taken.store(0, Ordering::SeqCst);
        bytes.store(0, Ordering::SeqCst);
    }

    /// The parent calls it when so many items, with so many bytes, have been taken altogether, and
    /// only until it has the answer: then the slot may be another message's. The bytes are stored
    /// first, so that the child sees no item as taken whose bytes are not.
    pub fn take(&self, sequence: u64, items: u64, bytes: u64) {
        let [_, taken, taken_bytes] = self.words(sequence);
        taken_bytes.store(bytes, Ordering::SeqCst);
        taken.store(items, Ordering::SeqCst);
    }

    /// The parent calls it after `take`, or after it has asked a message to stop: whether it must send a
    /// frame that wakes the child.
    #[must_use]
    pub fn wake(&self) -> bool {
        self.asleep() != AWAKE && self.sleep_word().swap(AWAKE, Ordering::SeqCst) != AWAKE
    }

    /// The parent calls it after `take`: whether the child sleeps because a stream has no credit.
    pub fn lacks_credit(&self) -> bool {
        self.asleep() == Sleep::WithoutCredit as u64
    }

    fn asleep(&self) -> u64 {
        fence(Ordering::SeqCst);
        self.sleep_word().load(Ordering::SeqCst)
    }

    /// Whether the child, which has made so many items with so many bytes, may make another.
    pub fn has_credit(&self, sequence: u64, items: u64, bytes: u64) -> bool {
        let [most, taken, taken_bytes] = self.words(sequence);
        let taken = taken.load(Ordering::SeqCst);
        let waiting = items.saturating_sub(taken);
        let waiting_bytes = bytes.saturating_sub(taken_bytes.load(Ordering::SeqCst));
        waiting < most.load(Ordering::SeqCst)
            && (waiting == 0 || waiting_bytes < BYTES_AHEAD as u64)
    }

    /// Whether so much has been taken that no more than half of what may wait does. A child that waits
    /// for that makes several items for each wait.
    pub fn has_credit_for_several(&self, sequence: u64, items: u64, bytes: u64) -> bool {
        let [most, taken, taken_bytes] = self.words(sequence);
        let waiting = items.saturating_sub(taken.load(Ordering::SeqCst));
        let waiting_bytes = bytes.saturating_sub(taken_bytes.load(Ordering::SeqCst));
        waiting == 0
            || (waiting <= most.load(Ordering::SeqCst) / 2
                && waiting_bytes <= BYTES_AHEAD as u64 / 2)
    }

    /// Whether all items that the child has made have been taken.
    pub fn is_awaited(&self, sequence: u64, items: u64) -> bool {
        let [_, taken, _] = self.words(sequence);
        taken.load(Ordering::SeqCst) >= items
    }

    /// The child calls it before it looks for the last time and then sleeps.
    pub fn sleep(&self, sleep: Sleep) {
        self.sleep_word().store(sleep as u64, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// The child calls it when it has woken.
    pub fn rise(&self) {
        self.sleep_word().store(AWAKE, Ordering::SeqCst);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn credits() -> Credits<Vec<AtomicU64>> {
        Credits::new((0..CREDIT_WORDS).map(|_| AtomicU64::new(7)).collect())
    }

    #[test]
    fn a_child_may_be_ahead_by_items_and_by_bytes() {
        let credits = credits();
        credits.offer(5, 2);
        assert!(credits.has_credit(5, 0, 0) && credits.has_credit(5, 1, 10));
        assert!(!credits.has_credit(5, 2, 20));
        credits.take(5, 1, 10);
        assert!(credits.has_credit(5, 2, 20) && !credits.has_credit(5, 3, 30));
        let big = BYTES_AHEAD as u64;
        assert!(!credits.has_credit(5, 2, 10 + big));
        credits.take(5, 2, 10 + big);
        assert!(credits.has_credit(5, 2, 10 + big));
        assert!(credits.is_awaited(5, 2) && !credits.is_awaited(5, 3));
        credits.offer(6, 1);
        assert!(credits.has_credit(6, 0, 0) && !credits.has_credit(6, 1, 1));
    }

    #[test]
    fn a_child_has_credit_for_several_when_half_is_taken() {
        let credits = credits();
        let big = BYTES_AHEAD as u64;
        credits.offer(5, 4);
        for taken in 0..4 {
            credits.take(5, taken, taken);
            assert_eq!(credits.has_credit_for_several(5, 4, 4), taken >= 2);
        }
        credits.take(5, 2, 0);
        assert!(!credits.has_credit_for_several(5, 3, big));
        credits.take(5, 2, big / 2);
        assert!(credits.has_credit_for_several(5, 3, big));
        credits.offer(6, 1);
        assert!(!credits.has_credit_for_several(6, 1, 2 * big));
        credits.take(6, 1, 0);
        assert!(credits.has_credit_for_several(6, 1, 2 * big));
    }

    #[test]
    fn a_child_that_sleeps_is_woken_once() {
        let credits = credits();
        credits.rise();
        assert!(!credits.wake());
        for sleep in [Sleep::UntilAsked, Sleep::WithoutCredit] {
            credits.sleep(sleep);
            assert_eq!(credits.lacks_credit(), sleep == Sleep::WithoutCredit);
            assert!(credits.wake() && !credits.wake());
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::super::claims::Claims;
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    /// The child runs out of credit while the parent takes an item: the child sees that, or the parent
    /// wakes it.
    #[test]
    fn loom_a_child_without_credit_sees_it_come_or_is_woken() {
        loom::model(|| {
            let words: Vec<AtomicU64> = (0..CREDIT_WORDS).map(|_| AtomicU64::new(0)).collect();
            let credits = Arc::new(Credits::new(words));
            credits.offer(1, 1);
            // As an async actor does before its streams run out of credit.
            credits.sleep(Sleep::UntilAsked);
            let child = {
                let credits = Arc::clone(&credits);
                thread::spawn(move || {
                    credits.sleep(Sleep::WithoutCredit);
                    let has_credit = credits.has_credit(1, 1, 8);
                    if has_credit {
                        credits.rise();
                    }
                    has_credit
                })
            };
            credits.take(1, 1, 8);
            let woken = credits.lacks_credit() && credits.wake();
            let seen = child.join().unwrap();
            assert!(seen || woken);
            assert!(credits.has_credit(1, 1, 8));
        });
    }

    /// A message is asked to stop while the loop of an async actor goes to sleep: the child sees that,
    /// or the parent wakes it.
    #[test]
    fn loom_a_child_that_sleeps_sees_what_was_asked_or_is_woken() {
        for sleep in [Sleep::UntilAsked, Sleep::WithoutCredit] {
            loom::model(move || {
                let words: Vec<AtomicU64> = (0..CREDIT_WORDS).map(|_| AtomicU64::new(0)).collect();
                let credits = Arc::new(Credits::new(words));
                let words: Vec<AtomicU64> = (0..CLAIMS).map(|_| AtomicU64::new(0)).collect();
                let claims = Arc::new(Claims::new(words));
                claims.offer(1);
                assert!(claims.claim(1));
                let child = {
                    let (credits, claims) = (Arc::clone(&credits), Arc::clone(&claims));
                    thread::spawn(move || {
                        credits.sleep(sleep);
                        claims.was_asked(1)
                    })
                };
                assert!(claims.ask(1));
                let woken = credits.wake();
                assert!(child.join().unwrap() || woken);
            });
        }
    }
}
