//! Waits for a partner that is about to answer: a thread polls for a moment before it sleeps.
//!
//! Waking a thread on an idle CPU takes 40 us, more than ten times as long as a message to a thread.
//! So while messages and answers go to and fro, each side polls while the other works, if the other
//! runs on another CPU. On the same CPU the other cannot run meanwhile: there a thread actor and its
//! callers yield the CPU to each other, and the two sides of a pipe sleep at once.
//!
//! # Why no wake-up is lost
//! A poll only reads. What `wait` returns comes from a poll, or from a sleep that is correct without
//! any poll. The words here are hints: even if stale or inconsistent, they only decide whether a
//! thread polls, never whether it is woken.
//!
//! # What it costs at most
//! `LIMIT_NANOS` of CPU time for each wait, and nothing while an actor is idle. A side polls only if
//! its last two waits ended less than `BRISK_NANOS` apart. After a poll in vain it does not poll in
//! the next wait, after another one not in the next 2, then 4, up to `MOST_SKIPPED`. A poll that paid
//! halves that number. Yields are for `LIMIT_NANOS`, too; `Turns` says when they are made.

mod last_cpu;
mod turns;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

pub use self::last_cpu::LastCpu;
use self::last_cpu::Place;
use self::turns::Turns;
use super::latch::{Latch, Wait};
use super::mailbox::Take;
use super::sys;

/// How long a thread polls at most.
const LIMIT_NANOS: u64 = 50_000;
/// If waits end further apart than this, polling is not worthwhile.
const BRISK_NANOS: u64 = 1_000_000;
/// How often a thread looks between two readings of the clock. It takes about a microsecond.
const LOOKS: u32 = 16;
const MOST_SKIPPED: u32 = 256;
/// How long the actor waits at most until the sender of a message waits for its answer, if such waits
/// were in vain lately.
const SENDER_NANOS: u64 = 10_000;

/// Decides whether one side polls, from how its last waits went. The callers of an actor share one,
/// which then counts the waits of them all.
///
/// Relaxed throughout, and without compare-exchange: a lost count costs one poll.
#[derive(Debug, Default)]
pub struct Patience {
    /// When the last wait ended, by `sys::now_nanos`.
    ended: AtomicU64,
    /// How long that was after the end of the wait before.
    interval: AtomicU64,
    /// One less than the number of waits without a poll after the next poll in vain.
    penalty: AtomicU32,
    /// How many of the next waits are without a poll.
    skipped: AtomicU32,
}

impl Patience {
    /// Waits for what `look` finds or `sleep` returns. `begin` is called first if the thread polls.
    ///
    /// `mine` and `theirs` are the last CPUs of the two sides. Blocks as `sleep` does; call it detached
    /// from Python.
    pub fn wait<T>(
        &self,
        [mine, theirs]: [LastCpu<'_>; 2],
        begin: impl FnOnce(),
        look: impl FnMut() -> Option<T>,
        sleep: impl FnOnce() -> T,
    ) -> T {
        // `make bench-polling` compares with that.
        if cfg!(never_polls) || !theirs.is_elsewhere(mine.publish()) {
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

    /// Polls until `look` finds something, both sides run on the same CPU, or `LIMIT_NANOS` have
    /// passed.
    fn poll<T>(
        &self,
        [mine, theirs]: [LastCpu<'_>; 2],
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
                // Not counted as in vain: the next wait may poll if the CPUs differ again.
                return None;
            }
            if sys::now_nanos() - begun >= LIMIT_NANOS {
                self.was_in_vain();
                return None;
            }
        }
    }

    /// Yields the CPU to a partner that was just woken, if it waits for this CPU. If a thread that
    /// computes gets the CPU instead, for milliseconds, this is done more rarely. For a `Patience` that
    /// is used for nothing else.
    pub fn let_partner_run(&self) {
        if !self.is_due() {
            return;
        }
        let begun = sys::now_nanos();
        std::thread::yield_now();
        if sys::now_nanos() - begun < LIMIT_NANOS {
            self.paid();
        } else {
            self.was_in_vain();
        }
    }

    /// Whether to poll in this wait. Counts the wait.
    fn is_worth_polling(&self) -> bool {
        self.interval.load(Ordering::Relaxed) < BRISK_NANOS && self.is_due()
    }

    /// Whether enough waits have passed since the last poll in vain. Counts this one.
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

    /// Records that a wait has ended at the time `now`.
    fn end(&self, now: u64) {
        let before = self.ended.load(Ordering::Relaxed);
        self.ended.store(now, Ordering::Relaxed);
        self.interval
            .store(now.saturating_sub(before), Ordering::Relaxed);
    }
}

/// How an actor's thread and its callers wait for each other.
///
/// What one side writes at each wait is in other cache lines than what the other side reads: to get
/// a line from another CPU takes about 100 ns.
#[derive(Debug, Default)]
pub struct Handoff {
    seen: Apart<Seen>,
    callers: Apart<CallersPatience>,
    actor: Apart<ActorsPatience>,
}

/// In cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Apart<T>(pub T);

/// What both sides read, and is rarely written.
#[derive(Debug, Default)]
struct Seen {
    callers_cpu: AtomicU64,
    actors_cpu: AtomicU64,
    /// Whether the actor's thread has ended a message and kept the GIL, to handle the next one. A
    /// hint, like the CPUs.
    is_busy: AtomicBool,
}

#[derive(Debug, Default)]
struct CallersPatience {
    answers: Patience,
    turns: Turns,
}

#[derive(Debug, Default)]
struct ActorsPatience {
    messages: Patience,
    senders: Patience,
    yields: Patience,
}

impl Handoff {
    fn callers_last_cpu(&self) -> LastCpu<'_> {
        LastCpu(&self.seen.0.callers_cpu)
    }

    fn actors_last_cpu(&self) -> LastCpu<'_> {
        LastCpu(&self.seen.0.actors_cpu)
    }

    /// For the actor's thread: whether it keeps the GIL after the message that it is about to end.
    pub fn set_busy(&self, is_busy: bool) {
        // Usually it is so already. Then nothing is written, since callers read this cache line.
        if self.is_busy() != is_busy {
            self.seen.0.is_busy.store(is_busy, Ordering::Relaxed);
        }
    }

    fn is_busy(&self) -> bool {
        self.seen.0.is_busy.load(Ordering::Relaxed)
    }

    /// Waits as `Patience::wait` does, and yields to the other side where that is on the same CPU.
    fn wait<T>(
        &self,
        patience: &Patience,
        [mine, theirs]: [LastCpu<'_>; 2],
        begin: impl Fn(),
        mut look: impl FnMut() -> Option<T>,
        sleep: impl FnOnce() -> T,
    ) -> T {
        let turns = &self.callers.0.turns;
        if !cfg!(never_polls) && theirs.seen_from(mine.publish()) == Place::Here && turns.is_due() {
            begin();
            if let Some(found) = turns.take([mine, theirs], &mut look) {
                return found;
            }
        }
        patience.wait([mine, theirs], begin, look, sleep)
    }

    /// For a caller: waits until its message is `done`, like `Latch::sleep`.
    ///
    /// A caller that polls waits for the GIL in the same way: while the actor keeps that, the caller
    /// could only sleep.
    pub fn wait_for_answer(&self, done: &Latch, limit: Option<Duration>) -> Wait {
        if limit.is_some_and(|limit| limit <= Duration::from_nanos(LIMIT_NANOS)) {
            return done.sleep(limit);
        }
        self.wait(
            &self.callers.0.answers,
            [self.callers_last_cpu(), self.actors_last_cpu()],
            || done.poll(),
            || (done.is_set() && !self.is_busy()).then_some(Wait::Set),
            || done.sleep(limit),
        )
    }

    /// For the actor: waits for its next message. `None` if there will be none. `poll` looks for it
    /// without blocking, and `sleep` blocks until it is there.
    ///
    /// It polls if one of the last messages was `awaited`. A message that a poll finds has just been posted.
    /// With a GIL, its sender still has the GIL, and releases it when it waits for the answer. `done`
    /// gives the latch by which to see that.
    pub fn wait_for_message<T>(
        &self,
        awaited: Awaited,
        done: Option<impl Fn(&T) -> &Latch>,
        poll: impl Fn() -> Take<T>,
        sleep: impl FnOnce() -> Option<T>,
    ) -> Option<T> {
        if awaited == Awaited::No {
            let message = sleep();
            self.actors_last_cpu().publish();
            return message;
        }
        self.wait(
            &self.actor.0.messages,
            [self.actors_last_cpu(), self.callers_last_cpu()],
            || (),
            || match poll() {
                Take::Item(message) => {
                    if let Some(done) = &done {
                        self.let_sender_wait(done(&message));
                    }
                    Some(Some(message))
                }
                Take::Closed => Some(None),
                Take::Empty => None,
            },
            || match poll() {
                Take::Item(message) => Some(message),
                Take::Closed => None,
                Take::Empty => {
                    // The system has not let the caller run when that was woken. If it posts now, its
                    // message is found without a sleep. From then on the system mostly lets each side
                    // run when the other has woken it: a round trip takes 2.3 us instead of 3.5.
                    self.actor.0.yields.let_partner_run();
                    sleep()
                }
            },
        )
    }

    /// Returns when a thread waits for `done`, or when it is unlikely that one will. Senders that have
    /// several messages in flight often post some more before they wait for the first.
    fn let_sender_wait(&self, done: &Latch) {
        let senders = &self.actor.0.senders;
        let is_patient = senders.is_due();
        let limit = if is_patient {
            LIMIT_NANOS
        } else {
            SENDER_NANOS
        };
        let begun = sys::now_nanos();
        loop {
            for _ in 0..LOOKS {
                if done.is_awaited() || done.is_set() {
                    senders.paid();
                    return;
                }
                std::hint::spin_loop();
            }
            let here = self.actors_last_cpu().publish();
            if !self.callers_last_cpu().is_elsewhere(here) {
                return;
            }
            if sys::now_nanos() - begun >= limit {
                if is_patient {
                    senders.was_in_vain();
                }
                return;
            }
        }
    }
}

/// Whether a thread waited for a message's answer when the message ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    Yes,
    No,
}

impl Awaited {
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        match self {
            Self::Yes => self,
            Self::No => other,
        }
    }

    /// Read from the message's latch, which is not set yet.
    pub fn by(done: &Latch) -> Self {
        if done.is_awaited() {
            Self::Yes
        } else {
            Self::No
        }
    }
}

#[cfg(test)]
mod tests;
