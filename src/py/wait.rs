//! Waiting on a latch from Python: detached, and with signals seen to.

use std::time::{Duration, Instant};

use pyo3::prelude::*;

use crate::engine::latch::{Latch, Wait};
use crate::engine::sys;

/// How long the main thread sleeps at most before it looks for signals: one that comes just before
/// the sleep does not end it. Handlers run on the main thread alone, so no other looks.
const LOOK: Duration = Duration::from_secs(1);

/// When this thread's next sleep has to end, if it has to before `deadline`.
pub(super) fn until(deadline: Option<Instant>) -> Option<Instant> {
    let look = sys::is_main_thread().then(|| Instant::now() + LOOK);
    deadline.into_iter().chain(look).min()
}

/// Waits until `latch` is set (true) or `deadline` has passed (false). An error is what a signal's
/// handler raised.
pub(super) fn wait_for(py: Python<'_>, latch: &Latch, deadline: Option<Instant>) -> PyResult<bool> {
    loop {
        let until = until(deadline);
        match py.detach(|| latch.wait(until)) {
            Wait::Set => return Ok(true),
            Wait::TimedOut if deadline.is_some_and(|at| Instant::now() >= at) => return Ok(false),
            Wait::TimedOut | Wait::Interrupted => py.check_signals()?,
        }
    }
}
