//! Waits in programs whose standard library is patched, as gevent and eventlet do: other greenlets
//! of the thread run in the meantime. It waits for a descriptor by the patched `select`. So the
//! threads that end messages need not know of the patch, and run no patched Python code.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use pyo3::intern;
use pyo3::prelude::*;

use super::daemon_threads::outlasting;
use super::imports;
use crate::engine::latch::Latch;
use crate::engine::sys::Bell;

/// How long a wait lasts at most before it checks the latch by itself.
const LATCH_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The same where `select` cannot wait for a bell.
const WITHOUT_BELL: Duration = Duration::from_millis(10);

const UNKNOWN: u8 = 0;
const PATCHED: u8 = 1;
const PLAIN: u8 = 2;

/// Whether `select` is patched. It is checked once, at the first wait that must sleep: programs
/// patch before anything else.
static SELECT: AtomicU8 = AtomicU8::new(UNKNOWN);

thread_local! {
    /// Whether the engine has started this thread, so that no event loop runs here.
    static IS_ENGINES: Cell<bool> = const { Cell::new(false) };
}

/// Marks the calling thread as one of the engine, which always sleeps.
pub(in crate::py) fn never_here() {
    IS_ENGINES.set(true);
}

/// From now on every wait sleeps. For the interpreter's exit, when other greenlets have ended.
pub(in crate::py) fn never_again() {
    SELECT.store(PLAIN, Ordering::Relaxed);
}

/// For a forked process, which may patch what its parent has not.
pub(in crate::py) fn after_fork_in_child() {
    SELECT.store(UNKNOWN, Ordering::Relaxed);
}

/// Whether the calling thread must let other greenlets run while it waits.
pub(in crate::py) fn is_needed(py: Python<'_>) -> PyResult<bool> {
    let known = match SELECT.load(Ordering::Relaxed) {
        UNKNOWN => {
            let module = imports::select(py)?.getattr(intern!(py, "__module__"))?;
            let is_plain = module.eq(intern!(py, "select"))?;
            let found = if is_plain { PLAIN } else { PATCHED };
            SELECT.store(found, Ordering::Relaxed);
            found
        }
        known => known,
    };
    Ok(known == PATCHED && !IS_ENGINES.get())
}

/// Like `wait::wait_for`. An error is what is raised in the waiting greenlet, for example a timeout
/// of gevent.
pub(in crate::py) fn wait_for(
    py: Python<'_>,
    latch: &Latch,
    deadline: Option<Instant>,
) -> PyResult<bool> {
    if latch.is_set() {
        return Ok(true);
    }
    let bell = Arc::new(Bell::new().map_err(std::io::Error::from)?);
    let number = bell.number();
    let _hung = latch.hang(bell);
    let interval = number.map_or(WITHOUT_BELL, |_| LATCH_CHECK_INTERVAL);
    let bells: Vec<_> = number.into_iter().collect();
    let nothing: [i32; 0] = [];
    while !latch.is_set() {
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return Ok(false);
        }
        let timeout = left.map_or(interval, |left| left.min(interval));
        let interests = (&bells, nothing, nothing, timeout.as_secs_f64());
        outlasting(imports::select(py)?, interests, None)?;
    }
    Ok(true)
}
