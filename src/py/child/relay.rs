//! What this process has sent to other actors by its parent, and the actors that it knows.
//!
//! Only data: `way.rs` sends and waits, and `remote.rs` is what a reference refers to. No lock is held
//! while a message ends.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::engine::holding::Received;
use crate::engine::latch::Latch;
use crate::py::future::ActorCell;
use crate::py::future::deadlock::Refusal;
use crate::py::message::items::{Items, Supply};
use crate::py::message::relayed::Fate;
use crate::py::message::tally::Tally;

/// A question that the parent has not answered yet.
#[derive(Default)]
pub(super) struct Inquiry {
    pub(super) done: Latch,
    said: AtomicBool,
}

impl Inquiry {
    pub(super) fn answer(&self, said: bool) {
        self.said.store(said, Ordering::SeqCst);
        self.done.set();
    }

    /// What the parent has said, once `done` is set.
    pub(super) fn said(&self) -> bool {
        self.said.load(Ordering::SeqCst)
    }
}

/// A message that waits for an answer.
pub(super) struct Sent {
    pub(super) cell: Arc<ActorCell>,
    pub(super) fate: Arc<Fate>,
    /// Set when it has a place in the mailbox, or has failed.
    pub(super) admitted: Option<Arc<Latch>>,
    /// It does not wait for a place any more, and ends by this encoded exception if it had none.
    pub(super) too_late: Option<Vec<u8>>,
    /// If it is a stream, where its items go.
    pub(super) inlet: Option<Inlet>,
}

/// Where the items of a stream of another actor go.
#[derive(Clone)]
pub(super) struct Inlet {
    pub(super) items: Arc<Items>,
    /// Hears of what is taken from there.
    pub(super) supply: Arc<dyn Supply>,
}

/// Something that the parent will say something about.
pub(super) enum Pending {
    Message(Sent),
    /// A message of `tell` that waits for a place in the mailbox.
    Told(Arc<Latch>),
    /// A place in a mailbox, for a message that has not been sent yet. The cell ends when there is one.
    Place(Arc<ActorCell>),
    Question(Arc<Inquiry>),
    /// A wait of the main thread.
    Wait(Arc<Refusal>),
}

/// What waits for a place in a mailbox.
pub(super) enum Waiter {
    Thread(Arc<Latch>),
    Future(Arc<ActorCell>),
}

/// An actor that this process can refer to. It is known while this exists.
pub(super) struct Known {
    pub(super) number: u64,
    /// Why it accepts no more messages, as an encoded exception.
    pub(super) refusal: OnceLock<Vec<u8>>,
    /// What the futures of messages to it have.
    pub(super) tally: OnceLock<Arc<Tally>>,
    way: Arc<dyn Forget>,
    /// The pool of this member, or a member of this pool, by which the parent knows it. Dropped last.
    _by: Option<Arc<Known>>,
}

/// Tells the parent that a reference is gone.
pub(super) trait Forget: Send + Sync {
    fn forget(&self, number: u64);
}

impl Drop for Known {
    fn drop(&mut self) {
        self.way.forget(self.number);
    }
}

#[derive(Default)]
struct State {
    pending: HashMap<u64, Pending>,
    known: Received<Known>,
    /// The helper reads until nothing is pending.
    is_helped: bool,
}

#[derive(Default)]
pub(super) struct Relay {
    state: Mutex<State>,
    last: AtomicU64,
}

impl Relay {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number for a message or a question.
    pub(super) fn number(&self) -> u64 {
        // Relaxed: a number is unique whatever else a thread has seen.
        1 + self.last.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn enter(&self, number: u64, pending: Pending) {
        self.state().pending.insert(number, pending);
    }

    /// The note of what becomes of a message, if the message has not ended.
    pub(super) fn fate(&self, number: u64) -> Option<Arc<Fate>> {
        match self.state().pending.get(&number) {
            Some(Pending::Message(sent)) => Some(Arc::clone(&sent.fate)),
            _ => None,
        }
    }

    /// Where the items of a stream go, if it has not ended.
    pub(super) fn inlet(&self, number: u64) -> Option<Inlet> {
        match self.state().pending.get(&number) {
            Some(Pending::Message(sent)) => sent.inlet.clone(),
            _ => None,
        }
    }

    pub(super) fn leave(&self, number: u64) -> Option<Pending> {
        self.state().pending.remove(&number)
    }

    /// The message of this number got a place in the mailbox. Returns what waits for that.
    pub(super) fn admit(&self, number: u64) -> Option<Waiter> {
        let mut state = self.state();
        let Entry::Occupied(mut entry) = state.pending.entry(number) else {
            return None;
        };
        if let Pending::Message(sent) = entry.get_mut() {
            sent.too_late = None;
            return sent.admitted.take().map(Waiter::Thread);
        }
        match entry.remove() {
            Pending::Told(latch) => Some(Waiter::Thread(latch)),
            Pending::Place(cell) => Some(Waiter::Future(cell)),
            // The parent says this of none of these.
            Pending::Message(_) | Pending::Question(_) | Pending::Wait(_) => None,
        }
    }

    /// The message of this number must not wait for a place any more: it ends by this encoded exception
    /// if the parent says that it had none. False if it does not wait for one.
    pub(super) fn must_leave(&self, number: u64, error: Vec<u8>) -> bool {
        match self.state().pending.get_mut(&number) {
            Some(Pending::Message(sent)) if sent.admitted.is_some() => {
                sent.too_late = Some(error);
                true
            }
            _ => false,
        }
    }

    /// Whether the helper must begin to read now, because something is pending.
    pub(super) fn begin_help(&self) -> bool {
        let mut state = self.state();
        let begins = !state.is_helped && !state.pending.is_empty();
        state.is_helped |= begins;
        begins
    }

    /// Whether the helper need not read any more, because nothing is pending.
    pub(super) fn end_help(&self) -> bool {
        let mut state = self.state();
        let ends = state.is_helped && state.pending.is_empty();
        state.is_helped &= !ends;
        ends
    }

    /// A packet has come that refers to this actor.
    pub(super) fn arrive(&self, number: u64, way: &Arc<dyn Forget>) -> Arc<Known> {
        self.know(number, way, 1, None)
    }

    /// This process refers to a member of a pool that it knows, or to the pool of a member.
    pub(super) fn derive(&self, number: u64, way: &Arc<dyn Forget>, by: &Arc<Known>) -> Arc<Known> {
        self.know(number, way, 0, Some(by))
    }

    fn know(
        &self,
        number: u64,
        way: &Arc<dyn Forget>,
        times: u64,
        by: Option<&Arc<Known>>,
    ) -> Arc<Known> {
        self.state().known.arrive(number, times, || Known {
            number,
            refusal: OnceLock::new(),
            tally: OnceLock::new(),
            way: Arc::clone(way),
            _by: by.map(Arc::clone),
        })
    }

    /// An actor of this number is not referred to any more. Returns how often it had been received;
    /// `None` if it has been received again in the meantime.
    pub(super) fn forget(&self, number: u64) -> Option<u64> {
        self.state().known.forget(number)
    }

    /// The actor of this number, if this process refers to it.
    pub(super) fn known(&self, number: u64) -> Option<Arc<Known>> {
        self.state().known.get(number)
    }
}
