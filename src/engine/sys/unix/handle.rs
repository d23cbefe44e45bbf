//! Handles: descriptors that this process owns.

use std::fs::File;

use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use crate::engine::ring::Side;
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

/// Takes over a descriptor that this process was given by `hand_over`: the next of `numbers`. It is
/// closed, because processes that this one starts would inherit it. `_side` is which end of a pipe it
/// is, if it is one.
pub fn take_over(
    numbers: &mut impl Iterator<Item = HandleNumber>,
    _side: Option<Side>,
) -> Result<Handle> {
    let number = numbers.next().unwrap_or(-1);
    if number < 0 {
        return Err(Error::CLOSED);
    }
    // SAFETY: it is borrowed for one call, which only duplicates it; if the number is not open, the
    // call fails.
    #[expect(unsafe_code)]
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    let handle =
        attempt(Call::Open, || rustix::io::fcntl_dupfd_cloexec(borrowed, 0)).map(Handle)?;
    // SAFETY: it is open, and was given to this process for this call, so nothing else closes it.
    #[expect(unsafe_code)]
    drop(unsafe { OwnedFd::from_raw_fd(number) });
    Ok(handle)
}

/// The numbers by which a child takes this handle over: one.
pub fn hand_over(handle: &Handle) -> Vec<HandleNumber> {
    vec![handle.number()]
}

#[cfg(test)]
mod tests {
    use super::*;

    use rustix::fd::IntoRawFd;

    #[test]
    fn a_descriptor_that_is_not_open_is_an_error() {
        for number in [987_654, -1, HandleNumber::MIN] {
            let numbers = &mut [number].into_iter();
            assert_eq!(take_over(numbers, None).err(), Some(Error::CLOSED));
            assert_eq!(take_over(numbers, None).err(), Some(Error::CLOSED));
        }
    }

    #[test]
    fn a_number_that_is_taken_over_is_closed() {
        let (read_end, write_end) = rustix::pipe::pipe().expect("descriptors");
        let numbers = &mut [write_end.into_raw_fd()].into_iter();
        let write_end = take_over(numbers, Some(Side::Writer)).expect("it is open");
        assert_eq!(rustix::io::write(&write_end.0, b"x"), Ok(1));
        drop(write_end);
        let mut bytes = [0; 2];
        assert_eq!(rustix::io::read(&read_end, &mut bytes), Ok(1));
        assert_eq!(rustix::io::read(&read_end, &mut bytes), Ok(0));
    }
}
