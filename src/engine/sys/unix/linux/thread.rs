//! Which thread is the main one, and sleeping until a word changes.

use std::sync::atomic::AtomicU32;
use std::time::Duration;

use rustix::thread::futex;

use crate::engine::sys::attempt::attempt;
use crate::engine::sys::call::Call;
use crate::engine::sys::error::Result;

/// Whether Python's signal handlers may run on this thread.
pub fn is_main_thread() -> bool {
    thread_local! {
        // Asked once per thread, because it takes two system calls. After a fork, the answer may be
        // out of date for the thread that forked, which is now a main thread. That only costs it a
        // second look.
        static IS_MAIN: bool = rustix::thread::gettid() == rustix::process::getpid();
    }
    IS_MAIN.with(|is_main| *is_main)
}

/// Names this process in the tables of the system, as `ps` and `top` show them. Only its main
/// thread calls it. Of a longer name, the first 15 bytes are kept.
pub fn name_process(name: &str) {
    const MOST_BYTES: usize = 15;
    let ends = name.char_indices().map(|(at, c)| at + c.len_utf8());
    let end = ends.take_while(|end| *end <= MOST_BYTES).last();
    // A name with a zero byte cannot be set.
    if let Ok(name) = std::ffi::CString::new(&name[..end.unwrap_or(0)]) {
        // An error does no harm: the name is only for display.
        _ = rustix::thread::set_name(&name);
    }
}

/// The CPU that the calling thread runs on; the next moment it may be another.
pub fn current_cpu() -> Option<u32> {
    // Not through rustix, which makes a system call. The C library reads a number that the kernel
    // keeps up to date in the thread's own memory. SAFETY: the call has no arguments and changes
    // nothing.
    #[expect(unsafe_code)]
    let cpu = unsafe { libc::sched_getcpu() };
    u32::try_from(cpu).ok()
}

/// Where threads of this process sleep until a word changes.
#[derive(Debug)]
pub struct Parker;

impl Parker {
    pub(in crate::engine) fn new() -> Self {
        Self
    }

    /// Sleeps until `wake_all` is called for `word`, for at most `left`. Returns at once if `word`
    /// does not have `value`, and may return for no reason. `Error::INTERRUPTED` means that a
    /// signal's handler ran on this thread.
    pub fn sleep(&self, word: &AtomicU32, value: u32, left: Option<Duration>) -> Result<()> {
        // A time that does not fit the kernel's type means no limit.
        let left = left.and_then(|left| left.try_into().ok());
        attempt(Call::Sleep, || {
            futex::wait(word, futex::Flags::PRIVATE, value, left.as_ref())
        })
    }

    /// Wakes every thread that sleeps on `word`. It can only fail for a bad address.
    pub fn wake_all(&self, word: &AtomicU32) {
        let woken = futex::wake(word, futex::Flags::PRIVATE, i32::MAX as u32);
        debug_assert!(woken.is_ok());
    }
}
