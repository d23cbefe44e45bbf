//! Making a pipe.

use rustix::fd::OwnedFd;
use rustix::io::{FdFlags, Result};

/// Makes a pipe in two steps. If another thread starts a program between them, the program inherits
/// both ends. A thread that runs Python code cannot do that, because actors make their pipes while
/// they hold the GIL.
pub(in crate::engine::sys::unix) fn make_pipe() -> Result<(OwnedFd, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe()?;
    for end in [&read, &write] {
        rustix::io::fcntl_setfd(end, FdFlags::CLOEXEC)?;
    }
    Ok((read, write))
}
