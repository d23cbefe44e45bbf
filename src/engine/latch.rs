//! A set-once latch: what a thread waits on until a future or an actor has ended.
//!
//! It never spins, and setting a latch that no thread waits for makes no system call. It is one
//! word; how threads sleep until that changes is the business of `sys::Parker`.

use std::time::{Duration, Instant};

#[cfg(loom)]
use loom::sync::atomic::{AtomicU32, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU32, Ordering};

#[cfg(loom)]
use self::parker::{Error, Parker};
#[cfg(not(loom))]
use super::sys::{Error, Parker};

const UNSET: u32 = 0;
/// Unset, and at least one thread sleeps or is about to.
const AWAITED: u32 = 1;
const SET: u32 = 2;

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Wait {
    Set,
    TimedOut,
    /// A signal handler ran on this thread; the latch is not set.
    Interrupted,
}

/// Goes from unset to set, once; any thread may set it and any number may wait for it.
///
/// Invariant: a sleeper has seen `AWAITED` in the word at the instant it fell asleep, and `set`
/// leaves the word at `SET` before it wakes; so no wake-up is lost.
#[derive(Debug)]
pub struct Latch {
    word: AtomicU32,
    parker: Parker,
}

impl Default for Latch {
    fn default() -> Self {
        Self {
            word: AtomicU32::new(UNSET),
            parker: Parker::new(),
        }
    }
}

impl Latch {
    pub fn is_set(&self) -> bool {
        self.word.load(Ordering::SeqCst) == SET
    }

    /// Whether a thread sleeps on it, or is about to.
    pub fn is_awaited(&self) -> bool {
        self.word.load(Ordering::SeqCst) == AWAITED
    }

    /// UNSET | AWAITED -> SET. Everything written before is seen by whoever sees it set.
    pub fn set(&self) {
        if self.word.swap(SET, Ordering::SeqCst) == AWAITED {
            self.parker.wake_all(&self.word);
        }
    }

    /// UNSET -> AWAITED, then sleeps until set, until `deadline`, or until a signal. Blocks; never
    /// call it attached to Python.
    pub fn wait(&self, deadline: Option<Instant>) -> Wait {
        loop {
            let seen =
                self.word
                    .compare_exchange(UNSET, AWAITED, Ordering::SeqCst, Ordering::SeqCst);
            if seen == Err(SET) {
                return Wait::Set;
            }
            let left = match deadline.map(|at| at.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => return Wait::TimedOut,
                left => left,
            };
            let slept = self.parker.sleep(&self.word, AWAITED, left);
            if slept == Err(Error::INTERRUPTED) && !self.is_set() {
                return Wait::Interrupted;
            }
        }
    }
}

/// Loom's own stand-in for `sys::Parker`.
#[cfg(loom)]
mod parker {
    use loom::sync::{Condvar, Mutex, atomic::AtomicU32, atomic::Ordering};
    use std::sync::PoisonError;
    use std::time::Duration;

    #[derive(PartialEq, Eq)]
    pub(super) struct Error;

    impl Error {
        pub(super) const INTERRUPTED: Self = Self;
    }

    #[derive(Debug, Default)]
    pub(super) struct Parker {
        lock: Mutex<()>,
        changed: Condvar,
    }

    impl Parker {
        pub(super) fn new() -> Self {
            Self::default()
        }

        pub(super) fn sleep(
            &self,
            word: &AtomicU32,
            value: u32,
            _left: Option<Duration>,
        ) -> Result<(), Error> {
            let guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
            if word.load(Ordering::SeqCst) == value {
                drop(self.changed.wait(guard));
            }
            Ok(())
        }

        pub(super) fn wake_all(&self, _word: &AtomicU32) {
            // Taken, so that a sleeper is either asleep already or has yet to look at the word.
            drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
            self.changed.notify_all();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_set_latch_is_not_waited_for() {
        let latch = Latch::default();
        assert!(!latch.is_set());
        latch.set();
        latch.set();
        assert!(latch.is_set());
        assert_eq!(latch.wait(None), Wait::Set);
    }

    #[test]
    fn a_deadline_ends_the_wait() {
        let latch = Latch::default();
        let start = Instant::now();
        let deadline = start + Duration::from_millis(30);
        while latch.wait(Some(deadline)) == Wait::Interrupted {}
        assert!(start.elapsed() >= Duration::from_millis(30));
    }

    #[test]
    fn every_sleeper_is_woken() {
        for _ in 0..200 {
            let latch = Arc::new(Latch::default());
            let sleepers: Vec<_> = (0..4)
                .map(|_| {
                    let latch = Arc::clone(&latch);
                    std::thread::spawn(move || while latch.wait(None) != Wait::Set {})
                })
                .collect();
            latch.set();
            for sleeper in sleepers {
                sleeper.join().expect("a sleeper never panics");
            }
        }
    }
}
