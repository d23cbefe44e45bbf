//! Why a system call failed.

use std::{fmt, io};

/// The system's own number for it. Those that callers tell apart have names, which each system's
/// half of this folder gives.
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

impl From<rustix::io::Errno> for Error {
    fn from(errno: rustix::io::Errno) -> Self {
        Self(errno.raw_os_error())
    }
}

impl Error {
    pub const ALREADY: Self = Self(libc::EALREADY);
    /// Of a handle that has been given up.
    pub const CLOSED: Self = Self(libc::EBADF);
    pub const BROKEN_PIPE: Self = Self(libc::EPIPE);
    pub const DEADLOCK: Self = Self(libc::EDEADLK);
    /// A signal's handler ran on this thread.
    pub const INTERRUPTED: Self = Self(libc::EINTR);
    pub const INVALID: Self = Self(libc::EINVAL);
    pub const NO_MEMORY: Self = Self(libc::ENOMEM);
    pub const NO_PROCESS: Self = Self(libc::ESRCH);
    pub const NO_SPACE: Self = Self(libc::ENOSPC);
    pub const TOO_MANY_HANDLES: Self = Self(libc::EMFILE);
    pub const UNSUPPORTED: Self = Self(libc::ENOSYS);
    pub const WOULD_BLOCK: Self = Self(libc::EAGAIN);
}
