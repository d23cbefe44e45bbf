//! The items of a stream on their way from the actor to the threads that take them.
//!
//! A queue between one producer and any number of takers. The taker may be a relay, which passes the
//! items on to another process: these count as waiting until that one has taken them.
//! The producer puts an item in only while
//! there is room: at most `ahead` items wait to be taken, so a slow taker costs no memory. The stream
//! ends once, by the producer, or is closed, by a taker; items that were not taken go with it.
//!
//! # Why no wake-up is lost
//! A thread registers for a wake-up under the lock under which it has seen that there is nothing for
//! it. The thread that changes this takes out all registrations under the lock, and wakes their
//! threads when it has released the lock. A thread that is woken looks again.

use std::collections::VecDeque;
use std::sync::Arc;

use super::room::Wake;
use super::sync::{AtomicU64, Mutex, MutexGuard, Ordering};

/// What a taker finds.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Next<T> {
    Item(T),
    /// Nothing now: the given waiter is woken when there may be something.
    Empty,
    /// Nothing any more: the producer has ended.
    Ended,
    /// It was closed.
    Closed,
}

/// What the producer finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Space {
    Free,
    /// None now: the given waiter is woken when there may be some.
    Full,
    /// Nothing more is wanted.
    Closed,
}

/// The producer also waits while the items inside have at least this weight together: their bytes in
/// the pipe, for those that came by one.
pub const MOST_WEIGHT: usize = 1 << 20;

/// What became of those that waited for an item that has entered.
pub struct Entered {
    /// How many were woken.
    pub woken: usize,
    /// Those that the caller must wake.
    pub others: Vec<Arc<dyn Wake>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Ended,
    Closed,
}

pub struct Stream<T> {
    ahead: usize,
    inner: Mutex<Inner<T>>,
    /// How many items have been taken. Written under the lock. Relaxed: it is only shown.
    taken: AtomicU64,
}

struct Inner<T> {
    /// With their weights.
    items: VecDeque<(T, usize)>,
    /// How many were forwarded and have not been taken where they went.
    forwarded: usize,
    /// Of both.
    weight: usize,
    state: State,
    /// The producer waits for room.
    producer: Option<Arc<dyn Wake>>,
    takers: Vec<Arc<dyn Wake>>,
    /// Only threads that wait now will still take items. So a producer that finds no room is told that
    /// the stream is closed.
    is_abandoned: bool,
}

/// What must be done after the lock is released: threads to wake, items to drop.
#[must_use]
struct After<T> {
    wake: Vec<Arc<dyn Wake>>,
    items: VecDeque<(T, usize)>,
}

impl<T> After<T> {
    fn finish(self) -> Vec<T> {
        for waiter in self.wake {
            waiter.wake();
        }
        self.items.into_iter().map(|(item, _)| item).collect()
    }
}

impl<T> Inner<T> {
    /// Whether the producer must wait for a taker.
    fn is_full(&self, ahead: usize) -> bool {
        self.items.len() + self.forwarded >= ahead || self.weight >= MOST_WEIGHT
    }

    fn wake_takers(&mut self) -> Vec<Arc<dyn Wake>> {
        std::mem::take(&mut self.takers)
    }

    /// Open | Ended -> Closed.
    fn close(&mut self) -> After<T> {
        self.state = State::Closed;
        (self.forwarded, self.weight) = (0, 0);
        let mut wake = self.wake_takers();
        wake.extend(self.producer.take());
        After {
            wake,
            items: std::mem::take(&mut self.items),
        }
    }
}

impl<T> Stream<T> {
    /// At most `ahead` items wait to be taken. It is at least 1.
    pub fn new(ahead: usize) -> Self {
        Self {
            ahead: ahead.max(1),
            inner: Mutex::new(Inner {
                items: VecDeque::new(),
                forwarded: 0,
                weight: 0,
                state: State::Open,
                producer: None,
                takers: Vec::new(),
                is_abandoned: false,
            }),
            taken: AtomicU64::new(0),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock()
    }

    pub fn ahead(&self) -> usize {
        self.ahead
    }

    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    pub fn is_closed(&self) -> bool {
        self.inner().state == State::Closed
    }

    /// Whether the producer waits for a taker, and none is there. A relay that waits for more is none.
    pub fn waits_for_taker(&self) -> bool {
        let inner = self.inner();
        let has_taker = !inner.takers.is_empty() && inner.forwarded == 0;
        inner.state == State::Open && inner.is_full(self.ahead) && !has_taker
    }

    /// For the producer, before it makes an item: whether there is room for that. If not, `waiter` is
    /// woken when there may be.
    pub fn space(&self, waiter: impl FnOnce() -> Arc<dyn Wake>) -> Space {
        let mut inner = self.inner();
        if inner.state != State::Open {
            return Space::Closed;
        }
        if !inner.is_full(self.ahead) {
            return Space::Free;
        }
        if inner.is_abandoned {
            let after = inner.close();
            drop(inner);
            drop(after.finish());
            return Space::Closed;
        }
        inner.producer = Some(waiter());
        Space::Full
    }

    /// Puts an item in. Returns it if the stream is closed.
    pub fn put(&self, item: T) -> Result<(), T> {
        self.put_weighing(item, 0)
    }

    /// Like `put`, for an item of this weight: see [`MOST_WEIGHT`].
    pub fn put_weighing(&self, item: T, weight: usize) -> Result<(), T> {
        for taker in self.insert(item, weight)? {
            taker.wake();
        }
        Ok(())
    }

    /// Like `put_weighing`, for a thread that must not wake the takers itself. Returns them.
    pub fn insert(&self, item: T, weight: usize) -> Result<Vec<Arc<dyn Wake>>, T> {
        let mut inner = self.inner();
        if inner.state != State::Open {
            return Err(item);
        }
        inner.items.push_back((item, weight));
        inner.weight += weight;
        Ok(inner.wake_takers())
    }

    /// Like `insert`, for a thread that holds a lock: wakes the takers whose `wake` runs no Python code.
    pub fn enter(&self, item: T, weight: usize) -> Result<Entered, T> {
        let mut others = self.insert(item, weight)?;
        let takers = others.len();
        others.retain(|taker| {
            let runs_python = taker.runs_python();
            if !runs_python {
                taker.wake();
            }
            runs_python
        });
        Ok(Entered {
            woken: takers - others.len(),
            others,
        })
    }

    /// Takes the next item. If there is none yet, `waiter` is woken when there may be something;
    /// [`leave`](Self::leave) takes it back.
    pub fn take(&self, waiter: impl FnOnce() -> Option<Arc<dyn Wake>>) -> Next<T> {
        let mut inner = self.inner();
        let Some((item, weight)) = inner.items.pop_front() else {
            return Self::find_none(&mut inner, waiter);
        };
        self.make_room(inner, weight);
        Next::Item(item)
    }

    /// Like `take`, for a relay. The item, which comes with its weight, still counts as one that waits,
    /// until [`confirm`](Self::confirm) is called.
    pub fn forward(&self, waiter: impl FnOnce() -> Option<Arc<dyn Wake>>) -> Next<(T, usize)> {
        let mut inner = self.inner();
        let Some(next) = inner.items.pop_front() else {
            return Self::find_none(&mut inner, waiter);
        };
        inner.forwarded += 1;
        Next::Item(next)
    }

    /// The oldest item that was forwarded, of this weight, has been taken where it went.
    pub fn confirm(&self, weight: usize) {
        let mut inner = self.inner();
        if inner.forwarded > 0 {
            inner.forwarded -= 1;
            self.make_room(inner, weight);
        }
    }

    /// How many items were forwarded and have not been taken.
    pub fn forwarded(&self) -> usize {
        self.inner().forwarded
    }

    fn find_none<N>(
        inner: &mut Inner<T>,
        waiter: impl FnOnce() -> Option<Arc<dyn Wake>>,
    ) -> Next<N> {
        match inner.state {
            State::Open => {
                inner.takers.extend(waiter());
                Next::Empty
            }
            State::Ended => Next::Ended,
            State::Closed => Next::Closed,
        }
    }

    /// An item of this weight has been taken.
    fn make_room(&self, mut inner: MutexGuard<'_, Inner<T>>, weight: usize) {
        inner.weight -= weight;
        let taken = self.taken.load(Ordering::Relaxed);
        self.taken.store(taken + 1, Ordering::Relaxed);
        let producer = inner.producer.take();
        drop(inner);
        if let Some(producer) = producer {
            producer.wake();
        }
    }

    /// Whether a taker waits, or is about to.
    pub fn is_awaited(&self) -> bool {
        !self.inner().takers.is_empty()
    }

    /// A taker that waited has gone.
    pub fn leave(&self, waiter: &Arc<dyn Wake>) {
        let mut inner = self.inner();
        inner.takers.retain(|other| !Arc::ptr_eq(other, waiter));
    }

    /// Open -> Ended, by the producer: what is inside can still be taken.
    pub fn end(&self) {
        for taker in self.finish() {
            taker.wake();
        }
    }

    /// Like `end`, for a thread that must not wake the takers itself. Returns them.
    #[must_use]
    pub fn finish(&self) -> Vec<Arc<dyn Wake>> {
        let mut inner = self.inner();
        if inner.state != State::Open {
            return Vec::new();
        }
        inner.state = State::Ended;
        inner.wake_takers()
    }

    /// Open | Ended -> Closed, by a taker, as often as it likes. The caller must drop the items that
    /// were not taken, without a lock.
    #[must_use]
    pub fn close(&self) -> Vec<T> {
        let after = self.inner().close();
        after.finish()
    }

    /// For a producer that has just put an item in: closes the stream if the producer would have to wait
    /// for room, and must not. Returns whether it did.
    pub fn close_if_abandoned(&self) -> Option<Vec<T>> {
        let mut inner = self.inner();
        let closes = inner.is_abandoned && inner.state == State::Open && inner.is_full(self.ahead);
        let after = closes.then(|| inner.close());
        drop(inner);
        after.map(After::finish)
    }

    /// From now on the producer does not wait for room: if there is none, the stream is closed. Returns
    /// whether the producer waits already.
    pub fn abandon(&self) -> bool {
        let mut inner = self.inner();
        inner.is_abandoned = true;
        inner.state == State::Open && inner.is_full(self.ahead)
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, loom))]
mod loom_tests;
