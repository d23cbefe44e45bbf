//! Processes, by their descriptors.

use rustix::fd::OwnedFd;
use rustix::io::Result;
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::engine::sys::attempt::attempt;
use crate::engine::sys::call::Call;
use crate::engine::sys::error;
use crate::engine::sys::unix::handle::Handle;

pub(in crate::engine::sys::unix) fn make_pipe() -> Result<(OwnedFd, OwnedFd)> {
    rustix::pipe::pipe_with(PipeFlags::CLOEXEC)
}

pub(in crate::engine::sys::unix) fn watch(pid: Pid) -> Result<OwnedFd> {
    rustix::process::pidfd_open(pid, PidfdFlags::empty())
}

pub(in crate::engine::sys::unix) fn signal_watched(
    watch: &Handle,
    _pid: Pid,
    signal: Signal,
) -> error::Result<()> {
    attempt(Call::Signal, || {
        rustix::process::pidfd_send_signal(&watch.0, signal)
    })
}
