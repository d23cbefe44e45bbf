//! The clock that all threads and processes read.

/// Nanoseconds on a clock that every process reads alike.
pub fn now_nanos() -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // Not through rustix, which needs the kernel's vDSO: under valgrind there is none. SAFETY: it
    // only writes to `now`, and cannot fail for a clock that every system has.
    #[expect(unsafe_code)]
    let got = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    debug_assert_eq!(got, 0);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or_default()
}
