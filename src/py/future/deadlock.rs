//! Waiting in the thread of an actor: a wait that would never end is refused.
//!
//! An actor handles no message while its thread waits. So a wait for the same actor raises at once, and
//! one in a circle of actors once it has lasted for a moment. Waits in other threads are not looked at,
//! but for those behind a stream from which only the waiting thread takes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use crate::engine::latch::Latch;
use crate::engine::waits::{self, Circle, How, Node, Pending, WAITS};
use crate::py::interpreter::imports::ActorDeadlock;
use crate::py::message::fault::Unending;
use crate::py::message::tally::Tally;

/// How long a wait lasts before it is looked at: most are over sooner, and cost nothing.
const MOMENT: Duration = Duration::from_millis(100);

/// Waits by `wait`, which takes a deadline and returns whether it has ended before, for `pending`,
/// which only the actor `target` can bring about. An error is what `wait` raised, or the
/// `ActorDeadlock` that `what` makes.
pub(in crate::py) fn wait_for_actor(
    target: &Arc<Node>,
    pending: impl FnOnce() -> Arc<dyn Pending>,
    deadline: Option<Instant>,
    what: Unending,
    mut wait: impl FnMut(Option<Instant>) -> PyResult<bool>,
) -> PyResult<bool> {
    let Some(mine) = waits::served_here() else {
        return wait(deadline);
    };
    refuse_own(target, what)?;
    if let Some(ended) = first_moment(deadline, &mut wait)? {
        return Ok(ended);
    }
    let waiting = WAITS.begin(&mine, How::Blocked, target, pending());
    let waiting = waiting.map_err(|circle| what.error(&circle))?;
    let ended = wait(deadline);
    drop(waiting);
    ended
}

/// Waits by `wait` until the wait must be looked at. `None`: it has lasted that long and goes on.
/// Otherwise whether it has ended before `deadline`.
pub(in crate::py) fn first_moment(
    deadline: Option<Instant>,
    mut wait: impl FnMut(Option<Instant>) -> PyResult<bool>,
) -> PyResult<Option<bool>> {
    let looked_at = Instant::now() + MOMENT;
    if deadline.is_some_and(|deadline| deadline <= looked_at) {
        return wait(deadline).map(Some);
    }
    Ok(wait(Some(looked_at))?.then_some(true))
}

/// An error if this is the thread of `target`, which must not wait for itself.
pub(in crate::py) fn refuse_own(target: &Arc<Node>, what: Unending) -> PyResult<()> {
    if waits::is_served_here(target) {
        let circle = Circle(vec![target.name.clone()]);
        return Err(what.error(&circle));
    }
    Ok(())
}

/// How often a thread that takes from a stream looks whether it waits for itself.
const STUCK_CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// Waits by `wait` until `latch` is set, which takes a deadline and returns whether it was, for what the
/// actor that `tally` belongs to must do. An error is what `wait` raised, or `ActorDeadlock` if that
/// actor does nothing else until this very thread takes from one of its streams.
pub(in crate::py) fn wait_unless_stuck(
    latch: &Latch,
    tally: &Tally,
    deadline: Option<Instant>,
    mut wait: impl FnMut(Option<Instant>) -> PyResult<bool>,
) -> PyResult<bool> {
    if !tally.streams.has_of_this_thread() {
        return wait(deadline);
    }
    let mut before = None;
    loop {
        let check = Instant::now() + STUCK_CHECK_INTERVAL;
        let until = deadline.map_or(check, |deadline| deadline.min(check));
        if wait(Some(until))? {
            return Ok(true);
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Ok(false);
        }
        let stuck = tally.streams.waits_for_this_thread();
        match &stuck {
            Some((name, _)) if stuck == before && !latch.is_set() => {
                let text = format!(
                    "this would wait for ever: actor {name} streams to this thread, and does nothing \
                     else until this thread takes the items or closes the stream"
                );
                return Err(ActorDeadlock::new_err((text, (name.clone(),))));
            }
            _ => before = stuck,
        }
    }
}
