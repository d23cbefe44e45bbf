//! Makes system calls.

use super::call::Call;
use super::error::{Error, Result};
#[cfg(any(test, feature = "faults"))]
use super::faults;

/// Makes a system call, unless a test makes it fail.
#[inline]
pub(super) fn attempt<T, E: Into<Error>>(
    call: Call,
    make: impl FnOnce() -> std::result::Result<T, E>,
) -> Result<T> {
    #[cfg(any(test, feature = "faults"))]
    if let Some(error) = faults::strike(call) {
        return Err(error);
    }
    _ = call;
    make().map_err(Into::into)
}

/// Repeats a call that a signal interrupted.
pub fn retry<T>(mut call: impl FnMut() -> Result<T>) -> Result<T> {
    loop {
        match call() {
            Err(Error::INTERRUPTED) => {}
            result => return result,
        }
    }
}

/// A moment at which a test may have the calling thread panic.
#[inline]
pub fn moment() {
    #[cfg(any(test, feature = "faults"))]
    faults::moment();
}
