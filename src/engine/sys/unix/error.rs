//! The errors that have names, by their numbers on Unix.

use crate::engine::sys::error::Error;

impl From<rustix::io::Errno> for Error {
    fn from(errno: rustix::io::Errno) -> Self {
        Self(errno.raw_os_error())
    }
}

impl Error {
    pub const ALREADY: Self = Self(libc::EALREADY);
    /// The handle has been closed.
    pub const CLOSED: Self = Self(libc::EBADF);
    pub const BROKEN_PIPE: Self = Self(libc::EPIPE);
    pub const DEADLOCK: Self = Self(libc::EDEADLK);
    /// A signal's handler ran on this thread.
    pub const INTERRUPTED: Self = Self(libc::EINTR);
    pub const INVALID: Self = Self(libc::EINVAL);
    pub const NO_MEMORY: Self = Self(libc::ENOMEM);
    pub const NO_CHILD: Self = Self(libc::ECHILD);
    pub const NO_PROCESS: Self = Self(libc::ESRCH);
    pub const NO_SPACE: Self = Self(libc::ENOSPC);
    pub const TOO_MANY_HANDLES: Self = Self(libc::EMFILE);
    pub const UNSUPPORTED: Self = Self(libc::ENOSYS);
    pub const WOULD_BLOCK: Self = Self(libc::EAGAIN);
}
