//! Which thread is the main one, and sleeping until a word changes.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use windows_sys::Win32::Foundation::ERROR_TIMEOUT;
use windows_sys::Win32::System::Kernel::PROCESSOR_NUMBER;
use windows_sys::Win32::System::Threading::{
    GetCurrentProcessorNumberEx, GetCurrentThreadId, INFINITE, WaitOnAddress, WakeByAddressAll,
};

use crate::engine::sys::attempt::attempt;
use crate::engine::sys::call::Call;
use crate::engine::sys::error::{Error, Result};

/// The number of the main thread. No thread has the number 0.
static MAIN_THREAD: AtomicU64 = AtomicU64::new(0);

/// Says which thread is the main one, by its number in Python, which is the system's. Windows has no
/// main thread, but Python runs signal handlers only on the thread that has started it.
pub fn note_main_thread(number: u64) {
    // Relaxed: no other memory depends on it.
    MAIN_THREAD.store(number, Ordering::Relaxed);
}

/// Whether Python's signal handlers may run on this thread.
pub fn is_main_thread() -> bool {
    // SAFETY: it takes nothing and changes nothing.
    #[expect(unsafe_code)]
    let number = unsafe { GetCurrentThreadId() };
    u64::from(number) == MAIN_THREAD.load(Ordering::Relaxed)
}

/// The CPU that the calling thread runs on; the next moment it may be another.
pub fn current_cpu() -> Option<u32> {
    let mut number = PROCESSOR_NUMBER::default();
    // SAFETY: it writes to `number` alone.
    #[expect(unsafe_code)]
    unsafe {
        GetCurrentProcessorNumberEx(&raw mut number);
    }
    // A group has at most 64 CPUs.
    Some(u32::from(number.Group) * 64 + u32::from(number.Number))
}

/// Where threads of this process sleep until a word changes.
#[derive(Debug)]
pub struct Parker;

impl Parker {
    pub(in crate::engine) fn new() -> Self {
        Self
    }

    /// Sleeps until `word` is woken, if it has `value`; as long as `left` at most. It may wake for
    /// no reason.
    pub fn sleep(&self, word: &AtomicU32, value: u32, left: Option<Duration>) -> Result<()> {
        let millis = left.map_or(INFINITE, at_least_millis);
        attempt(Call::Sleep, || {
            let address = word.as_ptr().cast_const().cast();
            let compared = (&raw const value).cast();
            // SAFETY: both addresses are of four bytes that live until it returns; it reads the
            // word as one access, as an atomic load does.
            #[expect(unsafe_code)]
            let woken = unsafe { WaitOnAddress(address, compared, size_of::<u32>(), millis) };
            if woken != 0 {
                return Ok(());
            }
            match std::io::Error::last_os_error().raw_os_error() {
                Some(number) if number != ERROR_TIMEOUT.cast_signed() => Err(Error(number)),
                _ => Ok(()),
            }
        })
    }

    /// Wakes every thread that sleeps on `word`.
    pub fn wake_all(&self, word: &AtomicU32) {
        // SAFETY: the address is only compared with those on which threads sleep.
        #[expect(unsafe_code)]
        unsafe {
            WakeByAddressAll(word.as_ptr().cast_const().cast());
        }
    }
}

/// Rounded up, so that nobody wakes in vain just before the time is over. What is too long for the
/// system's type is its longest time: whoever sleeps looks at the clock when it wakes.
pub(super) fn at_least_millis(left: Duration) -> u32 {
    let millis = left.as_nanos().div_ceil(1_000_000);
    u32::try_from(millis).unwrap_or(INFINITE).min(INFINITE - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_lasts_until_the_word_is_woken_or_the_time_is_over() {
        let word = AtomicU32::new(1);
        let short = Some(Duration::from_millis(1));
        assert_eq!(Parker.sleep(&word, 1, short), Ok(()));
        assert_eq!(Parker.sleep(&word, 2, None), Ok(()));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while word.load(Ordering::SeqCst) == 1 {
                    assert_eq!(Parker.sleep(&word, 1, None), Ok(()));
                }
            });
            word.store(2, Ordering::SeqCst);
            Parker.wake_all(&word);
        });
    }

    #[test]
    fn only_the_thread_that_was_noted_is_the_main_one() {
        // SAFETY: it takes nothing and changes nothing.
        #[expect(unsafe_code)]
        note_main_thread(u64::from(unsafe { GetCurrentThreadId() }));
        assert!(is_main_thread());
        let other = std::thread::spawn(is_main_thread).join();
        assert!(!other.expect("no panic"));
    }

    #[test]
    fn times_are_rounded_up_and_have_an_end() {
        assert_eq!(at_least_millis(Duration::ZERO), 0);
        assert_eq!(at_least_millis(Duration::from_nanos(1)), 1);
        assert_eq!(at_least_millis(Duration::from_millis(7)), 7);
        assert_eq!(at_least_millis(Duration::MAX), INFINITE - 1);
    }
}
