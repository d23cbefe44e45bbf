//! The items of a stream on their way from the actor to the threads that take them.
//!
//! A queue between one producer and any number of takers. The producer puts an item in only while
//! there is room: at most `ahead` items wait to be taken, so a slow taker costs no memory. The stream
//! ends once, by the producer, or is closed, by a taker; items that were not taken go with it.
//!
//! # Why no wake-up is lost A thread registers for a wake-up under the lock under which it has seen
//! that there is nothing for it. The thread that changes this takes out all registrations under the
//! lock, and wakes their threads when it has released the lock. A thread that is woken looks again.

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
    weight: usize,
    state: State,
    /// The producer waits for room.
    producer: Option<Arc<dyn Wake>>,
    takers: Vec<Arc<dyn Wake>>,
    /// Nothing will be taken by a thread that is not waiting now: a producer without room is told
    /// that the stream is closed.
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
        self.items.len() >= ahead || self.weight >= MOST_WEIGHT
    }

    fn wake_takers(&mut self) -> Vec<Arc<dyn Wake>> {
        std::mem::take(&mut self.takers)
    }

    /// Open | Ended -> Closed.
    fn close(&mut self) -> After<T> {
        self.state = State::Closed;
        self.weight = 0;
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

    /// Whether the producer waits for a taker, and none is there.
    pub fn waits_for_taker(&self) -> bool {
        let inner = self.inner();
        inner.state == State::Open && inner.is_full(self.ahead) && inner.takers.is_empty()
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
        let mut inner = self.inner();
        if inner.state != State::Open {
            return Err(item);
        }
        inner.items.push_back((item, weight));
        inner.weight += weight;
        let wake = inner.wake_takers();
        drop(inner);
        for taker in wake {
            taker.wake();
        }
        Ok(())
    }

    /// Takes the next item. If there is none yet, `waiter` is woken when there may be something;
    /// [`leave`](Self::leave) takes it back.
    pub fn take(&self, waiter: impl FnOnce() -> Option<Arc<dyn Wake>>) -> Next<T> {
        let mut inner = self.inner();
        let Some((item, weight)) = inner.items.pop_front() else {
            return match inner.state {
                State::Open => {
                    inner.takers.extend(waiter());
                    Next::Empty
                }
                State::Ended => Next::Ended,
                State::Closed => Next::Closed,
            };
        };
        inner.weight -= weight;
        let taken = self.taken.load(Ordering::Relaxed);
        self.taken.store(taken + 1, Ordering::Relaxed);
        let producer = inner.producer.take();
        drop(inner);
        if let Some(producer) = producer {
            producer.wake();
        }
        Next::Item(item)
    }

    /// A taker that waited has gone.
    pub fn leave(&self, waiter: &Arc<dyn Wake>) {
        let mut inner = self.inner();
        inner.takers.retain(|other| !Arc::ptr_eq(other, waiter));
    }

    /// Open -> Ended, by the producer: what is inside can still be taken.
    pub fn end(&self) {
        let mut inner = self.inner();
        if inner.state == State::Open {
            inner.state = State::Ended;
            let wake = inner.wake_takers();
            drop(inner);
            for taker in wake {
                taker.wake();
            }
        }
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
mod tests {
    use super::*;
    use crate::engine::latch::{Latch, Wait};
    use proptest::prelude::*;

    fn latch() -> Arc<Latch> {
        Arc::default()
    }

    fn nobody<T: ?Sized>() -> Option<Arc<T>> {
        None
    }

    #[test]
    fn the_producer_has_room_for_so_many_items_and_no_more() {
        let stream = Stream::new(2);
        for item in 0..2 {
            assert_eq!(stream.space(|| latch()), Space::Free);
            assert_eq!(stream.put(item), Ok(()));
        }
        let waiter = latch();
        assert_eq!(stream.space(|| Arc::clone(&waiter) as _), Space::Full);
        assert!(stream.waits_for_taker());
        assert_eq!(stream.take(nobody), Next::Item(0));
        assert!(waiter.is_set());
        assert_eq!(stream.space(|| latch()), Space::Free);
        assert_eq!(stream.taken(), 1);
    }

    #[test]
    fn what_was_put_before_the_end_is_taken_after_it() {
        let stream = Stream::new(4);
        assert_eq!(stream.put(1), Ok(()));
        stream.end();
        assert_eq!(stream.put(2), Err(2));
        assert_eq!(stream.take(nobody), Next::Item(1));
        assert_eq!(stream.take(nobody), Next::Ended);
        assert_eq!(stream.space(|| latch()), Space::Closed);
    }

    #[test]
    fn closing_hands_back_what_was_not_taken_and_wakes_everybody() {
        let stream = Stream::new(1);
        let (taker, producer) = (latch(), latch());
        assert_eq!(stream.take(|| Some(Arc::clone(&taker) as _)), Next::Empty);
        assert_eq!(stream.put(7), Ok(()));
        assert!(taker.is_set());
        assert_eq!(stream.space(|| Arc::clone(&producer) as _), Space::Full);
        assert_eq!(stream.close(), [7]);
        assert!(producer.is_set() && stream.is_closed());
        assert_eq!(stream.take(nobody), Next::Closed);
        assert_eq!(stream.put(8), Err(8));
        stream.end();
        assert_eq!(stream.take(nobody), Next::Closed);
        assert!(stream.close().is_empty());
    }

    #[test]
    fn a_taker_that_has_left_is_not_woken() {
        let stream = Stream::new(1);
        let taker = latch();
        let waiter: Arc<dyn Wake> = Arc::clone(&taker) as _;
        assert_eq!(stream.take(|| Some(Arc::clone(&waiter))), Next::Empty);
        stream.leave(&waiter);
        assert_eq!(stream.put(1), Ok(()));
        assert!(!taker.is_set());
    }

    #[test]
    fn an_abandoned_stream_is_closed_instead_of_waiting_for_room() {
        let stream = Stream::new(1);
        assert!(!stream.abandon());
        assert_eq!(stream.space(|| latch()), Space::Free);
        assert_eq!(stream.put(1), Ok(()));
        assert!(stream.abandon());
        assert_eq!(stream.space(|| latch()), Space::Closed);
        assert_eq!(stream.take(nobody), Next::Closed);
    }

    #[derive(Clone, Debug)]
    enum Event {
        Put,
        Take,
        End,
        Close,
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let event = prop_oneof![
            9 => Just(Event::Put),
            9 => Just(Event::Take),
            1 => Just(Event::End),
            1 => Just(Event::Close),
        ];
        proptest::collection::vec(event, 1..80)
    }

    proptest! {
        #[test]
        fn whatever_comes_it_agrees_with_a_list(events in events(), ahead in 1..5_usize) {
            let stream = Stream::new(ahead);
            let (mut model, mut state) = (VecDeque::new(), State::Open);
            for (number, event) in events.into_iter().enumerate() {
                match event {
                    Event::Put => {
                        let space = stream.space(|| latch());
                        let wanted = match state {
                            State::Open if model.len() < ahead => Space::Free,
                            State::Open => Space::Full,
                            _ => Space::Closed,
                        };
                        prop_assert_eq!(space, wanted);
                        if space == Space::Free {
                            prop_assert_eq!(stream.put(number), Ok(()));
                            model.push_back(number);
                        }
                    }
                    Event::Take => {
                        let wanted = match (model.pop_front(), state) {
                            (Some(item), _) => Next::Item(item),
                            (None, State::Open) => Next::Empty,
                            (None, State::Ended) => Next::Ended,
                            (None, State::Closed) => Next::Closed,
                        };
                        prop_assert_eq!(stream.take(nobody), wanted);
                    }
                    Event::End => {
                        stream.end();
                        if state == State::Open {
                            state = State::Ended;
                        }
                    }
                    Event::Close => {
                        prop_assert_eq!(stream.close(), Vec::from(std::mem::take(&mut model)));
                        state = State::Closed;
                    }
                }
                prop_assert!(model.len() <= ahead);
            }
        }
    }

    #[test]
    fn two_takers_share_the_items_of_a_producer_that_waits_for_them() {
        const ITEMS: u64 = 20_000;
        let stream = Stream::new(3);
        let taken = std::thread::scope(|scope| {
            let take = || {
                let mut mine = Vec::new();
                loop {
                    let waiter = latch();
                    match stream.take(|| Some(Arc::clone(&waiter) as _)) {
                        Next::Item(item) => mine.push(item),
                        Next::Empty => while waiter.wait(None) != Wait::Set {},
                        Next::Ended | Next::Closed => return mine,
                    }
                }
            };
            let takers = [scope.spawn(take), scope.spawn(take)];
            for item in 0..ITEMS {
                loop {
                    let waiter = latch();
                    match stream.space(|| Arc::clone(&waiter) as _) {
                        Space::Free => break,
                        Space::Full => while waiter.wait(None) != Wait::Set {},
                        Space::Closed => unreachable!("nobody closes it"),
                    }
                }
                assert_eq!(stream.put(item), Ok(()));
            }
            stream.end();
            takers.map(|taker| taker.join().expect("it never panics"))
        });
        for mine in &taken {
            assert!(mine.is_sorted());
        }
        let mut all = taken.concat();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..ITEMS));
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::engine::latch::{Latch, Wait};
    use loom::thread;

    type Shared = loom::sync::Arc<Stream<u8>>;

    fn latch() -> Arc<Latch> {
        Arc::default()
    }

    fn sleep(latch: &Latch) {
        while latch.wait(None) != Wait::Set {}
    }

    /// Puts items, waiting for room, until there are no more or the stream is closed.
    fn produce(stream: &Stream<u8>, items: u8) {
        for item in 0..items {
            loop {
                let waiter = latch();
                match stream.space(|| Arc::clone(&waiter) as _) {
                    Space::Free => break,
                    Space::Full => sleep(&waiter),
                    Space::Closed => return,
                }
            }
            if stream.put(item).is_err() {
                return;
            }
        }
        stream.end();
    }

    fn take_all(stream: &Stream<u8>) -> Vec<u8> {
        let mut taken = Vec::new();
        loop {
            let waiter = latch();
            match stream.take(|| Some(Arc::clone(&waiter) as _)) {
                Next::Item(item) => taken.push(item),
                Next::Empty => sleep(&waiter),
                Next::Ended | Next::Closed => return taken,
            }
        }
    }

    /// Looks at all histories in which no more than three threads lose the processor at a point where
    /// they could go on: all of them would take too long.
    #[test]
    fn loom_neither_side_is_left_asleep() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let stream = Shared::new(Stream::new(1));
            let producer = {
                let stream = Shared::clone(&stream);
                thread::spawn(move || produce(&stream, 2))
            };
            assert_eq!(take_all(&stream), [0, 1]);
            producer.join().unwrap();
        });
    }

    #[test]
    fn loom_closing_wakes_the_producer_that_waits_for_room() {
        loom::model(|| {
            let stream = Shared::new(Stream::new(1));
            let producer = {
                let stream = Shared::clone(&stream);
                thread::spawn(move || produce(&stream, 2))
            };
            drop(stream.close());
            producer.join().unwrap();
            assert_eq!(stream.take(|| None), Next::Closed);
        });
    }

    #[test]
    fn loom_closing_wakes_a_taker() {
        loom::model(|| {
            let stream = Shared::new(Stream::new(1));
            let taker = {
                let stream = Shared::clone(&stream);
                thread::spawn(move || take_all(&stream))
            };
            drop(stream.close());
            assert_eq!(taker.join().unwrap(), []);
        });
    }

    #[test]
    fn loom_an_abandoned_producer_does_not_wait() {
        loom::model(|| {
            let stream = Shared::new(Stream::new(1));
            let producer = {
                let stream = Shared::clone(&stream);
                thread::spawn(move || produce(&stream, 2))
            };
            if stream.abandon() {
                drop(stream.close());
            }
            producer.join().unwrap();
        });
    }
}
