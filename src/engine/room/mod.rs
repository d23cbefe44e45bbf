//! The room of a bounded mailbox: a counting semaphore with a fair queue.
//!
//! A sender acquires a place ([`Permit`]), which is released when its message begins or is known
//! never to. If no place is free, the sender queues and gets a [`Seat`], which keeps its turn.
//!
//! # Fairness
//! Invariant: while the queue is not empty no place is free, because a released place goes to the
//! sender that has waited longest. So no sender overtakes another, and no wake-up is lost. A waiter
//! that is not in the queue any more has been granted a place; this is decided under the lock.
//!
//! A sender that does not block leaves its message with its waiter, which enters by itself: under the
//! room's lock, so that a message that is sent later cannot enter before it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::latch::Latch;
use super::sync::{Mutex, MutexGuard};

/// How the room wakes a waiter.
pub trait Wake: Send + Sync {
    /// Called when its place has been granted, by the thread that has released the place. That thread
    /// holds no lock.
    fn wake(&self);

    /// Like `wake`, for a waiter that may want its place no more: true if it has declined it by
    /// [`Seat::decline`], and the next one gets it. If many in a row dropped it instead, each would call
    /// the next, and use up the stack.
    fn wake_or_decline(&self) -> bool {
        self.wake();
        false
    }

    /// Puts the message that waits, if it waits without a thread, where it has a place now. Called
    /// before `wake`, under the room's lock: must not use the room, and neither call Python nor drop
    /// anything. It turns the waiter's [`Seat`] into the place by [`Seat::enter`].
    fn enter(&self) {}

    /// Whether `wake` runs Python code, for threads that must not.
    fn runs_python(&self) -> bool {
        false
    }

    /// Whether [`Room::let_in`] lets it in.
    fn enters(&self) -> bool {
        false
    }
}

impl Wake for Latch {
    fn wake(&self) {
        self.set();
    }
}

pub struct Room {
    size: usize,
    inner: Mutex<Inner>,
}

struct Inner {
    free: usize,
    /// The waiters by ticket number: the first has waited longest.
    queue: BTreeMap<u64, Arc<dyn Wake>>,
    next_ticket: u64,
    /// When set, every place is granted: then the mailbox refuses the messages.
    is_closed: bool,
}

impl Inner {
    /// Takes a free place, if there is one. A closed room always has one.
    fn take_free(&mut self) -> bool {
        let is_free = self.is_closed || self.free > 0;
        self.free = self.free.saturating_sub(1);
        is_free
    }

    fn new_ticket(&mut self) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        ticket
    }
}

impl Room {
    pub fn new(size: usize) -> Self {
        Self {
            size,
            inner: Mutex::new(Inner {
                free: size,
                queue: BTreeMap::new(),
                next_ticket: 0,
                is_closed: false,
            }),
        }
    }

    pub fn size(&self) -> usize {
        self.size
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    /// Acquires a place if one is free. Never blocks.
    #[must_use]
    pub fn try_acquire(self: &Arc<Self>) -> Option<Permit> {
        let is_free = self.inner().take_free();
        is_free.then(|| Permit::new(self))
    }

    /// Queues for a place. `waiter` is woken when the place is granted, at once if one is free.
    #[must_use]
    pub fn queue(self: &Arc<Self>, waiter: Arc<dyn Wake>) -> Seat {
        let mut inner = self.inner();
        let ticket = inner.new_ticket();
        if inner.take_free() {
            drop(inner);
            waiter.wake();
        } else {
            inner.queue.insert(ticket, waiter);
        }
        Seat {
            room: Arc::clone(self),
            ticket: Some(ticket),
        }
    }

    /// Acquires a place if one is free. Otherwise queues for one with the waiter that `make` returns,
    /// which keeps the turn and enters by itself. `make` is called under the room's lock, with the
    /// restrictions of [`Wake::enter`].
    #[must_use]
    pub fn acquire_or_queue(
        self: &Arc<Self>,
        make: impl FnOnce(Seat) -> Arc<dyn Wake>,
    ) -> Option<Permit> {
        let mut inner = self.inner();
        if inner.take_free() {
            return Some(Permit::new(self));
        }
        let ticket = inner.new_ticket();
        let waiter = make(Seat {
            room: Arc::clone(self),
            ticket: Some(ticket),
        });
        inner.queue.insert(ticket, waiter);
        None
    }

    /// Lets in all messages that wait without a thread and say so by [`Wake::enters`], though there is no
    /// room, because the mailbox is about to be closed. The caller must not hold a lock.
    pub fn let_in(&self) {
        let mut inner = self.inner();
        let (entering, waiting) = std::mem::take(&mut inner.queue)
            .into_iter()
            .partition::<BTreeMap<_, _>, _>(|(_, waiter)| waiter.enters());
        inner.queue = waiting;
        for waiter in entering.values() {
            waiter.enter();
        }
        drop(inner);
        for waiter in entering.into_values() {
            waiter.wake();
        }
    }

    pub fn has_waiters(&self) -> bool {
        !self.inner().queue.is_empty()
    }

    /// Grants every place from now on, and wakes every waiter. The caller must not hold a lock.
    pub fn close(&self) {
        let mut inner = self.inner();
        inner.is_closed = true;
        let waiters = std::mem::take(&mut inner.queue);
        for waiter in waiters.values() {
            waiter.enter();
        }
        drop(inner);
        for waiter in waiters.into_values() {
            waiter.wake();
        }
    }

    /// Gives a place to the first waiter in the queue, which it returns, or makes it free.
    fn grant(&self) -> Option<Arc<dyn Wake>> {
        let mut inner = self.inner();
        let (_, waiter) = inner.queue.pop_first().unzip();
        match &waiter {
            Some(waiter) => waiter.enter(),
            None => inner.free += 1,
        }
        waiter
    }
}

/// A place in the room. Dropping it releases the place, which may wake a waiter: so it must not be
/// dropped under a lock.
///
/// By default it is no place. An `Option` of one is larger than this.
#[derive(Default)]
pub struct Permit(Option<Arc<Room>>);

impl Permit {
    fn new(room: &Arc<Room>) -> Self {
        Self(Some(Arc::clone(room)))
    }

    pub fn is_place(&self) -> bool {
        self.0.is_some()
    }

    /// Takes out the place, if it is one.
    #[must_use]
    pub fn take(&mut self) -> Option<Self> {
        self.0.take().map(|room| Self(Some(room)))
    }

    /// Releases the place now, and leaves it to the caller to wake the waiter that has got it. For a
    /// caller with a lock, which may be any but those that [`Wake::enter`] takes.
    #[must_use]
    pub fn release(mut self) -> Option<Granted> {
        self.0.take().and_then(Granted::by)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        drop(self.0.take().and_then(Granted::by));
    }
}

/// A waiter that has been granted a place. Dropping this wakes it: so it must not be dropped under a
/// lock.
pub struct Granted {
    room: Arc<Room>,
    waiter: Arc<dyn Wake>,
}

impl Granted {
    /// Releases a place of `room`. `None` if no waiter has got it.
    fn by(room: Arc<Room>) -> Option<Self> {
        let waiter = room.grant()?;
        Some(Self { room, waiter })
    }
}

impl Drop for Granted {
    fn drop(&mut self) {
        while self.waiter.wake_or_decline() {
            match self.room.grant() {
                Some(next) => self.waiter = next,
                None => return,
            }
        }
    }
}

/// A turn in the queue. Dropping it gives up the turn, or the place if that has been granted.
pub struct Seat {
    room: Arc<Room>,
    /// `None` after `leave` has been called.
    ticket: Option<u64>,
}

impl Seat {
    /// Returns the place if it has been granted. Otherwise the waiter leaves the queue.
    #[must_use]
    pub fn leave(mut self) -> Option<Permit> {
        self.take()
    }

    /// Its turn: the lower, the earlier. `None` after it has left.
    pub fn ticket(&self) -> Option<u64> {
        self.ticket
    }

    /// Gives up the turn, or leaves the place that has been granted to the caller of
    /// [`Wake::wake_or_decline`]: then true.
    #[must_use]
    pub fn decline(mut self) -> bool {
        let ticket = self.ticket.take();
        ticket.is_some_and(|ticket| self.room.inner().queue.remove(&ticket).is_none())
    }

    /// Turns the seat of a waiter that is being granted its place into that place. Only for
    /// [`Wake::enter`]. Takes no lock.
    #[must_use]
    pub fn enter(mut self) -> Permit {
        self.ticket = None;
        Permit::new(&self.room)
    }

    fn take(&mut self) -> Option<Permit> {
        let ticket = self.ticket.take()?;
        let given_up = self.room.inner().queue.remove(&ticket);
        given_up.is_none().then(|| Permit::new(&self.room))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        drop(self.take());
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, loom))]
mod loom_tests;
