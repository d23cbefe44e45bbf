//! Threads: starting one, sleeping until a word changes, and the clock that all of them read.

use std::sync::atomic::AtomicU32;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::{Call, Error, Result, attempt};

/// Starts a thread.
pub fn spawn<T: Send + 'static>(
    name: String,
    stack_bytes: usize,
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>> {
    attempt(Call::Spawn, || {
        let thread = Builder::new().name(name).stack_size(stack_bytes);
        let started = thread.spawn(run);
        started.map_err(|error| error.raw_os_error().map_or(Error::INVALID, Error))
    })
}

/// Whether Python's signal handlers may run on this thread. Where that cannot be told, yes.
pub fn is_main_thread() -> bool {
    thread_local! {
        // Two system calls, once a thread. A thread that forks becomes its process's main one and
        // is still taken for what it was, which costs it the second look alone.
        static IS_MAIN: bool = ask_is_main();
    }
    IS_MAIN.with(|is_main| *is_main)
}

fn ask_is_main() -> bool {
    #[cfg(target_os = "linux")]
    return rustix::thread::gettid() == rustix::process::getpid();
    #[cfg(not(target_os = "linux"))]
    return true;
}

/// Where threads of this process sleep until a word changes.
#[cfg(target_os = "linux")]
#[derive(Debug)]
pub struct Parker;

#[cfg(target_os = "linux")]
impl Parker {
    pub(in crate::engine) fn new() -> Self {
        Self
    }

    /// Sleeps until `word` is woken, if it has `value`; as long as `left` at most. It may wake for
    /// no reason; `Error::INTERRUPTED`: for a signal whose handler ran on this thread.
    pub fn sleep(&self, word: &AtomicU32, value: u32, left: Option<Duration>) -> Result<()> {
        use rustix::thread::futex;
        // A wait that is too long for the kernel's type is one without end.
        let left = left.and_then(|left| left.try_into().ok());
        attempt(Call::Sleep, || {
            futex::wait(word, futex::Flags::PRIVATE, value, left.as_ref())
        })
    }

    /// Wakes every thread that sleeps on `word`. It can only fail for a bad address.
    pub fn wake_all(&self, word: &AtomicU32) {
        use rustix::thread::futex;
        let woken = futex::wake(word, futex::Flags::PRIVATE, i32::MAX as u32);
        debug_assert!(woken.is_ok());
    }
}

#[cfg(not(target_os = "linux"))]
#[derive(Debug, Default)]
pub struct Parker {
    lock: std::sync::Mutex<()>,
    changed: std::sync::Condvar,
}

#[cfg(not(target_os = "linux"))]
impl Parker {
    pub(in crate::engine) fn new() -> Self {
        Self::default()
    }

    pub fn sleep(&self, word: &AtomicU32, value: u32, left: Option<Duration>) -> Result<()> {
        // A condition variable does not report signals, so look up now and then.
        const SLICE: Duration = Duration::from_millis(50);
        let lock = &self.lock;
        let guard = lock
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if word.load(std::sync::atomic::Ordering::SeqCst) == value {
            let slice = left.map_or(SLICE, |left| left.min(SLICE));
            drop(self.changed.wait_timeout(guard, slice));
        }
        Err(Error::INTERRUPTED)
    }

    pub fn wake_all(&self, _word: &AtomicU32) {
        let lock = &self.lock;
        // Taken, so that a sleeper is either asleep already or has yet to look at the word.
        drop(
            lock.lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        );
        self.changed.notify_all();
    }
}

/// Nanoseconds on a clock that every process reads alike.
pub fn now_nanos() -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // Not by rustix, which looks for the kernel's own code for it where valgrind has none.
    // SAFETY: it writes to `now` alone, and cannot fail for a clock that every system has.
    #[expect(unsafe_code)]
    let got = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    debug_assert_eq!(got, 0);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or_default()
}
