//! A set-once latch: what a thread waits on until a future or an actor has ended.
//!
//! It never spins, and a latch that nobody waits on is set without a system call. On Linux it is
//! one futex word; elsewhere, and under loom, a mutex and a condition variable around that word.

use std::time::{Duration, Instant};

#[cfg(loom)]
use loom::sync::atomic::{AtomicU32, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU32, Ordering};

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
    bed: bed::Bed,
}

impl Default for Latch {
    fn default() -> Self {
        Self {
            word: AtomicU32::new(UNSET),
            bed: bed::new(),
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
            self.bed.wake_all(&self.word);
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
            if self.bed.sleep(&self.word, AWAITED, left) == bed::Woken::BySignal && !self.is_set() {
                return Wait::Interrupted;
            }
        }
    }
}

#[cfg(all(target_os = "linux", not(loom)))]
mod bed {
    use crate::engine::sys;
    use rustix::io::Errno;
    use std::sync::atomic::AtomicU32;
    use std::time::Duration;

    #[derive(PartialEq, Eq)]
    pub(super) enum Woken {
        Perhaps,
        BySignal,
    }

    #[derive(Debug)]
    pub(super) struct Bed;

    pub(super) fn new() -> Bed {
        Bed
    }

    impl Bed {
        #[allow(clippy::unused_self)]
        pub(super) fn wake_all(&self, word: &AtomicU32) {
            sys::futex_wake(word);
        }

        #[allow(clippy::unused_self)]
        pub(super) fn sleep(&self, word: &AtomicU32, value: u32, left: Option<Duration>) -> Woken {
            // A wait too long for the kernel's type is a wait without end.
            let left = left.and_then(|left| left.try_into().ok());
            match sys::futex_wait(word, value, left.as_ref()) {
                Err(Errno::INTR) => Woken::BySignal,
                _ => Woken::Perhaps,
            }
        }
    }
}

#[cfg(any(not(target_os = "linux"), loom))]
mod bed {
    #[cfg(loom)]
    use loom::sync::{Condvar, Mutex, atomic::AtomicU32, atomic::Ordering};
    use std::sync::PoisonError;
    #[cfg(not(loom))]
    use std::sync::{Condvar, Mutex, atomic::AtomicU32, atomic::Ordering};
    use std::time::Duration;

    #[derive(PartialEq, Eq)]
    #[allow(dead_code)]
    pub(super) enum Woken {
        Perhaps,
        BySignal,
    }

    #[derive(Debug, Default)]
    pub(super) struct Bed {
        lock: Mutex<()>,
        bell: Condvar,
    }

    pub(super) fn new() -> Bed {
        Bed::default()
    }

    impl Bed {
        pub(super) fn wake_all(&self, _word: &AtomicU32) {
            // Taken, so that a sleeper is either asleep already or has yet to look at the word.
            drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
            self.bell.notify_all();
        }

        pub(super) fn sleep(&self, word: &AtomicU32, value: u32, left: Option<Duration>) -> Woken {
            // A condition variable does not report signals, so look up now and then.
            const SLICE: Duration = Duration::from_millis(50);
            let guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
            if word.load(Ordering::SeqCst) == value {
                let slice = left.map_or(SLICE, |left| left.min(SLICE));
                drop(self.bell.wait_timeout(guard, slice));
            }
            if cfg!(loom) {
                Woken::Perhaps
            } else {
                Woken::BySignal
            }
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
