//! This process, the end of another, and signals to it.

use super::handle::{Handle, HandleNumber};
use super::native::{reap_watched, signal_watched, watch};
use super::reap::reap_by_number;
use crate::engine::sys::attempt::{attempt, retry};
use crate::engine::sys::call::Call;
use crate::engine::sys::error::{Error, Result};
use crate::engine::sys::types::{Reaped, Signal};

/// The id of this process, also in one that `fork` has made.
pub(in crate::engine) fn process_id() -> u32 {
    rustix::process::getpid().as_raw_pid().unsigned_abs()
}

/// Ends this process at once, whatever its other threads do.
pub fn end_now() {
    // A process may always kill itself, so there is no error.
    _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
}

/// A handle that becomes readable when the process `pid` has ended; `None` if there can be none.
pub fn watch_process(pid: i32) -> Option<Handle> {
    let pid = rustix::process::Pid::from_raw(pid)?;
    attempt(Call::Open, || watch(pid)).map(Handle).ok()
}

/// A handle that becomes readable when the parent, the process `pid`, has ended; `None` if there can be
/// none. If it has ended already, this watches no process or another one.
pub fn watch_parent(pid: HandleNumber) -> Option<Handle> {
    watch_process(pid)
}

/// Sends a signal to a process; nothing if it has ended. `watch` is what `watch_process` gave for
/// it; without one, `pid` must not have been reaped.
pub fn signal_process(watch: Option<&Handle>, pid: i32, signal: Signal) -> Result<()> {
    let signal = match signal {
        Signal::Terminate => rustix::process::Signal::TERM,
        Signal::Kill => rustix::process::Signal::KILL,
    };
    let sent = match (watch, rustix::process::Pid::from_raw(pid)) {
        (Some(watch), Some(pid)) => signal_watched(watch, pid, signal),
        (None, Some(pid)) => attempt(Call::Signal, || rustix::process::kill_process(pid, signal)),
        (_, None) => Err(Error::NO_PROCESS),
    };
    match sent {
        Err(Error::NO_PROCESS) => Ok(()),
        sent => sent,
    }
}

/// Reaps a child of this process if it has ended; with `waits` it blocks until it has. `watch` is what
/// `watch_process` gave for it; without one, `pid` must not have been reaped.
pub fn reap(watch: Option<&Handle>, pid: i32, waits: bool) -> Result<Reaped> {
    // Zero would stand for any child.
    let Some(pid) = rustix::process::Pid::from_raw(pid) else {
        return Err(Error::INVALID);
    };
    let reaped = retry(|| match watch {
        Some(watch) => reap_watched(watch, pid, waits),
        None => reap_by_number(pid, waits),
    });
    match reaped {
        Err(Error::NO_CHILD) => Ok(Reaped::ByAnother),
        reaped => reaped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use crate::engine::sys::types::{Interest, Ready};
    use crate::engine::sys::unix::io::poll;

    fn wait_for_end(watch: &Handle) -> Ready {
        let ended = Some(Interest::Readable(watch));
        let [ready] = poll([ended], Some(Duration::from_secs(20))).expect("poll");
        ready
    }

    #[test]
    fn the_end_of_a_process_is_seen() {
        let mut child = std::process::Command::new("true").spawn().expect("true");
        let pid = i32::try_from(child.id()).expect("a pid");
        let watch = watch_process(pid).expect("a handle");
        assert_eq!(wait_for_end(&watch), Ready::Yes);
        child.wait().expect("reaped");
        assert_eq!(wait_for_end(&watch), Ready::Yes, "not only once");
    }

    #[test]
    fn a_process_that_has_ended_gets_no_signal() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .expect("sleep");
        let pid = i32::try_from(child.id()).expect("a pid");
        let watch = watch_process(pid).expect("a handle");
        assert_eq!(signal_process(Some(&watch), pid, Signal::Kill), Ok(()));
        child.wait().expect("reaped");
        assert_eq!(signal_process(Some(&watch), pid, Signal::Kill), Ok(()));
    }
}
