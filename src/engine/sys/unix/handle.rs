//! Handles: descriptors that this process owns.

use std::fs::File;

use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use crate::engine::sys::attempt::attempt;
use crate::engine::sys::call::Call;
use crate::engine::sys::error::Result;

/// What this process owns of the system's, a descriptor; it is closed when this is dropped.
#[derive(Debug)]
pub struct Handle(pub(super) OwnedFd);

/// How Python, and another process that is given it, know a handle.
pub type HandleNumber = RawFd;

impl Handle {
    pub fn number(&self) -> HandleNumber {
        self.0.as_raw_fd()
    }
}

impl From<Handle> for File {
    fn from(handle: Handle) -> Self {
        handle.0.into()
    }
}

/// Takes over a descriptor that this process was given by its parent, and keeps it from the
/// processes that this one starts.
pub fn inherited(number: HandleNumber) -> Result<Handle> {
    // SAFETY: the caller is the entry of a child, which was given this number to own; a number
    // that is not open is an error of the next line and is never closed.
    #[expect(unsafe_code)]
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    attempt(Call::Control, || {
        rustix::io::fcntl_setfd(borrowed, rustix::io::FdFlags::CLOEXEC)
    })?;
    // SAFETY: it is open, as the line above has shown, and nobody else in this process owns it:
    // the entry runs once, first.
    #[expect(unsafe_code)]
    Ok(Handle(unsafe { OwnedFd::from_raw_fd(number) }))
}

/// Another handle on the same, close-on-exec too.
pub fn duplicate(handle: &Handle) -> Result<Handle> {
    let duplicate = || rustix::io::fcntl_dupfd_cloexec(&handle.0, 0);
    attempt(Call::Open, duplicate).map(Handle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_that_is_not_open_is_an_error() {
        assert!(inherited(987_654).is_err());
    }
}
