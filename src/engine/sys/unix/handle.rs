//! Handles: descriptors that this process owns.

use std::fs::File;

use rustix::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use crate::engine::sys::attempt::attempt;
use crate::engine::sys::call::Call;
use crate::engine::sys::error::{Error, Result};

/// A descriptor that this process owns. Dropping the handle closes it.
#[derive(Debug)]
pub struct Handle(pub(super) OwnedFd);

/// The number by which Python, and a process that inherits it, know a handle.
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

/// A duplicate of this handle, also close-on-exec.
pub fn duplicate(handle: &Handle) -> Result<Handle> {
    let duplicate = || rustix::io::fcntl_dupfd_cloexec(&handle.0, 0);
    attempt(Call::Open, duplicate).map(Handle)
}

/// Like `duplicate`, for a descriptor of which only the number is known. Its owner must still close
/// it.
pub fn duplicate_number(number: HandleNumber) -> Result<Handle> {
    if number < 0 {
        return Err(Error::CLOSED);
    }
    // SAFETY: it is borrowed for one call, which only duplicates it; if the number is not open, the
    // call fails.
    #[expect(unsafe_code)]
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    let duplicate = || rustix::io::fcntl_dupfd_cloexec(borrowed, 0);
    attempt(Call::Open, duplicate).map(Handle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_that_is_not_open_is_an_error() {
        for number in [987_654, -1, HandleNumber::MIN] {
            assert_eq!(duplicate_number(number).err(), Some(Error::CLOSED));
        }
    }

    #[test]
    fn a_duplicate_leaves_the_descriptor_to_its_owner() {
        let (read_end, write_end) = rustix::pipe::pipe().expect("descriptors");
        drop(duplicate_number(write_end.as_raw_fd()).expect("it is open"));
        assert_eq!(rustix::io::write(&write_end, b"x"), Ok(1));
        assert_eq!(rustix::io::read(&read_end, &mut [0; 2]), Ok(1));
    }
}
