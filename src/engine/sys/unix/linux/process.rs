//! Processes, by their descriptors.

use rustix::fd::{AsFd, OwnedFd};
use rustix::io::{Errno, Result};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions};

use crate::engine::sys::attempt::attempt;
use crate::engine::sys::call::Call;
use crate::engine::sys::error;
use crate::engine::sys::types::Reaped;
use crate::engine::sys::unix::handle::Handle;
use crate::engine::sys::unix::reap::{by_status, reap_by_number};

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

pub(in crate::engine::sys::unix) fn reap_watched(
    watch: &Handle,
    pid: Pid,
    waits: bool,
) -> error::Result<Reaped> {
    let mut options = WaitIdOptions::EXITED;
    options.set(WaitIdOptions::NOHANG, !waits);
    match rustix::process::waitid(WaitId::PidFd(watch.0.as_fd()), options) {
        Ok(None) => Ok(Reaped::Lives),
        Ok(Some(status)) => Ok(by_status(status.exit_status(), status.terminating_signal())),
        // Linux 5.3 has process descriptors, but cannot reap through them.
        Err(Errno::INVAL) => reap_by_number(pid, waits),
        Err(error) => Err(error.into()),
    }
}
