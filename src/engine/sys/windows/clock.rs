//! The clock that all threads and processes read.

use std::sync::OnceLock;

use windows_sys::Win32::System::Performance::{QueryPerformanceCounter, QueryPerformanceFrequency};

/// Nanoseconds on a clock that every process reads alike.
pub fn now_nanos() -> u64 {
    const NANOS: u64 = 1_000_000_000;
    static PER_SECOND: OnceLock<u64> = OnceLock::new();
    let per_second = *PER_SECOND.get_or_init(|| {
        let mut ticks = 0;
        // SAFETY: it writes to `ticks` alone, and cannot fail since Windows XP.
        #[expect(unsafe_code)]
        let got = unsafe { QueryPerformanceFrequency(&raw mut ticks) };
        debug_assert_ne!(got, 0);
        u64::try_from(ticks).unwrap_or(1).max(1)
    });
    let mut now = 0;
    // SAFETY: as above.
    #[expect(unsafe_code)]
    let got = unsafe { QueryPerformanceCounter(&raw mut now) };
    debug_assert_ne!(got, 0);
    let ticks = u64::try_from(now).unwrap_or_default();
    // Whole seconds apart from the rest, because the product of all ticks would be too large.
    ticks / per_second * NANOS + ticks % per_second * NANOS / per_second
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn it_counts_nanoseconds() {
        let (begun, begun_nanos) = (Instant::now(), now_nanos());
        std::thread::sleep(Duration::from_millis(20));
        let nanos = now_nanos() - begun_nanos;
        let most = begun.elapsed();
        assert!(nanos >= 10_000_000 && u128::from(nanos) <= most.as_nanos() + 1_000_000);
    }
}
