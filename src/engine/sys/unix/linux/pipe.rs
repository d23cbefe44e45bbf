//! Making a pipe.

use rustix::fd::OwnedFd;
use rustix::io::Result;
use rustix::pipe::{PipeFlags, pipe_with};

pub(in crate::engine::sys::unix) fn make_pipe() -> Result<(OwnedFd, OwnedFd)> {
    pipe_with(PipeFlags::CLOEXEC)
}
