//! A message's place in a bounded mailbox, and how a sender waits for one.
//!
//! A permit goes with its message until that begins or is known never to. Dropping it may wake who
//! waits, and run Python for that: so it is dropped holding no lock.

use std::sync::Arc;
use std::time::Instant;

use pyo3::prelude::*;

use super::future;
use super::host::Host;
use super::imports::MailboxFull;
use super::message::{ActorCell, Message};
use super::outcome::Outcome;
use super::settle;
use super::wait::wait_for;
use crate::engine::room::Room;

/// Who waits has a cell, which ends when a place is its own.
pub(super) type Places = Room<Arc<ActorCell>>;

pub(super) struct Permit(Arc<Places>);

impl Permit {
    fn new(places: &Arc<Places>) -> Self {
        Self(Arc::clone(places))
    }

    /// A message that gives its place back when it begins, or is dropped.
    pub(super) fn give_to(permit: Option<Self>, message: Message) -> Message {
        match permit {
            Some(permit) => Message::Bounded(Box::new(message), permit),
            None => message,
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        // Who has given up meanwhile is passed over.
        while let Some(waiter) = self.0.leave() {
            if settle::settle(&waiter, Outcome::Nothing) {
                break;
            }
        }
    }
}

/// The mailbox was closed: whoever waits for room finds out.
pub(super) fn wake_all(waiters: impl IntoIterator<Item = Arc<ActorCell>>) {
    for waiter in waiters {
        settle::settle(&waiter, Outcome::Nothing);
    }
}

impl Host {
    /// Takes a place in the mailbox, waiting for one until `deadline`; `None` if it has no bound.
    /// An error is `MailboxFull`, or what a signal's handler raised.
    pub(super) fn enter(
        &self,
        py: Python<'_>,
        deadline: Option<Instant>,
    ) -> PyResult<Option<Permit>> {
        let Some(places) = self.mailbox.room() else {
            return Ok(None);
        };
        if places.try_enter() {
            return Ok(Some(Permit::new(places)));
        }
        // There may be room that nobody has told of.
        self.see_begun(py);
        if places.try_enter() {
            return Ok(Some(Permit::new(places)));
        }
        if deadline.is_some_and(|at| Instant::now() >= at) {
            return Err(self.full(""));
        }
        self.refuse_own_thread()?;
        let waiter = Arc::new(ActorCell::default());
        self.queue(py, places, &waiter);
        match wait_for(py, waiter.done(), deadline) {
            Ok(false) if self.cancel_waiter(py, &waiter)? => {
                return Err(self.full(", and has been for as long as was waited"));
            }
            // Perhaps at the last moment.
            Ok(_) => {}
            Err(error) => {
                self.leave(py, &waiter)?;
                return Err(error);
            }
        }
        Ok(Some(Permit::new(places)))
    }

    /// A future that is done when the caller has a place, which `enter_waited` or `leave` takes.
    pub(super) fn wait_for_room<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.refuse_own_thread()?;
        let (future, waiter) = future::new_future(py)?;
        // As one that was posted, it lives for those that it wakes.
        waiter.post(Message::Revoked);
        match self.mailbox.room() {
            Some(places) => self.queue(py, places, &waiter),
            None => _ = settle::settle(&waiter, Outcome::Nothing),
        }
        Ok(future)
    }

    /// The place that `waiter` has waited for.
    pub(super) fn enter_waited(&self) -> Option<Permit> {
        self.mailbox.room().map(Permit::new)
    }

    /// Gives up waiting, or the place if there is one already.
    pub(super) fn leave(&self, py: Python<'_>, waiter: &Arc<ActorCell>) -> PyResult<()> {
        if !self.cancel_waiter(py, waiter)? {
            drop(self.enter_waited());
        }
        Ok(())
    }

    /// Whether `waiter` had no place, and now gets none.
    fn cancel_waiter(&self, py: Python<'_>, waiter: &Arc<ActorCell>) -> PyResult<bool> {
        let cancelled = settle::cancel(py, waiter, None)?;
        if cancelled && let Some(places) = self.mailbox.room() {
            places.forget(|other| Arc::ptr_eq(other, waiter));
        }
        Ok(cancelled)
    }

    fn queue(&self, py: Python<'_>, places: &Arc<Places>, waiter: &Arc<ActorCell>) {
        if let Some(waiter) = places.wait(Arc::clone(waiter)) {
            settle::settle(&waiter, Outcome::Nothing);
        } else {
            // From now on it is told of what begins; what has begun before that is seen here.
            self.see_begun(py);
        }
    }

    /// Frees the places of messages that are known to have begun.
    fn see_begun(&self, py: Python<'_>) {
        py.detach(|| drop(self.transport.begun()));
    }

    fn refuse_own_thread(&self) -> PyResult<()> {
        if self.is_own_thread() {
            return Err(self.full(", and its own thread cannot wait for room"));
        }
        Ok(())
    }

    fn full(&self, more: &str) -> PyErr {
        let size = self.mailbox.room().map_or(0, |places| places.size());
        let name = &self.name;
        MailboxFull::new_err(format!(
            "the mailbox of actor {name} is full: {size} messages have not begun{more}"
        ))
    }
}
