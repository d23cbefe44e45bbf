//! How the interpreter's exit waits until no actor goes on by itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use crate::engine::latch::{Latch, Wait};

/// What an actor does at one moment, and counts by which two moments can be compared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::py) struct Activity {
    /// How many messages it has accepted so far.
    pub(in crate::py) accepted: u64,
    /// How many of them have ended.
    pub(in crate::py) ended: u64,
    /// How many items have been taken of the streams that wait for a taker.
    pub(in crate::py) taken: u64,
    pub(in crate::py) rest: Rest,
}

/// Whether an actor goes on by itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::py) enum Rest {
    /// Its code runs, or a callback of its futures, or a message is about to begin.
    No,
    /// What runs waits until an item is taken from its stream, or for another actor. Nothing else begins
    /// before that.
    Waits,
    /// No code of its runs, nor a callback of its futures, and no message waits.
    Yes,
}

/// Whether the exit waits, or has waited.
static IS_AWAITED: AtomicBool = AtomicBool::new(false);
/// What it waits for.
static RESTING: Mutex<Option<Arc<Latch>>> = Mutex::new(None);

fn resting_slot() -> MutexGuard<'static, Option<Arc<Latch>>> {
    RESTING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An actor's thread is about to wait for messages, answers, or the taker of a stream: the exit, if it
/// waits for that, must look again.
pub(in crate::py) fn comes_to_rest() {
    if IS_AWAITED.load(Ordering::SeqCst) {
        let resting = resting_slot().clone();
        if let Some(resting) = resting {
            resting.set();
        }
    }
}

/// Waits until all actors are at rest at the same time. `look` returns what each does, and `stop_streams`
/// ends the streams that wait for a taker, and returns whether there are any. An error is what a signal
/// handler raised.
///
/// Each is looked at twice. An actor that rests or waits goes on only when it accepts a message, when an
/// item is taken from one of its streams, or when a message ends. If none goes on by itself at the first
/// look, and the counts of these are the same at the second, then none went on at any time in between: no
/// message could begin, and nothing ran that could send one or take an item. So the streams that then wait
/// for a taker have none, and are stopped. Their generators may still send messages.
pub(super) fn wait(
    py: Python<'_>,
    look: impl Fn() -> Vec<Activity>,
    stop_streams: impl Fn() -> bool,
) -> PyResult<()> {
    /// A thread says that it comes to rest just before it does.
    const SHORTEST_PAUSE: Duration = Duration::from_micros(50);
    const LONGEST_PAUSE: Duration = Duration::from_secs(1);
    IS_AWAITED.store(true, Ordering::SeqCst);
    let mut pause = SHORTEST_PAUSE;
    loop {
        let resting = Arc::<Latch>::default();
        drop(resting_slot().replace(Arc::clone(&resting)));
        let before = look();
        let are_at_rest = before.iter().all(|one| one.rest != Rest::No);
        if are_at_rest && look() == before {
            if before.iter().all(|one| one.rest == Rest::Yes) {
                return Ok(());
            }
            if stop_streams() {
                pause = SHORTEST_PAUSE;
            }
        }
        let waited = py.detach(|| resting.wait(Some(Instant::now() + pause)));
        py.check_signals()?;
        pause = match waited {
            Wait::Set => SHORTEST_PAUSE,
            Wait::TimedOut | Wait::Interrupted => LONGEST_PAUSE.min(pause * 2),
        };
    }
}
