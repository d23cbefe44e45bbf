//! A mutex that does not poison, and the switch to loom's where its models run.

#[cfg(loom)]
use loom::sync as base;
#[cfg(not(loom))]
use std::sync as base;

use std::sync::PoisonError;

pub use base::MutexGuard;

/// A mutex for short, panic-free sections: a panic elsewhere in the thread says nothing about what
/// it guards, so poison is ignored.
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
