//! Processes by their numbers.

use std::time::Duration;

use rustix::fd::OwnedFd;
use rustix::io::Result;
use rustix::process::{Pid, Signal};

use crate::engine::sys::attempt::{attempt, retry};
use crate::engine::sys::call::Call;
use crate::engine::sys::error::{self, Error};
use crate::engine::sys::types::{Interest, Reaped};
use crate::engine::sys::unix::handle::Handle;
use crate::engine::sys::unix::io::poll;
use crate::engine::sys::unix::reap::reap_by_number;

/// These systems know a process only by the name of its program.
pub fn name_process(_name: &str) {}

/// A kqueue that becomes readable when the process has ended.
#[cfg(not(target_os = "linux"))]
pub(in crate::engine::sys::unix) fn watch(pid: Pid) -> Result<OwnedFd> {
    use rustix::event::kqueue::{Event, EventFilter, EventFlags, ProcessEvents, kevent, kqueue};
    let flags = ProcessEvents::EXIT;
    let filter = EventFilter::Proc { pid, flags };
    let exit = Event::new(filter, EventFlags::ADD, std::ptr::null_mut());
    let queue = kqueue()?;
    rustix::io::fcntl_setfd(&queue, rustix::io::FdFlags::CLOEXEC)?;
    // SAFETY: the event names a process, not a descriptor that would have to stay open.
    #[expect(unsafe_code)]
    let added = unsafe {
        kevent(
            &queue,
            &[exit],
            &mut [][..] as &mut [Event],
            Some(Duration::ZERO),
        )
    };
    match added {
        Ok(_) => Ok(queue),
        // The process has ended already. A pipe without a writer is readable, too.
        Err(rustix::io::Errno::SRCH) => Ok(super::pipe::make_pipe()?.0),
        Err(error) => Err(error),
    }
}

/// Linux has no kqueue. What stands in for it here is likewise readable once the process has ended,
/// and is used for nothing else.
#[cfg(target_os = "linux")]
pub(in crate::engine::sys::unix) fn watch(pid: Pid) -> Result<OwnedFd> {
    rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())
}

/// Signals by pid. The pid of a reaped process may be another's, so this first checks that the
/// process has not ended.
pub(in crate::engine::sys::unix) fn signal_watched(
    watch: &Handle,
    pid: Pid,
    signal: Signal,
) -> error::Result<()> {
    let ended = Some(Interest::Readable(watch));
    let [ended] = retry(|| poll([ended], Some(Duration::ZERO)))?;
    if ended.is_ready() {
        return Err(Error::NO_PROCESS);
    }
    attempt(Call::Signal, || rustix::process::kill_process(pid, signal))
}

pub(in crate::engine::sys::unix) fn reap_watched(
    _watch: &Handle,
    pid: Pid,
    waits: bool,
) -> error::Result<Reaped> {
    reap_by_number(pid, waits)
}
