//! The room of a bounded mailbox: how many more messages it may take, and who waits for that.
//!
//! Who posts enters, and waits if there is no room; who begins a message, or learns that it never
//! will begin, leaves. Invariant: while somebody waits no place is free, since a place that is left
//! goes to who has waited longest; so nobody overtakes, and no wake-up is lost.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Debug)]
pub struct Room<W> {
    size: usize,
    inner: Mutex<Inner<W>>,
}

#[derive(Debug)]
struct Inner<W> {
    free: usize,
    waiters: VecDeque<W>,
    /// Then everybody gets in: it is the mailbox that refuses.
    closed: bool,
}

impl<W> Room<W> {
    pub fn new(size: usize) -> Self {
        Self {
            size,
            inner: Mutex::new(Inner {
                free: size,
                waiters: VecDeque::new(),
                closed: false,
            }),
        }
    }

    pub fn size(&self) -> usize {
        self.size
    }

    fn inner(&self) -> MutexGuard<'_, Inner<W>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place if one is free. Never blocks.
    #[must_use]
    pub fn try_enter(&self) -> bool {
        let mut inner = self.inner();
        if inner.closed {
            return true;
        }
        let free = inner.free > 0;
        inner.free -= usize::from(free);
        free
    }

    /// Queues who waits for a place; handed back: a place was free, and is the caller's.
    pub fn wait(&self, waiter: W) -> Option<W> {
        let mut inner = self.inner();
        if inner.closed {
            return Some(waiter);
        }
        if inner.free > 0 {
            inner.free -= 1;
            return Some(waiter);
        }
        inner.waiters.push_back(waiter);
        None
    }

    pub fn has_waiters(&self) -> bool {
        !self.inner().waiters.is_empty()
    }

    /// Leaves a place. It is that of the one returned, who has to be told, or leave it in turn.
    #[must_use]
    pub fn leave(&self) -> Option<W> {
        let mut inner = self.inner();
        let next = inner.waiters.pop_front();
        inner.free += usize::from(next.is_none());
        next
    }

    /// Takes out who waits no longer.
    pub fn forget(&self, is_it: impl Fn(&W) -> bool) {
        let mut inner = self.inner();
        let at = inner.waiters.iter().position(is_it);
        let gone = at.and_then(|at| inner.waiters.remove(at));
        drop(inner);
        drop(gone);
    }

    /// Lets everybody in, and returns who waited: they have to be told.
    #[must_use]
    pub fn close(&self) -> VecDeque<W> {
        let mut inner = self.inner();
        inner.closed = true;
        std::mem::take(&mut inner.waiters)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn a_place_that_is_left_goes_to_who_has_waited_longest() {
        let room = Room::new(1);
        assert!(room.try_enter());
        assert!(!room.try_enter());
        assert_eq!(room.wait(1), None);
        assert_eq!(room.wait(2), None);
        assert!(room.has_waiters());
        assert_eq!(room.leave(), Some(1));
        assert!(!room.try_enter(), "it is that of 1");
        assert_eq!(room.leave(), Some(2));
        assert_eq!(room.leave(), None);
        assert_eq!(room.wait(3), Some(3));
    }

    #[test]
    fn who_waits_no_longer_is_passed_over() {
        let room = Room::new(0);
        for waiter in 1..=3 {
            assert_eq!(room.wait(waiter), None);
        }
        room.forget(|waiter| *waiter == 2);
        room.forget(|waiter| *waiter == 7);
        assert_eq!(
            [room.leave(), room.leave(), room.leave()],
            [Some(1), Some(3), None]
        );
    }

    #[test]
    fn a_closed_room_lets_everybody_in() {
        let room = Room::new(0);
        assert_eq!(room.wait(1), None);
        assert_eq!(room.close(), [1]);
        assert!(room.try_enter());
        assert_eq!(room.wait(2), Some(2));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Enter,
        Leave,
        GiveUp(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => Just(Step::Enter),
            2 => Just(Step::Leave),
            1 => (0..8_usize).prop_map(Step::GiveUp),
        ];
        proptest::collection::vec(step, 0..60)
    }

    proptest! {
        /// Against a queue of numbers: the first `size` of those who want in are in.
        #[test]
        fn it_is_a_queue_whose_first_are_inside(size in 1..4_usize, steps in steps()) {
            let room = Room::new(size);
            let mut inside = 0;
            let mut waiting = VecDeque::new();
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Enter if room.try_enter() => inside += 1,
                    Step::Enter => {
                        prop_assert_eq!(inside, size);
                        prop_assert_eq!(room.wait(number), None);
                        waiting.push_back(number);
                    }
                    Step::Leave if inside > 0 => {
                        let next = room.leave();
                        prop_assert_eq!(next, waiting.pop_front());
                        inside -= usize::from(next.is_none());
                    }
                    Step::GiveUp(at) if at < waiting.len() => {
                        let gone = waiting.remove(at);
                        room.forget(|waiter| Some(*waiter) == gone);
                    }
                    Step::Leave | Step::GiveUp(_) => {}
                }
                prop_assert_eq!(room.has_waiters(), !waiting.is_empty());
            }
        }
    }

    #[test]
    fn there_are_never_more_inside_than_there_is_room_for() {
        let room = Room::new(3);
        let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        if room.try_enter() {
                            let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
                            most.fetch_max(now, Ordering::SeqCst);
                            inside.fetch_sub(1, Ordering::SeqCst);
                            assert_eq!(room.leave(), None::<u8>);
                        }
                    }
                });
            }
        });
        assert!((1..=3).contains(&most.into_inner()));
    }
}
