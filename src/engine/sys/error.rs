//! Why a system call failed.

use std::{fmt, io};

/// An error, by the system's own number. Those that callers distinguish have names, which each
/// system's part of this folder defines.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Error(pub(super) i32);

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub fn from_number(number: i32) -> Self {
        Self(number)
    }

    pub fn number(self) -> i32 {
        self.0
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::from_raw_os_error(error.0)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        io::Error::from(*self).fmt(f)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        io::Error::from(*self).fmt(f)
    }
}

impl std::error::Error for Error {}
