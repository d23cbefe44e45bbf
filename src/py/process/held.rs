//! What the child of one connection can refer to, and what it has asked of other actors, as data.
//!
//! # Who keeps whom alive
//! The connection holds each actor that its child refers to (`engine::holding`). A dead child's connection is
//! dropped as a whole. The actor does not hold itself.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use pyo3::prelude::*;

use super::onward::Onward;
use super::turn::Turn;
use crate::engine::cell;
use crate::engine::cell::Cancel;
use crate::engine::holding::Held;
use crate::engine::ipc::region::Region;
use crate::engine::ipc::relay::{Awaited, split_number};
use crate::engine::latch::Latch;
use crate::engine::room::Permit;
use crate::engine::waits::{How, Node, Pending, Refuse, Refused, Target, WAITS, Waiting};
use crate::py::codec::actors::Hold;
use crate::py::future::{ActorCell, settle};
use crate::py::host::host::Host;
use crate::py::message::message::Message;
use crate::py::message::tally::Completion;

/// What the child of one connection can refer to, and what it has asked for.
#[derive(Default)]
pub(in crate::py) struct Relayed {
    held: Held<Hold>,
    /// The number of the child's own actor or of its pool, which it does not keep alive.
    pub(super) own: Option<u64>,
    /// What is not held, to be dropped without a lock.
    surplus: Vec<Hold>,
    /// The messages of the child that other actors have not answered, by the child's numbers.
    pub(super) asked: HashMap<u64, Arc<Asked>>,
    /// The places for messages that it has not sent yet, by the numbers of the messages.
    pub(super) reserved: HashMap<u64, Reserved>,
    /// The last wait of the child's main thread that has lasted for a moment. It may be over.
    pub(super) wait: Option<EnteredWait>,
    /// How many of its messages have ended.
    ended: u64,
    /// What `must_end` was when it was asked whether it rests, and when it said that it does.
    asked_to_rest: u64,
    rests: u64,
}

/// A message of the child. Dropping it may take the lock of another link.
pub(super) struct Asked {
    pub(super) cell: Arc<ActorCell>,
    pub(super) host: Arc<Host>,
    /// Set when it has a place in the mailbox, if the child waits for that.
    pub(super) admitted: Option<Arc<Latch>>,
    /// If it is a stream.
    pub(super) stream: Option<Arc<Onward>>,
}

/// A place in a mailbox for a message that the child has not sent yet. Dropping it gives it up, or back,
/// so it must be dropped without a lock.
pub(super) enum Reserved {
    Waits(Arc<Turn>, Arc<Host>),
    /// `None`: the mailbox has no bound.
    Has(Option<Permit>),
}

impl Reserved {
    /// What a child waits for that awaits the place. `None` once there is one.
    pub(super) fn target(&self) -> Option<Target> {
        let Self::Waits(turn, host) = self else {
            return None;
        };
        Some(Target {
            node: host.node_with_room(),
            pending: Arc::clone(turn) as _,
        })
    }

    pub(super) fn into_permit(mut self) -> Option<Permit> {
        match &mut self {
            Self::Waits(..) => None,
            Self::Has(permit) => permit.take(),
        }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if let Self::Waits(turn, _) = self {
            turn.give_up();
        }
    }
}

impl Asked {
    /// Cancels the message, if it has not begun. Returns whether it is cancelled.
    pub(super) fn cancel(&self) -> bool {
        // Only the relay watches the cell, so this needs no Python.
        match self.cell.cancel(cell::Hold::Condition) {
            Cancel::Cancelled { message, .. } => {
                let has_permit = message.as_ref().is_some_and(Message::has_permit);
                drop(message);
                // One that still waited for room was never accepted, and is not counted.
                if has_permit || self.host.mailbox.room().is_none() {
                    self.host.tally.end(Completion::Cancelled);
                }
                true
            }
            Cancel::Already => true,
            Cancel::TooLate | Cancel::NeedsCondition => false,
        }
    }

    /// Cancels the message, or asks it to stop if it runs. Returns whether one of the two was done.
    pub(super) fn stop(&self) -> bool {
        // First: once a stream is closed, its generator may end before it is asked.
        let hears = self.stream.is_some() || !self.host.tally.refuses_requests();
        let is_done = self.cancel() || (hears && settle::ask(&self.cell));
        if let Some(stream) = &self.stream {
            stream.close();
        }
        is_done
    }

    /// Nothing awaits the message any more. Cancels it, or has an async actor stop it. Returns whether
    /// one of the two was done.
    pub(super) fn abandon(&self) -> bool {
        if self.host.tally.is_async() {
            self.stop()
        } else {
            self.cancel()
        }
    }

    /// Cancels the message if it still waits for a place. Returns whether it did.
    pub(super) fn leave(&self) -> bool {
        let waiting = self.cell.exchange(Message::unseated).flatten();
        // Without a lock: its seat leaves the queue.
        waiting.is_some_and(|waiting| {
            drop(waiting);
            self.cancel()
        })
    }

    /// What the child waits for.
    pub(super) fn target(&self, awaited: Awaited) -> Target {
        let node = match awaited {
            Awaited::Room(_) => self.host.node_with_room(),
            Awaited::Answer(_) | Awaited::Item(_) => Arc::clone(&self.host.tally.node),
        };
        let pending = match (awaited, &self.admitted, &self.stream) {
            (Awaited::Room(_), Some(admitted), _) => Arc::clone(admitted) as _,
            (Awaited::Item(_), _, Some(stream)) => Arc::clone(stream) as _,
            _ => Arc::clone(&self.cell) as _,
        };
        Target { node, pending }
    }
}

impl Drop for Asked {
    /// If the child is dead, its streams have no taker any more.
    fn drop(&mut self) {
        if self.stream.as_ref().is_some_and(|stream| !stream.is_over()) {
            self.stop();
        }
    }
}

/// What the main thread of a child waits for.
struct AwaitedByChild {
    pending: Arc<dyn Pending>,
    region: Arc<Region>,
    /// The number of the wait.
    number: u64,
}

impl Pending for AwaitedByChild {
    fn is_over(&self) -> bool {
        self.pending.is_over() || self.region.waits().load(Ordering::SeqCst) != self.number
    }
}

/// A wait of a child in the graph of waits.
pub(super) struct EnteredWait(Option<Waiting<'static>>);

impl EnteredWait {
    /// Enters that the child of `region`, whose actor is `waiter`, waits until one of `targets` has
    /// happened. The number is that of the wait. An error if that would close a circle; `refuse` hears
    /// of one that is closed later. The caller must not hold a lock.
    pub(super) fn begin(
        (waiter, region): (&Arc<Node>, &Arc<Region>),
        number: u64,
        mut targets: Vec<Target>,
        refuse: Arc<dyn Refuse>,
    ) -> Result<Self, Refused> {
        for target in &mut targets {
            target.pending = Arc::new(AwaitedByChild {
                pending: Arc::clone(&target.pending),
                region: Arc::clone(region),
                number,
            });
        }
        // Attached: see `Waits`.
        let begun = Python::attach(|_| WAITS.begin(waiter, How::Blocked(1), targets, refuse));
        begun.map(|waiting| Self(Some(waiting)))
    }
}

impl Drop for EnteredWait {
    /// Must not be called with a lock, like that of a `Hold`.
    fn drop(&mut self) {
        let waiting = self.0.take();
        Python::attach(|_| drop(waiting));
    }
}

impl Relayed {
    /// The child gets these actors now.
    pub(super) fn hold(&mut self, actors: impl IntoIterator<Item = Hold>) {
        for actor in actors {
            if self.own == Some(split_number(actor.number()).0) {
                self.surplus.push(actor);
                continue;
            }
            let surplus = self.held.send(actor.number(), actor);
            self.surplus.extend(surplus);
        }
    }

    /// A message of the child has ended, whose callbacks may run there.
    pub(super) fn end(&mut self, number: u64) -> Option<Arc<Asked>> {
        self.ended += 1;
        self.asked.remove(&number)
    }

    /// How many things must be over in the child before it rests: the start of its actor, and the
    /// callbacks of its messages.
    fn must_end(&self) -> u64 {
        1 + self.ended
    }

    /// So many things are over in the child.
    pub(super) fn rest(&mut self, over: u64) {
        self.rests = over;
    }

    pub(super) fn is_at_rest(&self) -> bool {
        self.rests == self.must_end()
    }

    /// The number by which the child must be asked whether it rests, if it must.
    pub(super) fn ask_to_rest(&mut self) -> Option<u64> {
        let must_end = self.must_end();
        let is_new = !self.is_at_rest() && self.asked_to_rest != must_end;
        self.asked_to_rest = must_end;
        is_new.then_some(must_end)
    }

    /// What the caller must drop without a lock: it may end an actor.
    pub(super) fn take_surplus(&mut self) -> Vec<Hold> {
        std::mem::take(&mut self.surplus)
    }

    /// The actor of this number, or its pool, or another member of its pool.
    pub(super) fn find(&self, number: u64) -> Option<Hold> {
        let (base, _) = split_number(number);
        let is_kin = |of: &u64| split_number(*of).0 == base;
        let held = self.held.get(number).or_else(|| self.held.get(base));
        let held = held.or_else(|| self.held.get(self.held.numbers().find(is_kin)?));
        held.map(Arc::clone)
    }

    /// The child does not refer to an actor any more that it got `count` times. Returns what the caller
    /// must drop without a lock.
    pub(super) fn forget(&mut self, number: u64, count: u64) -> Option<Hold> {
        self.held.forget(number, count)
    }
}
