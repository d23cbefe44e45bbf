//! The mailbox: the messages that are posted and have not begun, first in, first out.
//!
//! Any thread puts, and the engine takes. A closed mailbox refuses new items and keeps those inside, so
//! an engine that takes until [`Take::Closed`] has drained it. A bounded mailbox has a [`Room`], in
//! which a sender must acquire a place before it puts.
//!
//! Items may become void while they are inside, when they are cancelled. A void item is not searched
//! for: all are swept out together once they may be more than half. So each costs constant time, and
//! the mailbox holds at most about twice as many items as are not void.

use std::collections::VecDeque;
use std::sync::Arc;

use super::room::Room;
use super::sync::{AtomicBool, AtomicU64, Condvar, Mutex, Ordering};

/// Fewer void items are not worth a sweep.
const SWEEP_AT_LEAST: u64 = 64;
/// An empty queue keeps capacity for this many items.
const KEPT_CAPACITY: usize = 4096;

#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Take<T> {
    Item(T),
    Empty,
    /// Empty and closed: nothing will come.
    Closed,
}

pub struct Mailbox<T> {
    inner: Mutex<Inner<T>>,
    /// Wakes the sleeping taker when something has come or the mailbox was closed.
    bell: Condvar,
    /// Written only under the lock, so nothing more gets in after `close` has returned.
    is_closed: AtomicBool,
    /// Whether there may be items. It is for a thread that polls, which must not contend for the lock
    /// with threads that put. Written under the lock. Relaxed: only the lock tells for certain.
    has_items: AtomicBool,
    /// How many items must have become void, of all that were ever put, before `sweep` searches again.
    /// Written under the lock. Relaxed: a search that is too late or too early does no harm.
    sweep_at: AtomicU64,
    room: Option<Arc<Room>>,
    /// Whether the room is another mailbox's, too, which closes it.
    borrows_room: bool,
}

struct Inner<T> {
    items: VecDeque<T>,
    /// A thread sleeps in `take` and has not been notified yet. So a burst notifies it only once.
    is_awaited: bool,
    /// How many items had become void at the last sweep.
    swept: u64,
}

impl<T> Inner<T> {
    fn pop(&mut self) -> Option<T> {
        let item = self.items.pop_front();
        if self.items.is_empty() && self.items.capacity() > KEPT_CAPACITY {
            self.items = VecDeque::new();
        }
        item
    }
}

impl<T> Default for Mailbox<T> {
    fn default() -> Self {
        Self {
            inner: Mutex::new(Inner {
                items: VecDeque::new(),
                is_awaited: false,
                swept: 0,
            }),
            bell: Condvar::new(),
            is_closed: AtomicBool::new(false),
            has_items: AtomicBool::new(false),
            sweep_at: AtomicU64::new(SWEEP_AT_LEAST),
            room: None,
            borrows_room: false,
        }
    }
}

impl<T> Mailbox<T> {
    /// A mailbox for at most `size` messages that have not begun, or without a bound.
    pub fn new(size: Option<usize>) -> Self {
        Self {
            room: size.map(|size| Arc::new(Room::new(size))),
            ..Self::default()
        }
    }

    /// A mailbox whose messages take places in the room of `other`.
    pub fn in_room_of(other: &Self) -> Self {
        Self {
            room: other.room.clone(),
            borrows_room: true,
            ..Self::default()
        }
    }

    pub fn room(&self) -> Option<&Arc<Room>> {
        self.room.as_ref()
    }

    /// Puts an item in. Never blocks. Returns the item if the mailbox is closed.
    #[inline]
    pub fn put(&self, item: T) -> Result<(), T> {
        let mut inner = self.inner.lock();
        if self.is_closed() {
            return Err(item);
        }
        inner.items.push_back(item);
        self.has_items.store(true, Ordering::Relaxed);
        let rings = std::mem::take(&mut inner.is_awaited);
        drop(inner);
        if rings {
            self.bell.notify_one();
        }
        Ok(())
    }

    /// Puts items back that were taken out, before all others, also into a closed mailbox.
    pub fn put_first(&self, items: Vec<T>) {
        let mut inner = self.inner.lock();
        for item in items.into_iter().rev() {
            inner.items.push_front(item);
        }
        self.has_items
            .store(!inner.items.is_empty(), Ordering::Relaxed);
    }

    /// Refuses what comes later. Senders that wait for room are woken and then refused, so the caller
    /// must not hold a lock.
    pub fn close(&self) {
        let inner = self.inner.lock();
        self.is_closed.store(true, Ordering::SeqCst);
        drop(inner);
        self.bell.notify_all();
        if let Some(room) = &self.room
            && !self.borrows_room
        {
            room.close();
        }
    }

    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::SeqCst)
    }

    /// Whether it is empty. Another thread may put something in at any moment.
    pub fn is_empty(&self) -> bool {
        self.inner.lock().items.is_empty()
    }

    /// How many of the items inside are such. `is_such` is called under the mailbox's lock.
    pub fn count(&self, is_such: impl Fn(&T) -> bool) -> usize {
        let inner = self.inner.lock();
        inner.items.iter().filter(|item| is_such(item)).count()
    }

    /// Whether its taker sleeps in `take`, and nothing has come that will wake it.
    pub fn is_asleep(&self) -> bool {
        self.inner.lock().is_awaited
    }

    fn pop(&self, inner: &mut Inner<T>) -> Option<T> {
        let item = inner.pop();
        if inner.items.is_empty() {
            self.has_items.store(false, Ordering::Relaxed);
        }
        item
    }

    /// Like `try_take`, for a thread that polls: it takes no lock while there is nothing. It sees an
    /// item shortly after another thread has put it in, but not necessarily at once.
    pub fn poll(&self) -> Take<T> {
        if self.is_worth_a_look() {
            self.try_take()
        } else {
            Take::Empty
        }
    }

    /// Whether `poll` takes the lock.
    pub fn is_worth_a_look(&self) -> bool {
        self.has_items.load(Ordering::Relaxed) || self.is_closed()
    }

    #[inline]
    pub fn try_take(&self) -> Take<T> {
        // Held to the end, so that "empty" and "closed" are read at the same moment.
        let mut inner = self.inner.lock();
        match self.pop(&mut inner) {
            Some(item) => Take::Item(item),
            None if self.is_closed() => Take::Closed,
            None => Take::Empty,
        }
    }

    /// Blocks until there is an item. `None` if it is closed and empty. For one thread at a time.
    pub fn take(&self) -> Option<T> {
        let mut inner = self.inner.lock();
        loop {
            if let Some(item) = self.pop(&mut inner) {
                return Some(item);
            }
            if self.is_closed() {
                return None;
            }
            inner.is_awaited = true;
            inner = self.bell.wait(inner);
        }
    }

    /// Takes out everything that is inside now.
    #[must_use]
    pub fn drain(&self) -> VecDeque<T> {
        std::mem::take(&mut self.inner.lock().items)
    }

    /// Takes out void items, if they may be more than half of those inside. `void` is how many have
    /// become void of all that were ever put, including some that have left. The caller must drop
    /// what is returned without holding a lock. `is_void` is called under the mailbox's lock.
    #[must_use]
    pub fn sweep(&self, void: u64, is_void: impl Fn(&T) -> bool) -> Vec<T> {
        if void < self.sweep_at.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let mut inner = self.inner.lock();
        let half = |items: &VecDeque<T>| SWEEP_AT_LEAST.max(items.len() as u64 / 2);
        let mut swept = Vec::new();
        if void.saturating_sub(inner.swept) >= half(&inner.items) {
            inner.swept = void;
            let items = std::mem::take(&mut inner.items);
            inner.items.reserve_exact(items.len() / 2);
            for item in items {
                if is_void(&item) {
                    swept.push(item);
                } else {
                    inner.items.push_back(item);
                }
            }
        }
        let next = inner.swept + half(&inner.items);
        self.sweep_at.store(next, Ordering::Relaxed);
        swept
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, loom))]
mod loom_tests;
