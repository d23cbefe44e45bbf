//! Reaping a child by its number.

use rustix::process::{Pid, WaitOptions, waitpid};

use crate::engine::sys::error::Result;
use crate::engine::sys::types::Reaped;

pub(super) fn reap_by_number(pid: Pid, waits: bool) -> Result<Reaped> {
    let mut options = WaitOptions::empty();
    options.set(WaitOptions::NOHANG, !waits);
    let Some((_, status)) = waitpid(Some(pid), options)? else {
        return Ok(Reaped::Lives);
    };
    Ok(by_status(status.exit_status(), status.terminating_signal()))
}

/// How a child has ended, by its exit code or the signal that killed it.
pub(super) fn by_status(code: Option<i32>, signal: Option<i32>) -> Reaped {
    let code = code.or(signal.map(|signal| -signal));
    code.map_or(Reaped::ByAnother, Reaped::Code)
}
