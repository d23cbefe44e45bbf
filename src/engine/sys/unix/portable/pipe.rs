//! Making a pipe.

use rustix::fd::OwnedFd;
use rustix::io::{FdFlags, Result};

/// Between its two steps another thread may start a program, which then inherits both ends. A thread
/// of Python's cannot: actors make their pipes with the GIL.
pub(in crate::engine::sys::unix) fn make_pipe() -> Result<(OwnedFd, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe()?;
    for end in [&read, &write] {
        rustix::io::fcntl_setfd(end, FdFlags::CLOEXEC)?;
    }
    Ok((read, write))
}
