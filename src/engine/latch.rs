//! A set-once latch: what a thread waits on until a future or an actor has ended.
//!
//! A latch is one word, and setting one on which no thread sleeps makes no system call. `sys::Parker`
//! puts threads to sleep until the word changes. `handoff` decides whether a thread polls the word
//! for a moment before it sleeps.
//!
//! ```text
//!          poll             wait              set
//!  UNSET ───────▶ POLLED ─────────▶ AWAITED ───────▶ SET
//!    │               └───────────────── set ──────────▲
//!    └─ wait ─▶ AWAITED            set ───────────────┘
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

#[cfg(loom)]
use loom::sync::atomic::{AtomicU32, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU32, Ordering};

#[cfg(loom)]
use self::parker::{Error, Parker};
use super::chimes::{Bell, CHIMES};
#[cfg(not(loom))]
use super::sys::{Error, Parker};

const UNSET: u32 = 0;
/// Unset, and a thread polls the word until it is set, or until the thread calls `wait`. No thread
/// sleeps, so none needs a wake-up.
const POLLED: u32 = 1;
/// Unset, and at least one thread sleeps or is about to.
const AWAITED: u32 = 2;
const SET: u32 = 3;

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Wait {
    Set,
    TimedOut,
    /// A signal handler ran on this thread, and the latch is not set.
    Interrupted,
}

/// Goes from unset to set, once. Any thread may set it, and any number of threads may wait for it.
///
/// Invariant: the word only goes forward, along the arrows above.
///
/// # Why no wake-up is lost
/// - A thread falls asleep only while the word is `AWAITED`. `set` stores `SET` first, and then wakes
///   the sleepers if it has replaced `AWAITED`.
/// - A bell is hung before the word is marked `AWAITED` for it. A thread that sets a marked latch
///   rings afterwards.
/// - A thread that polls needs no wake-up. Before it sleeps, the word is `AWAITED`: it stores that
///   itself, or has seen it.
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

    /// Whether a thread waits for it: sleeps, is about to sleep, or polls.
    pub fn is_awaited(&self) -> bool {
        matches!(self.word.load(Ordering::SeqCst), POLLED | AWAITED)
    }

    /// UNSET -> POLLED, by a thread that will check `is_set` for a while and then `wait`.
    pub fn poll(&self) {
        // In any other state the word needs no change.
        _ = self
            .word
            .compare_exchange(UNSET, POLLED, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// UNSET | POLLED | AWAITED -> SET. A thread that sees the latch set also sees everything that
    /// was written before.
    pub fn set(&self) {
        let address = self.address();
        if self.word.swap(SET, Ordering::SeqCst) == AWAITED {
            self.parker.wake_all(&self.word);
            CHIMES.ring(address);
        }
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// UNSET | POLLED -> AWAITED. While the guard lives, `bell` rings when the latch is set, or at once
    /// if it is set already. For a thread that must not sleep on the latch. Never blocks.
    #[must_use = "dropping it takes the bell down"]
    pub fn hang(&self, bell: Arc<Bell>) -> Hung<'_> {
        CHIMES.hang(self.address(), Arc::clone(&bell));
        // This writes even if the word stays the same, so a thread that sets the latch later sees the
        // bell.
        if self.word.fetch_max(AWAITED, Ordering::SeqCst) == SET {
            // If this fails, no wake-up is lost: the thread also checks the latch regularly.
            _ = bell.ring();
        }
        Hung { latch: self, bell }
    }

    /// UNSET | POLLED -> AWAITED, then sleeps until set, until `deadline`, or until a signal.
    /// Blocks; never call it attached to Python.
    pub fn wait(&self, deadline: Option<Instant>) -> Wait {
        loop {
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            match self.sleep(left) {
                Wait::TimedOut if left != Some(Duration::ZERO) => {}
                wait => return wait,
            }
        }
    }

    /// Like `wait`, but sleeps only once, for at most `limit`. So it may time out too early. For a caller
    /// that checks its deadline itself, and so needs not read the clock here.
    pub fn sleep(&self, limit: Option<Duration>) -> Wait {
        if self.announce_sleeper() == SET {
            return Wait::Set;
        }
        if limit == Some(Duration::ZERO) {
            return Wait::TimedOut;
        }
        let slept = self.parker.sleep(&self.word, AWAITED, limit);
        match slept {
            _ if self.is_set() => Wait::Set,
            Err(Error::INTERRUPTED) => Wait::Interrupted,
            _ => Wait::TimedOut,
        }
    }
}

impl Latch {
    /// UNSET | POLLED -> AWAITED. Returns the state after that, AWAITED or SET.
    fn announce_sleeper(&self) -> u32 {
        let mut found = self.word.load(Ordering::SeqCst);
        // Two rounds at most, if the word goes from UNSET to POLLED in between.
        while matches!(found, UNSET | POLLED) {
            let exchanged =
                self.word
                    .compare_exchange(found, AWAITED, Ordering::SeqCst, Ordering::SeqCst);
            match exchanged {
                Ok(_) => return AWAITED,
                Err(other) => found = other,
            }
        }
        found
    }
}

/// A bell that rings when a latch is set. Dropping this takes the bell down.
pub struct Hung<'a> {
    latch: &'a Latch,
    bell: Arc<Bell>,
}

impl Drop for Hung<'_> {
    fn drop(&mut self) {
        CHIMES.take_down(self.latch.address(), &self.bell);
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

/// Run with `make loom`.
#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    /// One thread polls a few times and then sleeps, one sleeps at once, and one sets.
    #[test]
    fn loom_every_waiter_returns() {
        loom::model(|| {
            let latch = Arc::new(Latch::default());
            let poller = {
                let latch = Arc::clone(&latch);
                thread::spawn(move || {
                    latch.poll();
                    if !latch.is_set() {
                        assert_eq!(latch.wait(None), Wait::Set);
                    }
                })
            };
            let sleeper = {
                let latch = Arc::clone(&latch);
                thread::spawn(move || assert_eq!(latch.wait(None), Wait::Set))
            };
            latch.set();
            poller.join().unwrap();
            sleeper.join().unwrap();
            assert!(latch.is_set());
        });
    }

    /// A thread that finds the latch set by polling sees what the setting thread has written.
    #[test]
    fn loom_a_poller_sees_what_was_written_before() {
        loom::model(|| {
            let latch = Arc::new(Latch::default());
            let answer = Arc::new(AtomicU32::new(0));
            let setter = {
                let (latch, answer) = (Arc::clone(&latch), Arc::clone(&answer));
                thread::spawn(move || {
                    answer.store(7, Ordering::Relaxed);
                    latch.set();
                })
            };
            latch.poll();
            if latch.is_set() {
                assert_eq!(answer.load(Ordering::Relaxed), 7);
            }
            setter.join().unwrap();
            assert!(!latch.is_awaited());
        });
    }

    /// One thread sets the latch while another hangs a bell and a third is about to sleep.
    #[test]
    fn loom_a_bell_rings_whichever_thread_marked_the_latch() {
        loom::model(|| {
            let latch = loom::sync::Arc::new(Latch::default());
            let setter = loom::sync::Arc::clone(&latch);
            let setter = thread::spawn(move || setter.set());
            let sleeper = loom::sync::Arc::clone(&latch);
            let sleeper = thread::spawn(move || sleeper.announce_sleeper());
            let bell = std::sync::Arc::new(Bell::new().expect("loom"));
            let hung = latch.hang(std::sync::Arc::clone(&bell));
            // Loom sometimes wakes a thread without a reason, as the system does.
            while !latch.is_set() {
                bell.hear();
            }
            drop(hung);
            setter.join().expect("no panic");
            sleeper.join().expect("no panic");
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

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
    fn a_bell_that_hangs_at_a_latch_rings_when_that_is_set() {
        use crate::engine::sys::{self, Ready};
        let rings = |bell: &Bell| {
            let [ready] = sys::poll([Some(bell.rung())], Some(Duration::ZERO)).expect("poll");
            ready == Ready::Yes
        };
        let bell = || Arc::new(Bell::new().expect("descriptors"));
        let (latch, other) = (Latch::default(), Latch::default());
        let (early, taken, of_other, late) = (bell(), bell(), bell(), bell());
        let _early = latch.hang(Arc::clone(&early));
        drop(latch.hang(Arc::clone(&taken)));
        let _other = other.hang(Arc::clone(&of_other));
        assert!(!rings(&early));
        latch.set();
        let _late = latch.hang(Arc::clone(&late));
        assert!(rings(&early) && rings(&late));
        assert!(!rings(&taken) && !rings(&of_other));
    }

    #[test]
    fn sleepers_and_bells_of_one_latch_are_all_woken() {
        for _ in 0..200 {
            let latch = Arc::new(Latch::default());
            let bell = Arc::new(Bell::new().expect("descriptors"));
            let hung = latch.hang(Arc::clone(&bell));
            let sleeper = Arc::clone(&latch);
            let sleeper = std::thread::spawn(move || while sleeper.wait(None) != Wait::Set {});
            latch.set();
            sleeper.join().expect("a sleeper never panics");
            let interests = [Some(bell.rung())];
            let [ready] = crate::engine::sys::poll(interests, None).expect("poll");
            assert!(ready.is_ready());
            drop(hung);
        }
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
    fn every_event_in_every_state() {
        // The state, then the states after: poll, a sleeper's announcement, set
        let table = [
            (UNSET, POLLED, AWAITED, SET),
            (POLLED, POLLED, AWAITED, SET),
            (AWAITED, AWAITED, AWAITED, SET),
            (SET, SET, SET, SET),
        ];
        for (state, polled, announced, set) in table {
            let latch = || Latch {
                word: AtomicU32::new(state),
                parker: Parker::new(),
            };
            let after = |latch: Latch| latch.word.into_inner();
            let one = latch();
            assert_eq!(one.is_awaited(), matches!(state, POLLED | AWAITED));
            one.poll();
            assert_eq!(after(one), polled);
            let one = latch();
            assert_eq!(one.announce_sleeper(), announced);
            assert_eq!(after(one), announced);
            let one = latch();
            one.set();
            assert_eq!(after(one), set);
        }
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
