//! Waiting in the thread of an actor: a wait that would never end is refused.
//!
//! An actor handles no message while its thread waits. So a wait for the same actor raises at once, and
//! one in a circle of actors once it has lasted for a moment. Waits in other threads are not looked at.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use crate::engine::waits::{self, Circle, How, Node, Pending, WAITS};
use crate::py::message::fault::Unending;

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
    let looked_at = Instant::now() + MOMENT;
    if deadline.is_some_and(|deadline| deadline <= looked_at) {
        return wait(deadline);
    }
    if wait(Some(looked_at))? {
        return Ok(true);
    }
    let waiting = WAITS.begin(&mine, How::Blocked, target, pending());
    let waiting = waiting.map_err(|circle| what.error(&circle))?;
    let ended = wait(deadline);
    drop(waiting);
    ended
}

/// An error if this is the thread of `target`, which must not wait for itself.
pub(in crate::py) fn refuse_own(target: &Arc<Node>, what: Unending) -> PyResult<()> {
    if waits::is_served_here(target) {
        let circle = Circle(vec![target.name.clone()]);
        return Err(what.error(&circle));
    }
    Ok(())
}
