//! Decides a race for each message in flight: between the child, which wants to begin it,
//! and the parent, which wants to cancel it.
//!
//! A table in memory that both share has one word for each message in the window. Invariant: for
//! each sequence number the word leaves `QUEUED` once, by one compare-exchange, so there is one
//! winner. Only the winner changes it then, until the slot is offered for another message.
//!
//! ```text
//!           offer (parent)            claim (child)            finish (child)
//!  (other) ───────────────▶ QUEUED ──────────────────▶ STARTED ───────────────▶ HANDLED
//!                              │                          └───▶ ASKED ─────────────┘
//!                              │                         ask (parent)
//!                              └──────────────────────▶ CANCELLED
//!                                    withdraw (parent)
//! ```
//!
//! `ask` asks the child to stop what it has begun. The child's code looks at the word when it likes.
//!
//! # Sequence numbers
//! The low bits of a number say which slot is the message's, the others how often the slot has been
//! used: its generation. Messages may be answered in any order, and a slot is free as soon as its
//! message has been. The word holds the whole number, so a slot that has gone to a later message
//! cannot be mistaken for this one's.

use std::ops::Deref;

#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU64, Ordering};

/// How long a sequence number is, in a frame too.
pub(super) const SEQUENCE_BITS: u32 = 56;

#[cfg(not(loom))]
const SLOT_BITS: u32 = 16;
/// Few under loom, which limits the number of atomics.
#[cfg(loom)]
const SLOT_BITS: u32 = 1;

/// How many slots there are: more messages cannot be in a window. Slots that are not used take no
/// memory, but for the rest of the last page.
pub const CLAIMS: usize = 1 << SLOT_BITS;

/// After the last generation, the first comes again. By then no message of that generation is left.
const LAST_GENERATION: u64 = (1 << (SEQUENCE_BITS - SLOT_BITS)) - 1;

const QUEUED: u64 = 1;
const STARTED: u64 = 2;
const CANCELLED: u64 = 3;
const HANDLED: u64 = 4;
const ASKED: u64 = 5;

const STATE_BITS: u32 = 3;

fn word(sequence: u64, state: u64) -> u64 {
    sequence << STATE_BITS | state
}

/// The number of the first message that has this slot. It is never 0, because 0 stands for no
/// message.
pub(super) fn first_of(slot: usize) -> u64 {
    1 << SLOT_BITS | slot as u64
}

/// The number of the message that has the slot after this one.
pub(super) fn next_of(sequence: u64) -> u64 {
    if sequence >> SLOT_BITS == LAST_GENERATION {
        first_of(slot_of(sequence))
    } else {
        sequence + (1 << SLOT_BITS)
    }
}

#[allow(clippy::cast_possible_truncation)]
pub(super) fn slot_of(sequence: u64) -> usize {
    sequence as usize & (CLAIMS - 1)
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
        &self.0[slot_of(sequence)]
    }

    fn is_in(&self, sequence: u64, states: &[u64]) -> bool {
        let found = self.slot(sequence).load(Ordering::SeqCst);
        states.iter().any(|state| found == word(sequence, *state))
    }

    /// `from` -> `to`. Returns whether this call did it.
    fn exchange(&self, sequence: u64, from: u64, to: u64) -> bool {
        let (from, to) = (word(sequence, from), word(sequence, to));
        self.slot(sequence)
            .compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }

    /// QUEUED -> `state`. Returns whether this call did it.
    fn take(&self, sequence: u64, state: u64) -> bool {
        self.exchange(sequence, QUEUED, state)
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

    /// The child calls it after `handle`, for a message whose answer nobody awaits.
    pub fn finish(&self, sequence: u64) {
        self.slot(sequence)
            .store(word(sequence, HANDLED), Ordering::SeqCst);
    }

    /// The parent calls it to ask the child to stop: true if the child has begun the message, and
    /// the parent has no answer yet. For no message of `tell`.
    #[must_use]
    pub fn ask(&self, sequence: u64) -> bool {
        self.exchange(sequence, STARTED, ASKED) || self.was_asked(sequence)
    }

    /// Whether the child has begun it and was asked to stop it.
    pub fn was_asked(&self, sequence: u64) -> bool {
        self.is_in(sequence, &[ASKED])
    }

    /// Whether the child has begun it. This is exact even after the child's death.
    pub fn has_started(&self, sequence: u64) -> bool {
        self.is_in(sequence, &[STARTED, ASKED, HANDLED])
    }

    /// Whether the child has called `finish`. This is exact even after the child's death.
    pub fn has_handled(&self, sequence: u64) -> bool {
        self.is_in(sequence, &[HANDLED])
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
        assert!(claims.has_started(7) && !claims.was_asked(7));
        assert!(claims.ask(7) && claims.was_asked(7) && claims.has_started(7));
        assert!(claims.ask(7), "again");
        assert!(!claims.claim(7));
        assert!(!claims.withdraw(7));
        assert!(!claims.has_handled(7));
        claims.finish(7);
        assert!(claims.has_handled(7) && claims.has_started(7));
        assert!(!claims.claim(7));
        assert!(!claims.withdraw(7));
        claims.offer(8);
        assert!(!claims.ask(8) && !claims.was_asked(8));
        assert!(claims.withdraw(8));
        assert!(!claims.ask(8));
        assert!(!claims.has_started(8));
        assert!(!claims.withdraw(8));
        assert!(!claims.claim(8));
    }

    #[test]
    fn a_slot_with_a_later_message_is_not_mistaken_for_an_earlier_one() {
        let claims = claims();
        let later = next_of(7);
        claims.offer(7);
        assert!(claims.claim(7));
        claims.finish(7);
        claims.offer(later);
        assert!(!claims.has_started(7) && !claims.has_handled(7));
        assert!(!claims.withdraw(7) && !claims.ask(7));
        assert!(!claims.claim(7));
        assert!(claims.claim(later));
    }

    #[test]
    fn a_number_fits_a_frame_and_names_its_slot_in_every_generation() {
        for slot in [0, 1, 511, CLAIMS - 1] {
            let first = first_of(slot);
            let last = LAST_GENERATION << SLOT_BITS | slot as u64;
            assert!(first > 0 && last >> SEQUENCE_BITS == 0);
            assert!(word(last, HANDLED) >> STATE_BITS == last);
            for number in [first, next_of(first), last] {
                assert_eq!(slot_of(number), slot);
            }
            assert_eq!(next_of(last), first);
        }
    }

    #[test]
    fn either_claim_or_withdraw_wins_each_message() {
        const MESSAGES: u64 = 100_000;
        const IN_FLIGHT: u64 = 256;
        // A few slots, over and over.
        let number = |n: u64| {
            let first = first_of(slot_of(n % (2 * IN_FLIGHT)));
            first + n / (2 * IN_FLIGHT) * CLAIMS as u64
        };
        let claims = claims();
        let wins = AtomicUsize::new(0);
        let offered = AtomicU64::new(0);
        let race = |take: &dyn Fn(u64) -> bool| {
            for sequence in 1..=MESSAGES {
                while offered.load(Ordering::SeqCst) < sequence {
                    std::thread::yield_now();
                }
                wins.fetch_add(usize::from(take(number(sequence))), Ordering::SeqCst);
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(|| race(&|sequence| claims.claim(sequence)));
            scope.spawn(|| race(&|sequence| claims.withdraw(sequence)));
            for sequence in 1..=MESSAGES {
                // As in the window: a slot is offered again only when its message has gone.
                while sequence > wins.load(Ordering::SeqCst) as u64 + IN_FLIGHT {
                    std::thread::yield_now();
                }
                claims.offer(number(sequence));
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

    /// Two threads of the parent ask, while the child claims.
    #[test]
    fn loom_what_has_begun_is_asked_and_stays_begun() {
        loom::model(|| {
            let words: Vec<AtomicU64> = (0..CLAIMS).map(|_| AtomicU64::new(0)).collect();
            let claims = Arc::new(Claims::new(words));
            claims.offer(1);
            let child = {
                let claims = Arc::clone(&claims);
                thread::spawn(move || {
                    assert!(claims.claim(1));
                    claims.was_asked(1)
                })
            };
            let other = {
                let claims = Arc::clone(&claims);
                thread::spawn(move || claims.ask(1))
            };
            let asked = claims.ask(1);
            let also = other.join().unwrap();
            let seen = child.join().unwrap();
            assert!(claims.has_started(1) && !claims.has_handled(1));
            assert_eq!(claims.was_asked(1), asked || also);
            assert!(asked || also || !seen);
        });
    }

    /// The slot goes to a later message as soon as the parent has heard that this one is handled,
    /// while others still hold this one's number.
    #[test]
    fn loom_a_slot_that_is_used_again_is_never_taken_for_the_message_before() {
        loom::model(|| {
            let words: Vec<AtomicU64> = (0..CLAIMS).map(|_| AtomicU64::new(0)).collect();
            let claims = Arc::new(Claims::new(words));
            let (before, after) = (first_of(1), next_of(first_of(1)));
            claims.offer(before);
            let child = {
                let claims = Arc::clone(&claims);
                thread::spawn(move || {
                    if claims.claim(before) {
                        assert!(claims.has_started(before) && !claims.has_handled(before));
                        claims.finish(before);
                    }
                    claims.claim(after)
                })
            };
            let canceller = {
                let claims = Arc::clone(&claims);
                // `has_started` may only be called while the message has not left the window.
                thread::spawn(move || claims.withdraw(before) && !claims.has_started(before))
            };
            let handled = claims.has_handled(before);
            if handled {
                assert!(claims.has_started(before));
                claims.offer(after);
                assert!(!claims.has_started(before) && !claims.has_handled(before));
            }
            let claimed_after = child.join().unwrap();
            let withdrawn = canceller.join().unwrap();
            assert!(!(withdrawn && handled));
            assert_eq!(claims.has_started(after), claimed_after);
            assert!(handled || !claimed_after);
        });
    }
}
