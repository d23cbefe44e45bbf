//! Waiting where a program has patched the standard library, as gevent and eventlet do: other
//! greenlets of the thread run meanwhile. The wait is for a descriptor, by the patched `select`, so
//! the threads that end messages need not know of it, and run no patched Python for it.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use pyo3::intern;
use pyo3::prelude::*;

use super::imports;
use crate::engine::latch::Latch;
use crate::engine::sys::Bell;

/// How long a wait lasts at most before it looks at the latch by itself.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

const UNKNOWN: u8 = 0;
const PATCHED: u8 = 1;
const PLAIN: u8 = 2;

/// Whether `select` is patched. It is found out at the first wait that has to sleep, since programs
/// patch first of all, and asked no more.
static SELECT: AtomicU8 = AtomicU8::new(UNKNOWN);

thread_local! {
    /// The engine has started this thread: no event loop runs here.
    static IS_ENGINES: Cell<bool> = const { Cell::new(false) };
}

/// The calling thread is one of the engine's, which always sleeps.
pub(in crate::py) fn never_here() {
    IS_ENGINES.set(true);
}

/// From now on every wait sleeps: the interpreter exits, and other greenlets have ended.
pub(in crate::py) fn never_again() {
    SELECT.store(PLAIN, Ordering::Relaxed);
}

/// A forked process may patch what its parent has not.
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

/// As `wait::wait_for`. An error is what is raised in the greenlet that waits, a timeout of
/// gevent's, say.
pub(in crate::py) fn wait_for(
    py: Python<'_>,
    latch: &Latch,
    deadline: Option<Instant>,
) -> PyResult<bool> {
    if latch.is_set() {
        return Ok(true);
    }
    let bell = Arc::new(Bell::new().map_err(std::io::Error::from)?);
    let _hung = latch.hang(Arc::clone(&bell));
    let nothing: [i32; 0] = [];
    while !latch.is_set() {
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return Ok(false);
        }
        let timeout = left.map_or(LOOK_INTERVAL, |left| left.min(LOOK_INTERVAL));
        let interests = ([bell.number()], nothing, nothing, timeout.as_secs_f64());
        imports::select(py)?.call1(interests)?;
    }
    Ok(true)
}
