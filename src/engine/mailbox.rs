//! The mailbox: what is posted and not begun, first in, first out.
//!
//! Any thread puts; the engine takes. Closing it refuses what comes later and keeps what is inside,
//! so an engine that takes until [`Take::Closed`] has drained it. A bounded one has a [`Room`], in which
//! a sender has acquired a place before it puts.

use crossbeam_channel::{Receiver, Sender, TryRecvError, unbounded};
use std::sync::{Arc, Mutex, PoisonError};

use super::room::Room;

#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Take<T> {
    Item(T),
    Empty,
    /// Empty, and nothing will come.
    Closed,
}

/// Invariant: the sender is there if and only if the mailbox is open, and it is used under the
/// lock alone, so after `close` returns nothing more gets in.
pub struct Mailbox<T> {
    gate: Mutex<Option<Sender<T>>>,
    queue: Receiver<T>,
    room: Option<Arc<Room>>,
}

impl<T> Default for Mailbox<T> {
    fn default() -> Self {
        let (sender, queue) = unbounded();
        Self {
            gate: Mutex::new(Some(sender)),
            queue,
            room: None,
        }
    }
}

impl<T> Mailbox<T> {
    /// One for at most `size` messages that have not begun; `None`: without a bound.
    pub fn new(size: Option<usize>) -> Self {
        Self {
            room: size.map(|size| Arc::new(Room::new(size))),
            ..Self::default()
        }
    }

    pub fn room(&self) -> Option<&Arc<Room>> {
        self.room.as_ref()
    }

    /// Never blocks. A closed mailbox hands the item back.
    pub fn put(&self, item: T) -> Result<(), T> {
        let gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        match gate.as_ref() {
            Some(sender) => sender.send(item).map_err(|refused| refused.0),
            None => Err(item),
        }
    }

    /// Refuses what comes later. Senders that wait for room wake, to be refused: call it holding no
    /// lock.
    pub fn close(&self) {
        let sender = self
            .gate
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        // Dropped outside the lock: it wakes the taker.
        drop(sender);
        if let Some(room) = &self.room {
            room.close();
        }
    }

    pub fn is_closed(&self) -> bool {
        self.gate
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_none()
    }

    /// Whether nothing is inside; another thread may put something there at any moment.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub fn try_take(&self) -> Take<T> {
        match self.queue.try_recv() {
            Ok(item) => Take::Item(item),
            Err(TryRecvError::Empty) => Take::Empty,
            Err(TryRecvError::Disconnected) => Take::Closed,
        }
    }

    /// Blocks until there is an item; `None` once it is closed and empty.
    pub fn take(&self) -> Option<T> {
        self.queue.recv().ok()
    }

    /// What is inside now, taken out one by one.
    pub fn drain(&self) -> impl Iterator<Item = T> + '_ {
        self.queue.try_iter()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::engine::latch::Latch;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    #[test]
    fn a_closed_mailbox_refuses_but_keeps_what_it_has() {
        let mailbox = Mailbox::default();
        assert_eq!(mailbox.try_take(), Take::Empty);
        assert_eq!(mailbox.put(1), Ok(()));
        assert_eq!(mailbox.put(2), Ok(()));
        mailbox.close();
        assert!(mailbox.is_closed());
        assert_eq!(mailbox.put(3), Err(3));
        assert_eq!(mailbox.take(), Some(1));
        assert_eq!(mailbox.try_take(), Take::Item(2));
        assert_eq!(mailbox.try_take(), Take::Closed);
        assert_eq!(mailbox.take(), None);
    }

    #[test]
    fn closing_wakes_the_taker() {
        let mailbox = Mailbox::<u8>::default();
        std::thread::scope(|scope| {
            let taker = scope.spawn(|| mailbox.take());
            mailbox.close();
            assert_eq!(taker.join().expect("the taker never panics"), None);
        });
    }

    #[test]
    fn closing_a_bounded_mailbox_wakes_who_waits_for_room() {
        let mailbox = Mailbox::new(Some(1));
        let room = mailbox.room().expect("it has a bound");
        let _held = room.try_acquire().expect("it is free");
        let latch = Arc::new(Latch::default());
        let _seat = room.queue(Arc::clone(&latch) as _);
        mailbox.close();
        assert!(latch.is_set());
        assert!(room.try_acquire().is_some(), "the mailbox is what refuses");
        assert_eq!(mailbox.put(8), Err(8));
    }

    #[test]
    fn the_order_of_every_sender_is_kept() {
        let mailbox = Mailbox::default();
        std::thread::scope(|scope| {
            for sender in 0..4 {
                let mailbox = &mailbox;
                scope.spawn(move || {
                    (0..1_000).for_each(|n| mailbox.put((sender, n)).expect("open"));
                });
            }
        });
        let mut seen = [0; 4];
        for (sender, n) in mailbox.drain() {
            assert_eq!(seen[sender], n);
            seen[sender] += 1;
        }
        assert_eq!(seen, [1_000; 4]);
    }

    #[derive(Clone, Debug)]
    enum Event {
        Put,
        TryTake,
        /// Not where it would block.
        Take,
        Drain(usize),
        Close,
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let event = prop_oneof![
            8 => Just(Event::Put),
            4 => Just(Event::TryTake),
            3 => Just(Event::Take),
            1 => (0..5_usize).prop_map(Event::Drain),
            1 => Just(Event::Close),
        ];
        proptest::collection::vec(event, 1..100)
    }

    proptest! {
        #[test]
        fn whatever_comes_it_agrees_with_a_list(events in events()) {
            let mailbox = Mailbox::default();
            let mut model = VecDeque::new();
            let mut is_open = true;
            for (number, event) in events.into_iter().enumerate() {
                match event {
                    Event::Put => {
                        prop_assert_eq!(mailbox.put(number).is_ok(), is_open);
                        model.extend(is_open.then_some(number));
                    }
                    Event::TryTake => {
                        let expected = match model.pop_front() {
                            Some(item) => Take::Item(item),
                            None if is_open => Take::Empty,
                            None => Take::Closed,
                        };
                        prop_assert_eq!(mailbox.try_take(), expected);
                    }
                    Event::Take if is_open && model.is_empty() => {}
                    Event::Take => prop_assert_eq!(mailbox.take(), model.pop_front()),
                    Event::Drain(count) => {
                        for item in mailbox.drain().take(count) {
                            prop_assert_eq!(Some(item), model.pop_front());
                        }
                    }
                    Event::Close => {
                        mailbox.close();
                        is_open = false;
                    }
                }
                prop_assert_eq!(mailbox.is_closed(), !is_open);
            }
            prop_assert_eq!(mailbox.drain().collect::<VecDeque<_>>(), model);
        }
    }
}
