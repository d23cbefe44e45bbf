//! Waiting on a latch from Python: detached, and with signals seen to. And not keeping others
//! waiting: a thread that stays attached for long gives way.
//!
//! Handlers of signals run wherever the main thread runs Python code, also while it ends a message
//! that is no business of its caller's. What they raise there is kept, to be raised by who can.

use std::cell::Cell;
use std::time::{Duration, Instant};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::cooperative;
use crate::engine::handoff::Handoff;
use crate::engine::latch::{Latch, Wait};
use crate::engine::sys;

/// How long the main thread sleeps at most before it looks for signals: one that comes just before
/// the sleep does not end it. Handlers run on the main thread alone, so no other looks.
const SIGNAL_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// When this thread's next sleep has to end, if it has to before `deadline`.
pub(in crate::py) fn until(deadline: Option<Instant>) -> Option<Instant> {
    let check = sys::is_main_thread().then(|| Instant::now() + SIGNAL_CHECK_INTERVAL);
    deadline.into_iter().chain(check).min()
}

/// Waits until `latch` is set (true) or `deadline` has passed (false). An error is what a signal's
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
        match py.detach(|| latch.wait(until)) {
            Wait::Set => return Ok(true),
            Wait::TimedOut if deadline.is_some_and(|at| Instant::now() >= at) => return Ok(false),
            Wait::TimedOut | Wait::Interrupted => py.check_signals()?,
        }
    }
}

/// As `wait_for`, for the answer to a message of the actor that `handoff` is of.
pub(in crate::py) fn wait_for_answer(
    py: Python<'_>,
    done: &Latch,
    handoff: &Handoff,
    deadline: Option<Instant>,
) -> PyResult<bool> {
    let until = until(deadline);
    match py.detach(|| handoff.wait_for_answer(done, until)) {
        Wait::Set => Ok(true),
        // See what it was, and go on.
        Wait::TimedOut | Wait::Interrupted => {
            py.check_signals()?;
            wait_for(py, done, deadline)
        }
    }
}

/// For a loop that stays attached to Python while it has work: how long it has been so.
///
/// Python code lets other threads run each time that they have waited for a switch interval. Code
/// in C never looks whether they wait, so a loop that calls it must give way itself. Without a GIL
/// a collection of garbage waits in the same way, for every thread that is attached.
pub(in crate::py) struct Attached {
    since: u64,
    now: u64,
}

impl Attached {
    /// The interpreter's own switch interval.
    const TURN_NANOS: u64 = 5_000_000;

    /// The calling thread has just attached.
    pub(in crate::py) fn begin() -> Self {
        let now = sys::now_nanos();
        Self { since: now, now }
    }

    /// Lets other threads run if this one has kept them from it for a switch interval. Call it in
    /// each round of the loop, holding no lock.
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

/// `None`: without end.
pub(in crate::py) fn deadline(timeout: Option<f64>) -> PyResult<Option<Instant>> {
    match timeout {
        None => Ok(None),
        Some(seconds) if seconds.is_nan() => Err(PyValueError::new_err(
            "timeout is not a number of seconds: nan",
        )),
        Some(seconds) if seconds <= 0.0 => Ok(Some(Instant::now())),
        // Too far away to be told is without end.
        Some(seconds) => Ok(Duration::try_from_secs_f64(seconds)
            .ok()
            .and_then(|timeout| Instant::now().checked_add(timeout))),
    }
}

/// What has been raised where nobody could raise it.
#[derive(Default)]
enum Kept {
    /// Nobody would raise it later, either.
    #[default]
    Refused,
    Nothing,
    Error(PyErr),
}

thread_local! {
    static KEPT: Cell<Kept> = const { Cell::new(Kept::Refused) };
}

/// Runs `body`, and raises what was kept meanwhile.
pub(in crate::py) fn raising<T>(body: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    let outer = KEPT.replace(Kept::Nothing);
    let result = body();
    match KEPT.replace(outer) {
        Kept::Error(error) => Err(error),
        Kept::Refused | Kept::Nothing => result,
    }
}

/// Keeps `error` for `raising`, the first of several. Handed back: this thread is not in there.
pub(in crate::py) fn keep(error: PyErr) -> Option<PyErr> {
    match KEPT.take() {
        Kept::Refused => return Some(error),
        Kept::Nothing => KEPT.set(Kept::Error(error)),
        kept @ Kept::Error(_) => KEPT.set(kept),
    }
    None
}
