//! A mutex without poison and its condition variable. In loom's models they are loom's.

#[cfg(loom)]
use loom::sync as base;
#[cfg(not(loom))]
use std::sync as base;

use std::sync::PoisonError;
use std::time::Duration;

pub use base::MutexGuard;
pub use base::atomic::{AtomicBool, AtomicU64, Ordering};

/// A mutex for short sections that cannot panic. So a panic elsewhere in the thread leaves the data
/// intact, and poison is ignored.
#[derive(Debug, Default)]
pub struct Mutex<T>(base::Mutex<T>);

impl<T> Mutex<T> {
    pub fn new(value: T) -> Self {
        Self(base::Mutex::new(value))
    }

    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A condition variable for such a mutex.
#[derive(Debug, Default)]
pub struct Condvar(base::Condvar);

impl Condvar {
    pub fn new() -> Self {
        Self(base::Condvar::new())
    }

    /// Blocks until it is notified. It may also return for no reason.
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.0.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }

    /// Like `wait`, for at most this long. `mutex` is that of the guard. Returns also whether the time has
    /// passed.
    #[cfg(not(loom))]
    pub fn wait_for<'a, T>(
        &self,
        _mutex: &'a Mutex<T>,
        guard: MutexGuard<'a, T>,
        limit: Duration,
    ) -> (MutexGuard<'a, T>, bool) {
        let waited = self.0.wait_timeout(guard, limit);
        let (guard, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        (guard, waited.timed_out())
    }

    /// In a model the time passes at any moment.
    #[cfg(loom)]
    pub fn wait_for<'a, T>(
        &self,
        mutex: &'a Mutex<T>,
        guard: MutexGuard<'a, T>,
        _limit: Duration,
    ) -> (MutexGuard<'a, T>, bool) {
        drop(guard);
        loom::thread::yield_now();
        (mutex.lock(), true)
    }

    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}
