//! Waiting in the thread of an actor: a wait that would never end is refused.
//!
//! An actor handles no message while its thread waits. So a wait for the same actor raises at once, and
//! one in a circle of actors once it has lasted for a moment. Waits in other threads are not looked at,
//! but for those behind a stream from which only the waiting thread takes.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use crate::engine::latch::Latch;
use crate::engine::waits::{self, Circle, How, Node, Pending, Refuse, Refused, Target, WAITS};
use crate::py::interpreter::imports::ActorDeadlock;
use crate::py::message::fault::Unending;
use crate::py::message::tally::Tally;

/// How long a wait lasts before it is looked at: most are over sooner, and cost nothing.
const MOMENT: Duration = Duration::from_millis(100);

/// How often a thread that waits for a pool looks whether its wait is refused, because a member has
/// ended.
const REFUSAL_INTERVAL: Duration = Duration::from_millis(250);

/// Why a wait must not go on, once that is known. It is said once.
#[derive(Default)]
pub(in crate::py) struct Refusal(OnceLock<Refused>);

impl Refusal {
    pub(in crate::py) fn refused(&self) -> Option<&Refused> {
        self.0.get()
    }
}

impl Refuse for Refusal {
    fn refuse(&self, refused: Refused) {
        // Once only, so `set` cannot fail.
        _ = self.0.set(refused);
    }
}

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
    let refusal = Arc::<Refusal>::default();
    let node = Arc::clone(target);
    let targets = vec![Target {
        node,
        pending: pending(),
    }];
    let waiting = WAITS.begin(&mine, How::Blocked(1), targets, Arc::clone(&refusal) as _);
    let waiting = waiting.map_err(|refused| what.error(&refused.circle))?;
    loop {
        let look = target.is_pool().then(|| Instant::now() + REFUSAL_INTERVAL);
        let ended = wait(deadline.into_iter().chain(look).min())?;
        if ended || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            drop(waiting);
            return Ok(ended);
        }
        if let Some(refused) = refusal.refused() {
            return Err(what.error(&refused.circle));
        }
    }
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
