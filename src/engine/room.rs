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

    /// Puts the message that waits, if it waits without a thread, where it has a place now. Called
    /// before `wake`, under the room's lock: must not use the room, and neither call Python nor drop
    /// anything. It turns the waiter's [`Seat`] into the place by [`Seat::enter`].
    fn enter(&self) {}

    /// Whether `enter` does anything.
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
        let mut inner = self.inner();
        if !inner.is_closed {
            inner.free = inner.free.checked_sub(1)?;
        }
        Some(Permit(Arc::clone(self)))
    }

    /// Queues for a place. `waiter` is woken when the place is granted, at once if one is free.
    #[must_use]
    pub fn queue(self: &Arc<Self>, waiter: Arc<dyn Wake>) -> Seat {
        let mut inner = self.inner();
        let ticket = inner.next_ticket;
        inner.next_ticket += 1;
        let is_granted = inner.is_closed || inner.free > 0;
        if is_granted {
            inner.free = inner.free.saturating_sub(1);
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
        if inner.is_closed || inner.free > 0 {
            inner.free = inner.free.saturating_sub(1);
            return Some(Permit(Arc::clone(self)));
        }
        let ticket = inner.next_ticket;
        inner.next_ticket += 1;
        let waiter = make(Seat {
            room: Arc::clone(self),
            ticket: Some(ticket),
        });
        inner.queue.insert(ticket, waiter);
        None
    }

    /// Lets in all messages that wait without a thread, though there is no room, because the mailbox
    /// is about to be closed. The caller must not hold a lock.
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

    /// Gives a place to the first waiter in the queue, or makes it free.
    fn release(&self) {
        let mut inner = self.inner();
        let next = inner.queue.pop_first();
        inner.free += usize::from(next.is_none());
        if let Some((_, waiter)) = &next {
            waiter.enter();
        }
        drop(inner);
        if let Some((_, waiter)) = next {
            waiter.wake();
        }
    }
}

/// A place in the room. Dropping it releases the place, which may wake a waiter: so it must not be
/// dropped under a lock.
pub struct Permit(Arc<Room>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.release();
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

    /// Turns the seat of a waiter that is being granted its place into that place. Only for
    /// [`Wake::enter`]. Takes no lock.
    #[must_use]
    pub fn enter(mut self) -> Permit {
        self.ticket = None;
        Permit(Arc::clone(&self.room))
    }

    fn take(&mut self) -> Option<Permit> {
        let ticket = self.ticket.take()?;
        let given_up = self.room.inner().queue.remove(&ticket);
        given_up.is_none().then(|| Permit(Arc::clone(&self.room)))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        drop(self.take());
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    #[derive(Default)]
    struct Flag(AtomicBool);

    impl Wake for Flag {
        fn wake(&self) {
            assert!(!self.0.swap(true, Ordering::SeqCst), "woken twice");
        }
    }

    fn room(size: usize) -> Arc<Room> {
        Arc::new(Room::new(size))
    }

    /// A waiter in the queue, and whether it has been woken.
    struct Waiting {
        seat: Seat,
        flag: Arc<Flag>,
    }

    impl Waiting {
        fn new(room: &Arc<Room>) -> Self {
            let flag = Arc::<Flag>::default();
            let seat = room.queue(Arc::clone(&flag) as _);
            Self { seat, flag }
        }

        fn is_woken(&self) -> bool {
            self.flag.0.load(Ordering::SeqCst)
        }
    }

    #[test]
    fn a_released_place_goes_to_the_waiter_that_has_waited_longest() {
        let room = room(1);
        let held = room.try_acquire().expect("it is free");
        assert!(room.try_acquire().is_none());
        let (first, second) = (Waiting::new(&room), Waiting::new(&room));
        assert!(room.has_waiters());
        drop(held);
        assert!(first.is_woken() && !second.is_woken());
        assert!(room.try_acquire().is_none(), "it is the first's");
        let held = first.seat.leave().expect("it was granted");
        drop(held);
        assert!(second.is_woken());
        drop(second);
        assert!(Waiting::new(&room).is_woken());
    }

    #[test]
    fn a_waiter_that_gave_up_is_passed_over() {
        let room = room(1);
        let held = room.try_acquire().expect("it is free");
        let waiting = [(); 3].map(|()| Waiting::new(&room));
        let [first, second, third] = waiting;
        assert!(second.seat.leave().is_none());
        drop(held);
        assert!(first.is_woken());
        // A place that was granted and is given up goes to the next one.
        drop(first);
        assert!(third.is_woken());
    }

    #[test]
    fn a_closed_room_lets_everybody_in() {
        let room = room(0);
        let waiting = Waiting::new(&room);
        room.close();
        assert!(waiting.is_woken());
        assert!(waiting.seat.leave().is_some());
        assert!(room.try_acquire().is_some());
        assert!(Waiting::new(&room).is_woken());
    }

    /// A waiter that enters by itself.
    #[derive(Default)]
    struct Entering {
        place: Mutex<Option<Seat>>,
        permit: Mutex<Option<Permit>>,
    }

    impl Wake for Entering {
        fn wake(&self) {
            assert!(self.permit.lock().is_some(), "it enters first");
        }

        fn enter(&self) {
            *self.permit.lock() = self.place.lock().take().map(Seat::enter);
        }

        fn enters(&self) -> bool {
            true
        }
    }

    fn entering(room: &Arc<Room>) -> Arc<Entering> {
        let entering = Arc::<Entering>::default();
        let waiter = Arc::clone(&entering);
        let permit = room.acquire_or_queue(|seat| {
            *waiter.place.lock() = Some(seat);
            waiter
        });
        *entering.permit.lock() = permit;
        entering
    }

    #[test]
    fn a_message_enters_by_itself_in_its_turn() {
        let room = room(1);
        let held = entering(&room);
        let first = Waiting::new(&room);
        let (second, third) = (entering(&room), entering(&room));
        drop(held.permit.lock().take().expect("there was room"));
        assert!(first.is_woken() && second.permit.lock().is_none());
        drop(first);
        assert!(second.permit.lock().is_some() && third.permit.lock().is_none());
        // What is cancelled gives up its turn.
        drop(third.place.lock().take());
        drop(second.permit.lock().take());
        assert!(!room.has_waiters());
        assert!(room.try_acquire().is_some());
    }

    #[test]
    fn before_the_end_the_waiting_messages_are_let_in_and_others_wait_on() {
        let room = room(0);
        let (blocked, waiting) = (Waiting::new(&room), entering(&room));
        room.let_in();
        assert!(waiting.permit.lock().is_some() && !blocked.is_woken());
        room.close();
        assert!(blocked.is_woken());
    }

    #[test]
    fn leaving_a_long_queue_does_not_look_at_all_of_it() {
        const WAITERS: usize = 200_000;
        let room = room(0);
        let mut waiting: VecDeque<_> = (0..WAITERS).map(|_| Waiting::new(&room)).collect();
        // The last one first: a search from the front would take 20 thousand million steps.
        while let Some(last) = waiting.pop_back() {
            assert!(last.seat.leave().is_none());
        }
        assert!(!room.has_waiters());
    }

    #[derive(Clone, Debug)]
    enum Step {
        Acquire,
        Release,
        GiveUp(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => Just(Step::Acquire),
            2 => Just(Step::Release),
            1 => (0..8_usize).prop_map(Step::GiveUp),
        ];
        proptest::collection::vec(step, 0..60)
    }

    proptest! {
        /// Compares with a plain queue, of which the first `size` have a place.
        #[test]
        fn it_is_a_queue_whose_first_have_places(size in 1..4_usize, steps in steps()) {
            let room = room(size);
            let mut held = Vec::new();
            let mut waiting: VecDeque<Waiting> = VecDeque::new();
            for step in steps {
                match step {
                    Step::Acquire => {
                        if let Some(permit) = room.try_acquire() {
                            held.push(permit);
                        } else {
                            prop_assert_eq!(held.len(), size);
                            waiting.push_back(Waiting::new(&room));
                        }
                    }
                    Step::Release => {
                        drop(held.pop());
                        if waiting.front().is_some_and(Waiting::is_woken) {
                            let first = waiting.pop_front().expect("looked at");
                            held.push(first.seat.leave().expect("it was granted"));
                        }
                    }
                    Step::GiveUp(at) => drop(waiting.remove(at)),
                }
                prop_assert!(waiting.iter().all(|waiting| !waiting.is_woken()));
                prop_assert_eq!(room.has_waiters(), !waiting.is_empty());
                prop_assert!(waiting.is_empty() || held.len() == size);
            }
        }
    }

    #[test]
    fn there_are_never_more_inside_than_there_is_room_for() {
        let room = room(3);
        let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        if let Some(permit) = room.try_acquire() {
                            let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
                            most.fetch_max(now, Ordering::SeqCst);
                            inside.fetch_sub(1, Ordering::SeqCst);
                            drop(permit);
                        }
                    }
                });
            }
        });
        assert!((1..=3).contains(&most.into_inner()));
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::engine::latch::Wait;
    use loom::thread;

    fn assert_one_place_is_free(room: &Arc<Room>) {
        let permit = room.try_acquire().expect("no place is lost");
        assert!(room.try_acquire().is_none(), "no place is made");
        drop(permit);
    }

    #[test]
    fn loom_a_waiter_gets_the_place_that_is_released() {
        loom::model(|| {
            let room = Arc::new(Room::new(1));
            let held = room.try_acquire().expect("it is free");
            let waiter = {
                let room = Arc::clone(&room);
                thread::spawn(move || {
                    let latch = Arc::new(Latch::default());
                    let seat = room.queue(Arc::clone(&latch) as _);
                    while latch.wait(None) != Wait::Set {}
                    drop(seat.leave().expect("it was granted"));
                })
            };
            drop(held);
            waiter.join().unwrap();
            assert_one_place_is_free(&room);
        });
    }

    #[test]
    fn loom_a_waiter_that_gives_up_loses_no_place_and_makes_none() {
        loom::model(|| {
            let room = Arc::new(Room::new(1));
            let held = room.try_acquire().expect("it is free");
            let latch = Arc::new(Latch::default());
            let seat = room.queue(Arc::clone(&latch) as _);
            let waiter = thread::spawn(move || drop(seat.leave()));
            drop(held);
            waiter.join().unwrap();
            assert_one_place_is_free(&room);
        });
    }
}
