//! Waiting for what the parent says.
//!
//! A thread that waits reads the request pipe itself, if no other thread does. Otherwise the helper
//! thread reads for it: see `engine::ipc::inbox`. The helper also reads while callbacks wait for
//! something, since no thread waits then. It runs no Python code of the user, so it is always there to
//! read; it attaches for a moment to wake the event loop of an async actor.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use super::inbox::Heard;
use super::relay::Pending;
use super::way::Way;
use crate::engine::ipc::relay::Awaited;
use crate::engine::latch::{Latch, Wait};
use crate::engine::sys::{self, Bell};
use crate::engine::waits::Refused;
use crate::py::asynchronous::Entered;
use crate::py::future::deadlock::{Refusal, first_moment};
use crate::py::interpreter::wait;
use crate::py::message::fault::Unending;

/// How long a thread that cannot read waits at most before it tries again, if there is no helper.
const RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// How often a wait that the parent has been told of looks whether the parent refuses it, while
/// another thread reads.
const REFUSAL_INTERVAL: Duration = Duration::from_millis(250);

impl Way {
    fn bell(&self) -> Option<&Bell> {
        self.bell.get_or_init(|| Bell::new().ok()).as_ref()
    }

    pub(super) fn ring(&self) {
        // Without a bell no thread sleeps for long.
        if let Some(bell) = self.bell.get().and_then(Option::as_ref) {
            // An error only delays the thread that reads.
            _ = bell.ring();
        }
    }

    /// Waits until `done` is set (true) or `deadline` has passed (false). An error is what a signal
    /// handler raised.
    pub(super) fn wait(
        &self,
        py: Python<'_>,
        done: &Latch,
        deadline: Option<Instant>,
    ) -> PyResult<bool> {
        self.wait_unless(py, done, deadline, None)
    }

    /// Like `wait`, for what another actor must do. If this is the thread that handles messages and the
    /// wait would never end, the error is an `ActorDeadlock`.
    pub(super) fn wait_for_actor(
        &self,
        py: Python<'_>,
        done: &Latch,
        awaited: Awaited,
        deadline: Option<Instant>,
    ) -> PyResult<bool> {
        if !self.serves_here(self.own_number) {
            return self.wait(py, done, deadline);
        }
        if let Some(ended) = first_moment(deadline, |until| self.wait(py, done, until))? {
            return Ok(ended);
        }
        self.wait_in_sight(py, done, awaited, deadline)
    }

    /// Like `wait_for_actor`, in the thread that handles messages. Tells the parent at once.
    pub(super) fn wait_in_sight(
        &self,
        py: Python<'_>,
        done: &Latch,
        awaited: Awaited,
        deadline: Option<Instant>,
    ) -> PyResult<bool> {
        let shown = self.show(py, &[awaited])?;
        let ended = self.wait_unless(py, done, deadline, Some(&shown.refusal))?;
        match shown.refusal.refused() {
            Some(Refused { circle, .. }) if !ended => Err(match awaited {
                Awaited::Answer(_) | Awaited::Item(_) => Unending::Answer.error(circle),
                Awaited::Room(_) => Unending::Room.error(circle),
            }),
            _ => Ok(ended),
        }
    }

    /// Tells the parent that the main thread waits until one of these has happened.
    pub(super) fn show(&self, py: Python<'_>, awaited: &[Awaited]) -> PyResult<Shown> {
        let shown = Shown {
            way: self.me(),
            number: self.relay.number(),
            refusal: Arc::default(),
        };
        let pending = Pending::Wait(Arc::clone(&shown.refusal));
        self.relay.enter(shown.number, pending);
        self.region.waits().store(shown.number, Ordering::SeqCst);
        self.send(py, Awaited::encode(shown.number, awaited))?;
        Ok(shown)
    }

    fn wait_unless(
        &self,
        py: Python<'_>,
        done: &Latch,
        deadline: Option<Instant>,
        refusal: Option<&Refusal>,
    ) -> PyResult<bool> {
        let is_refused = || refusal.is_some_and(|refusal| refusal.refused().is_some());
        while !done.is_set() {
            if is_refused() {
                return Ok(false);
            }
            let until = wait::until(deadline);
            let turn = wait::raising(|| Ok(py.detach(|| self.read_once(done, until))))?;
            match turn {
                Heard::Something => continue,
                Heard::Nothing => {}
                Heard::Elsewhere => {
                    // A refusal does not set the latch.
                    let looked_at = refusal.map(|_| Instant::now() + REFUSAL_INTERVAL);
                    let until = until.into_iter().chain(looked_at).min();
                    let set = py.detach(|| self.wait_for_helper(done, until));
                    if set == Wait::Set {
                        return Ok(true);
                    }
                }
            }
            py.check_signals()?;
            if deadline.is_some_and(|at| Instant::now() >= at) {
                return Ok(done.is_set());
            }
        }
        Ok(true)
    }

    /// Reads once in the place of the helper, if no thread reads.
    fn read_once(&self, done: &Latch, until: Option<Instant>) -> Heard {
        self.inbox.read_until(|| done.is_set(), self.bell(), until)
    }

    fn wait_for_helper(&self, done: &Latch, until: Option<Instant>) -> Wait {
        self.inbox.ask_helper();
        let retry = (!self.start_helper()).then(|| Instant::now() + RETRY_INTERVAL);
        let waited = done.wait(until.into_iter().chain(retry).min());
        if self.inbox.release_helper() {
            self.ring();
        }
        waited
    }

    /// Starts the helper thread, if it does not run yet. False if it cannot be started.
    pub(super) fn start_helper(&self) -> bool {
        *self.helper.get_or_init(|| {
            let way = self.me();
            sys::spawn("references".to_owned(), 256 << 10, move || way.help()).is_ok()
        })
    }

    /// From now on the helper reads whenever no other thread does. False if it cannot be started.
    pub(super) fn read_always(&self) -> bool {
        self.inbox.ask_helper();
        self.start_helper()
    }

    fn help(&self) {
        while self
            .inbox
            .read_as_helper(self.bell(), || self.relay.end_help())
        {}
    }
}

/// A wait of which the parent has been told. Dropped before the thread goes on.
pub(super) struct Shown {
    way: Arc<Way>,
    number: u64,
    refusal: Arc<Refusal>,
}

impl Entered for Shown {
    fn refused(&self) -> Option<Refused> {
        self.refusal.refused().cloned()
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        // Code that runs beside the messages of an event loop may wait by itself, and has replaced it.
        let (number, order) = (self.number, Ordering::SeqCst);
        _ = self
            .way
            .region
            .waits()
            .compare_exchange(number, 0, order, order);
        drop(self.way.relay.leave(self.number));
    }
}
