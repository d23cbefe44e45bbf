//! Decides a race for each message in flight: between the child, which wants to begin it,
//! and the parent, which wants to cancel it.
//!
//! A table in memory that both share has one word for each message in the window. Invariant: for
//! each sequence number the word leaves `QUEUED` once, by one compare-exchange, so there is one
//! winner. It then stays as it is until the slot is offered for another message.
//!
//! ```text
//!           offer (parent)            claim (child)
//!  (other) ───────────────▶ QUEUED ──────────────────▶ STARTED
//!                              └──────────────────────▶ CANCELLED
//!                                    withdraw (parent)
//! ```
//!
//! The word holds the sequence number too, so a slot that has gone to a later message cannot be
//! mistaken for this one's.

use std::ops::Deref;

#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU64, Ordering};

/// How many messages may be in the window.
#[cfg(not(loom))]
pub const CLAIMS: usize = 512;
/// Few under loom, which limits the number of atomics.
#[cfg(loom)]
pub const CLAIMS: usize = 2;

const QUEUED: u64 = 1;
const STARTED: u64 = 2;
const CANCELLED: u64 = 3;

fn word(sequence: u64, state: u64) -> u64 {
    sequence << 2 | state
}

/// The table, over any memory that holds the words.
#[derive(Debug)]
pub struct Claims<W>(W);

impl<W: Deref<Target = [AtomicU64]>> Claims<W> {
    /// `words` has [`CLAIMS`] words.
    pub fn new(words: W) -> Self {
        debug_assert_eq!(words.len(), CLAIMS);
        Self(words)
    }

    fn slot(&self, sequence: u64) -> &AtomicU64 {
        #[allow(clippy::cast_possible_truncation)]
        let slot = (sequence % CLAIMS as u64) as usize;
        &self.0[slot]
    }

    /// QUEUED -> `state`. Returns whether this call did it.
    fn take(&self, sequence: u64, state: u64) -> bool {
        let queued = word(sequence, QUEUED);
        let taken = word(sequence, state);
        self.slot(sequence)
            .compare_exchange(queued, taken, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }

    /// Makes the message claimable. The parent calls it before it sends the message, when the
    /// message that had the slot before has been answered or skipped.
    pub fn offer(&self, sequence: u64) {
        self.slot(sequence)
            .store(word(sequence, QUEUED), Ordering::SeqCst);
    }

    /// The child calls it just before `handle`: true if it may begin, false if it must skip.
    #[must_use]
    pub fn claim(&self, sequence: u64) -> bool {
        self.take(sequence, STARTED)
    }

    /// The parent calls it to cancel: true if the child will never begin the message.
    #[must_use]
    pub fn withdraw(&self, sequence: u64) -> bool {
        self.take(sequence, CANCELLED)
    }

    /// Whether the child has begun it. This is exact even after the child's death.
    pub fn has_started(&self, sequence: u64) -> bool {
        self.slot(sequence).load(Ordering::SeqCst) == word(sequence, STARTED)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    fn claims() -> Claims<Vec<AtomicU64>> {
        Claims::new((0..CLAIMS).map(|_| AtomicU64::new(0)).collect())
    }

    #[test]
    fn every_event_in_every_state() {
        let claims = claims();
        assert!(!claims.claim(7));
        assert!(!claims.withdraw(7));
        claims.offer(7);
        assert!(!claims.has_started(7));
        assert!(claims.claim(7));
        assert!(claims.has_started(7));
        assert!(!claims.claim(7));
        assert!(!claims.withdraw(7));
        claims.offer(8);
        assert!(claims.withdraw(8));
        assert!(!claims.has_started(8));
        assert!(!claims.withdraw(8));
        assert!(!claims.claim(8));
    }

    #[test]
    fn a_slot_with_a_later_message_is_not_mistaken_for_an_earlier_one() {
        let claims = claims();
        let later = 7 + CLAIMS as u64;
        claims.offer(7);
        assert!(claims.claim(7));
        claims.offer(later);
        assert!(!claims.has_started(7));
        assert!(!claims.withdraw(7));
        assert!(!claims.claim(7));
        assert!(claims.claim(later));
    }

    #[test]
    fn either_claim_or_withdraw_wins_each_message() {
        const MESSAGES: u64 = 100_000;
        let claims = claims();
        let wins = AtomicUsize::new(0);
        let offered = AtomicU64::new(0);
        let race = |take: &dyn Fn(u64) -> bool| {
            for sequence in 1..=MESSAGES {
                while offered.load(Ordering::SeqCst) < sequence {
                    std::thread::yield_now();
                }
                wins.fetch_add(usize::from(take(sequence)), Ordering::SeqCst);
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(|| race(&|sequence| claims.claim(sequence)));
            scope.spawn(|| race(&|sequence| claims.withdraw(sequence)));
            for sequence in 1..=MESSAGES {
                // As in the window: a slot is offered again only when its message has gone.
                while sequence > wins.load(Ordering::SeqCst) as u64 + CLAIMS as u64 / 2 {
                    std::thread::yield_now();
                }
                claims.offer(sequence);
                offered.store(sequence, Ordering::SeqCst);
            }
        });
        assert_eq!(wins.into_inner() as u64, MESSAGES);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    #[test]
    fn loom_claim_or_withdraw_but_not_both() {
        loom::model(|| {
            let words: Vec<AtomicU64> = (0..CLAIMS).map(|_| AtomicU64::new(0)).collect();
            let claims = Arc::new(Claims::new(words));
            claims.offer(1);
            let child = {
                let claims = Arc::clone(&claims);
                thread::spawn(move || claims.claim(1))
            };
            let observer = {
                let claims = Arc::clone(&claims);
                thread::spawn(move || claims.has_started(1))
            };
            let withdrawn = claims.withdraw(1);
            let started_before = observer.join().unwrap();
            let claimed = child.join().unwrap();
            assert!(claimed != withdrawn);
            assert_eq!(claims.has_started(1), claimed);
            assert!(claimed || !started_before);
        });
    }
}
