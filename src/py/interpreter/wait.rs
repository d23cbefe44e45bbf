//! Waits on a latch, detached, and checks for signals. Also makes a thread that stays attached for
//! long give way to others.
//!
//! Signal handlers run wherever the main thread runs Python code, also while it ends a message for
//! another caller. What a handler raises there is kept, and raised where the thread's own caller can
//! get it: see [`keep`] and [`raising`].

use std::cell::Cell;
use std::time::{Duration, Instant};

use pyo3::Borrowed;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::cooperative;
use super::daemon_threads::outlast;
use crate::engine::handoff::Handoff;
use crate::engine::latch::{Latch, Wait};
use crate::engine::sys;

/// When this thread's next sleep must end: at `deadline` or when it must check for signals. Handlers
/// run only on the main thread, so only that one checks.
pub(in crate::py) fn until(deadline: Option<Instant>) -> Option<Instant> {
    let check = sys::is_main_thread().then(|| Instant::now() + sys::SIGNAL_CHECK_INTERVAL);
    deadline.into_iter().chain(check).min()
}

/// Waits until `latch` is set (true) or `deadline` has passed (false). An error is what a signal
/// handler raised.
pub(in crate::py) fn wait_for(
    py: Python<'_>,
    latch: &Latch,
    deadline: Option<Instant>,
) -> PyResult<bool> {
    if cooperative::is_needed(py)? {
        return cooperative::wait_for(py, latch, deadline);
    }
    loop {
        let until = until(deadline);
        let wait = py.detach(|| latch.wait(until));
        if wait == Wait::Set {
            return Ok(true);
        }
        // Also when the time is up: a caller may wait again and again, for less than the interval.
        py.check_signals()?;
        if wait == Wait::TimedOut && deadline.is_some_and(|at| Instant::now() >= at) {
            return Ok(false);
        }
    }
}

/// Like `wait_for`, for the answer to a message of the actor that `handoff` belongs to.
pub(in crate::py) fn wait_for_answer(
    py: Python<'_>,
    done: &Latch,
    handoff: &Handoff,
    deadline: Option<Instant>,
) -> PyResult<bool> {
    // Most waits have no deadline, and then no clock is read.
    let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
    let check = sys::is_main_thread().then_some(sys::SIGNAL_CHECK_INTERVAL);
    let limit = left.into_iter().chain(check).min();
    match py.detach(|| handoff.wait_for_answer(done, limit)) {
        Wait::Set => Ok(true),
        // Check for a signal, and wait on.
        Wait::TimedOut | Wait::Interrupted => {
            py.check_signals()?;
            wait_for(py, done, deadline)
        }
    }
}

/// How long a loop has been attached to Python, for a loop that stays attached while it has work.
///
/// Python code lets other threads run when they have waited for a switch interval. Compiled code
/// does not check whether they wait, so a loop of compiled code must give way itself. Without a GIL,
/// garbage collection waits in the same way for every thread that is attached.
pub(in crate::py) struct Attached {
    since: u64,
    now: u64,
}

impl Attached {
    /// Longer than the interpreter's switch interval of 5 ms, plus what a timed wait lasts too long.
    ///
    /// A thread that has waited so long asks for the interpreter, and only then does `detach` hand it
    /// over. Without such a request, `detach` wakes the waiting thread, but this one attaches again
    /// before that one runs, which then waits anew: with turns of 5 ms or less, again in vain.
    const TURN_NANOS: u64 = if cfg!(windows) { 20_000_000 } else { 6_000_000 };

    /// For a thread that has just attached.
    pub(in crate::py) fn begin() -> Self {
        let now = sys::now_nanos();
        Self { since: now, now }
    }

    /// Lets other threads run if this one has been attached for so long that a waiting thread has
    /// asked. Call it in each round of the loop, without holding a lock.
    pub(in crate::py) fn give_way(&mut self, py: Python<'_>) {
        self.now = sys::now_nanos();
        if self.now - self.since >= Self::TURN_NANOS {
            py.detach(|| ());
            *self = Self::begin();
        }
    }

    /// The time when `give_way` returned, by `sys::now_nanos`.
    pub(in crate::py) fn now(&self) -> u64 {
        self.now
    }
}

/// A timeout as a caller gives it, in seconds.
#[derive(Clone, Copy, Default)]
pub(in crate::py) struct Seconds(pub(in crate::py) f64);

impl FromPyObject<'_, '_> for Seconds {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        // It may have a `__float__` of its own.
        outlast();
        given.extract().map(Self)
    }
}

/// The deadline for a timeout. `None` means none.
pub(in crate::py) fn deadline(timeout: Option<Seconds>) -> PyResult<Option<Instant>> {
    match timeout.map(|Seconds(seconds)| seconds) {
        None => Ok(None),
        Some(seconds) if seconds.is_nan() => Err(PyValueError::new_err(
            "timeout must be a number of seconds, not nan",
        )),
        Some(seconds) if seconds <= 0.0 => Ok(Some(Instant::now())),
        // A deadline that does not fit an `Instant` means none.
        Some(seconds) => Ok(Duration::try_from_secs_f64(seconds)
            .ok()
            .and_then(|timeout| Instant::now().checked_add(timeout))),
    }
}

/// An exception that was raised where it could not be returned to a caller.
#[derive(Default)]
enum Kept {
    /// The thread is not inside `raising`, so nothing would raise it later.
    #[default]
    Refused,
    Nothing,
    Error(PyErr),
}

thread_local! {
    static KEPT: Cell<Kept> = const { Cell::new(Kept::Refused) };
}

/// Runs `body`, and raises what was kept in the meantime.
pub(in crate::py) fn raising<T>(body: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    let outer = KEPT.replace(Kept::Nothing);
    let result = body();
    match KEPT.replace(outer) {
        Kept::Error(error) => Err(error),
        Kept::Refused | Kept::Nothing => result,
    }
}

/// Keeps `error`, so that `raising` raises it; of several, the first. Returns it if this thread is
/// not inside `raising`.
pub(in crate::py) fn keep(error: PyErr) -> Option<PyErr> {
    match KEPT.take() {
        Kept::Refused => return Some(error),
        Kept::Nothing => KEPT.set(Kept::Error(error)),
        kept @ Kept::Error(_) => KEPT.set(kept),
    }
    None
}
