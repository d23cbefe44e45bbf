//! Waiting for a partner that is about to answer: a thread polls for a moment before it sleeps.
//!
//! To wake a thread on an idle CPU takes 40 us, more than ten times what a message to a thread does.
//! So where messages and answers go to and fro, each side polls while the other works, if the other
//! runs on another CPU. On the same CPU it sleeps at once: until it does, the other cannot run.
//!
//! # Why no wake-up is lost
//! Polling is only looking: what `wait` returns comes from a look, or from a sleep that would have
//! been right without any look. The words here are advice. However stale or torn apart they are, they
//! decide whether a thread polls, never whether it is woken.
//!
//! # What it costs at most
//! `LIMIT_NANOS` of CPU time for each wait, and nothing while an actor is idle. A side polls only
//! where its last two waits ended less than `BRISK_NANOS` apart, and after a poll that was in vain it
//! lets 1 wait pass, after the next 2, then 4, up to `MOST_SKIPPED`; one that paid halves that.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::latch::{Latch, Wait};
use super::mailbox::{Mailbox, Take};
use super::sys;

/// How long a thread polls at most.
const LIMIT_NANOS: u64 = 50_000;
/// Answers that come further apart than this are not worth polling for.
const BRISK_NANOS: u64 = 1_000_000;
/// How many looks there are between two readings of the clock: together about a microsecond.
const LOOKS: u32 = 16;
const MOST_SKIPPED: u32 = 256;
/// How long the actor waits at most for the sender of a message to wait for the answer.
const SENDER_NANOS: u64 = 10_000;

/// On which CPU one side was last seen, for the other side to read: its number and one, or 0.
///
/// Relaxed throughout: it is advice.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a>(pub &'a AtomicU64);

impl Place<'_> {
    /// Says where the calling thread runs; where the system does not tell, that it is nowhere.
    fn publish(self) -> u64 {
        let here = sys::current_cpu().map_or(0, |cpu| u64::from(cpu) + 1);
        // Most often it is there already, in a line of the cache that the other side reads.
        if self.0.load(Ordering::Relaxed) != here {
            self.0.store(here, Ordering::Relaxed);
        }
        here
    }

    /// Whether it was last seen on a CPU, and that is not `here`.
    fn is_elsewhere(self, here: u64) -> bool {
        let there = self.0.load(Ordering::Relaxed);
        here != 0 && there != 0 && there != here
    }
}

/// How one side waits for the other, and how its waits have gone. Several threads may share it, as
/// the callers of an actor do: then it is about all of their waits.
///
/// Relaxed throughout, and without compare-exchange: a count that is lost costs one poll.
#[derive(Debug, Default)]
pub struct Patience {
    /// When the last wait ended, by `sys::now_nanos`.
    ended: AtomicU64,
    /// How long after the one before.
    interval: AtomicU64,
    /// How many waits pass without polling after the next poll that is in vain, less one.
    penalty: AtomicU32,
    /// How many waits are still to pass without polling.
    skipped: AtomicU32,
}

impl Patience {
    /// Waits for what `look` finds or `sleep` returns. `begin` is called first if the thread polls.
    ///
    /// `mine` and `theirs` are the places of the two sides. Blocks as `sleep` does; call it detached
    /// from Python.
    pub fn wait<T>(
        &self,
        [mine, theirs]: [Place<'_>; 2],
        begin: impl FnOnce(),
        look: impl FnMut() -> Option<T>,
        sleep: impl FnOnce() -> T,
    ) -> T {
        if !theirs.is_elsewhere(mine.publish()) {
            let found = sleep();
            mine.publish();
            return found;
        }
        let polled = if self.is_worth_polling() {
            begin();
            self.poll([mine, theirs], look)
        } else {
            None
        };
        let found = polled.unwrap_or_else(|| {
            let found = sleep();
            mine.publish();
            found
        });
        self.end(sys::now_nanos());
        found
    }

    /// Looks until there is something, for `LIMIT_NANOS` at most, or until both sides run on one CPU.
    fn poll<T>(
        &self,
        [mine, theirs]: [Place<'_>; 2],
        mut look: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        let begun = sys::now_nanos();
        loop {
            for _ in 0..LOOKS {
                if let Some(found) = look() {
                    self.paid();
                    return Some(found);
                }
                std::hint::spin_loop();
            }
            if !theirs.is_elsewhere(mine.publish()) {
                // The next wait that finds them apart may poll.
                return None;
            }
            if sys::now_nanos() - begun >= LIMIT_NANOS {
                self.was_in_vain();
                return None;
            }
        }
    }

    /// Whether to poll in this wait, which is counted.
    fn is_worth_polling(&self) -> bool {
        self.interval.load(Ordering::Relaxed) < BRISK_NANOS && self.is_due()
    }

    /// Whether it has been passed over often enough since it was last in vain.
    fn is_due(&self) -> bool {
        let skipped = self.skipped.load(Ordering::Relaxed);
        if skipped > 0 {
            self.skipped.store(skipped - 1, Ordering::Relaxed);
        }
        skipped == 0
    }

    fn paid(&self) {
        let penalty = self.penalty.load(Ordering::Relaxed);
        if penalty > 0 {
            self.penalty.store(penalty / 2, Ordering::Relaxed);
        }
    }

    fn was_in_vain(&self) {
        let skipped = self.penalty.load(Ordering::Relaxed) + 1;
        self.skipped.store(skipped, Ordering::Relaxed);
        let penalty = (2 * skipped).min(MOST_SKIPPED) - 1;
        self.penalty.store(penalty, Ordering::Relaxed);
    }

    /// A wait has ended, `now`.
    fn end(&self, now: u64) {
        let before = self.ended.swap(now, Ordering::Relaxed);
        self.interval
            .store(now.saturating_sub(before), Ordering::Relaxed);
    }
}

/// How the callers of an actor's thread, and that thread, wait for each other.
#[derive(Debug, Default)]
pub struct Handoff {
    callers_cpu: AtomicU64,
    actors_cpu: AtomicU64,
    callers: Patience,
    actor: Patience,
    yields: Patience,
}

impl Handoff {
    fn callers_place(&self) -> Place<'_> {
        Place(&self.callers_cpu)
    }

    fn actors_place(&self) -> Place<'_> {
        Place(&self.actors_cpu)
    }

    /// A caller waits until its message is `done`, as `Latch::wait` does.
    pub fn wait_for_answer(&self, done: &Latch, deadline: Option<Instant>) -> Wait {
        let soon = Instant::now() + Duration::from_nanos(LIMIT_NANOS);
        if deadline.is_some_and(|at| at <= soon) {
            return done.wait(deadline);
        }
        self.callers.wait(
            [self.callers_place(), self.actors_place()],
            || done.poll(),
            || done.is_set().then_some(Wait::Set),
            || done.wait(deadline),
        )
    }

    /// The actor waits for its next message; `None`: there will be none.
    ///
    /// It polls if the last message was `awaited`. A message that it finds so has just been posted:
    /// where there is a GIL, its sender still has that, and lets go of it when it waits for the
    /// answer. `done` says how to see that.
    pub fn wait_for_message<T>(
        &self,
        mailbox: &Mailbox<T>,
        awaited: Awaited,
        done: Option<impl Fn(&T) -> &Latch>,
    ) -> Option<T> {
        if awaited == Awaited::No {
            let message = mailbox.take();
            self.actors_place().publish();
            return message;
        }
        self.actor.wait(
            [self.actors_place(), self.callers_place()],
            || (),
            || match mailbox.poll() {
                Take::Item(message) => {
                    if let Some(done) = &done {
                        self.let_sender_wait(done(&message));
                    }
                    Some(Some(message))
                }
                Take::Closed => Some(None),
                Take::Empty => None,
            },
            || {
                self.let_caller_run();
                match mailbox.poll() {
                    Take::Item(message) => Some(message),
                    Take::Closed => None,
                    Take::Empty => mailbox.take(),
                }
            },
        )
    }

    /// Gives the CPU to the caller that was just woken, if that waits for it. If it posts again at
    /// once, the message is found without the two system calls of a sleep: 3.0 us instead of 4.1.
    ///
    /// Where a thread that computes has the CPU instead, for milliseconds, this is done more rarely.
    fn let_caller_run(&self) {
        if !self.yields.is_due() {
            return;
        }
        let begun = sys::now_nanos();
        std::thread::yield_now();
        if sys::now_nanos() - begun < LIMIT_NANOS {
            self.yields.paid();
        } else {
            self.yields.was_in_vain();
        }
    }

    /// Returns once a thread waits for `done`, or none is likely to.
    fn let_sender_wait(&self, done: &Latch) {
        let begun = sys::now_nanos();
        loop {
            for _ in 0..LOOKS {
                if done.is_awaited() || done.is_set() {
                    return;
                }
                std::hint::spin_loop();
            }
            let here = self.actors_place().publish();
            let is_near = !self.callers_place().is_elsewhere(here);
            if is_near || sys::now_nanos() - begun >= SENDER_NANOS {
                return;
            }
        }
    }
}

/// Whether a thread waited for the answer to a message when that was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    Yes,
    No,
}

impl Awaited {
    /// By the latch of its message, which is not set yet.
    pub fn by(done: &Latch) -> Self {
        if done.is_awaited() {
            Self::Yes
        } else {
            Self::No
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::sync::Arc;

    /// Runs a wait whose partner is last seen on CPU `there`, and which finds something at look
    /// number `at`, if it polls so long. Returns whether it polled, and whether it slept.
    fn wait(patience: &Patience, there: u64, at: u32) -> (bool, bool) {
        let (mine, theirs) = (AtomicU64::new(0), AtomicU64::new(there));
        let (polled, slept, looks) = (Cell::new(false), Cell::new(false), Cell::new(0));
        patience.wait(
            [Place(&mine), Place(&theirs)],
            || polled.set(true),
            || {
                looks.set(looks.get() + 1);
                (looks.get() >= at).then_some(())
            },
            || slept.set(true),
        );
        (polled.get(), slept.get())
    }

    /// No CPU has this number.
    const ELSEWHERE: u64 = u64::MAX;
    const NEVER: u32 = u32::MAX;

    /// As after waits that ended soon after each other.
    fn brisk() -> Patience {
        let patience = Patience::default();
        patience.ended.store(sys::now_nanos(), Ordering::Relaxed);
        patience
    }

    #[test]
    fn a_side_polls_only_where_the_other_is_on_another_cpu() {
        if sys::current_cpu().is_none() {
            return;
        }
        assert_eq!(wait(&brisk(), ELSEWHERE, 1), (true, false));
        assert_eq!(wait(&brisk(), 0, 1), (false, true), "nobody was seen");
        let here = AtomicU64::new(0);
        // The test's thread may be moved, which is rare.
        let alone = (0..100).any(|_| {
            Place(&here).publish();
            wait(&brisk(), here.load(Ordering::Relaxed), 1) == (false, true)
        });
        assert!(alone);
    }

    #[test]
    fn after_polls_in_vain_more_and_more_waits_pass_without_one() {
        if sys::current_cpu().is_none() {
            return;
        }
        let patience = brisk();
        let mut between = Vec::new();
        let mut passed = 0;
        for _ in 0..2_000 {
            // However slow the machine is: this is not about the time between.
            patience.interval.store(0, Ordering::Relaxed);
            let (polled, slept) = wait(&patience, ELSEWHERE, NEVER);
            assert!(slept);
            if polled {
                between.push(std::mem::take(&mut passed));
            } else {
                passed += 1;
            }
        }
        assert_eq!(between[..9], [0, 1, 2, 4, 8, 16, 32, 64, 128]);
        assert!(between[9..].iter().all(|passed| *passed == MOST_SKIPPED));
    }

    #[test]
    fn polls_that_paid_make_good_for_polls_in_vain() {
        let patience = Patience::default();
        (0..10).for_each(|_| patience.was_in_vain());
        assert_eq!(patience.penalty.load(Ordering::Relaxed), MOST_SKIPPED - 1);
        (0..8).for_each(|_| patience.paid());
        assert_eq!(patience.penalty.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn answers_far_apart_are_not_polled_for() {
        let patience = Patience::default();
        patience.end(5_000_000);
        assert!(!patience.is_worth_polling(), "there was none before");
        patience.end(5_000_000 + BRISK_NANOS - 1);
        assert!(patience.is_worth_polling());
        patience.end(5_000_000 + 2 * BRISK_NANOS - 1);
        assert!(!patience.is_worth_polling());
    }

    #[test]
    fn two_threads_that_answer_each_other_never_miss_a_message() {
        fn done(latch: &Arc<Latch>) -> &Latch {
            latch
        }
        let there = Handoff::default();
        let mailbox = Mailbox::<Arc<Latch>>::default();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut awaited = Awaited::No;
                while let Some(latch) = there.wait_for_message(&mailbox, awaited, Some(done)) {
                    awaited = Awaited::by(&latch);
                    latch.set();
                }
            });
            for _ in 0..20_000 {
                let latch = Arc::new(Latch::default());
                assert!(mailbox.put(Arc::clone(&latch)).is_ok());
                while there.wait_for_answer(&latch, None) != Wait::Set {}
            }
            mailbox.close();
        });
    }
}
