//! Threads: starting one, sleeping until a word changes, and the clock that all of them read.

#[cfg(target_os = "linux")]
use std::sync::atomic::AtomicU32;
use std::thread::{Builder, JoinHandle};

#[cfg(target_os = "linux")]
use rustix::event::Timespec;
use rustix::io::{Errno, Result};
#[cfg(target_os = "linux")]
use rustix::thread::futex;

use super::{Call, attempt};

/// Starts a thread.
pub fn spawn<T: Send + 'static>(
    name: String,
    stack_bytes: usize,
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>> {
    attempt(Call::Spawn, || {
        let thread = Builder::new().name(name).stack_size(stack_bytes);
        let started = thread.spawn(run);
        started.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::INVAL))
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

/// Sleeps until `word` is woken, if it has `value`; as long as `left` at most.
#[cfg(target_os = "linux")]
pub fn futex_wait(word: &AtomicU32, value: u32, left: Option<&Timespec>) -> Result<()> {
    attempt(Call::Sleep, || {
        futex::wait(word, futex::Flags::PRIVATE, value, left)
    })
}

/// Wakes everyone who sleeps on `word`. It can fail for a bad address alone, which none is.
#[cfg(target_os = "linux")]
pub fn futex_wake(word: &AtomicU32) {
    let woken = futex::wake(word, futex::Flags::PRIVATE, i32::MAX as u32);
    debug_assert!(woken.is_ok());
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
