//! A room's places and its queue, compared with a plain queue.

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
fn a_place_is_free_or_granted_before_the_waiter_is_woken() {
    let room = room(2);
    let first = room.try_acquire().expect("it is free");
    let second = room.try_acquire().expect("it is free");
    assert!(first.release().is_none());
    let first = room.try_acquire().expect("nobody waited for it");
    let waiting = Waiting::new(&room);
    let granted = second.release().expect("it was waited for");
    assert!(!waiting.is_woken() && !room.has_waiters());
    assert!(room.try_acquire().is_none(), "it is the waiter's");
    drop(granted);
    assert!(waiting.is_woken());
    drop(first);
    assert!(room.try_acquire().is_some());
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

/// Declines its place, as one does whose sender has gone.
#[derive(Default)]
struct Gone(Mutex<Option<Seat>>);

impl Wake for Gone {
    fn wake(&self) {
        drop(self.0.lock().take());
    }

    fn wake_or_decline(&self) -> bool {
        let seat = self.0.lock().take();
        seat.is_some_and(Seat::decline)
    }
}

#[test]
fn a_place_that_many_decline_goes_to_the_next_one() {
    let room = room(1);
    let held = room.try_acquire().expect("it is free");
    for _ in 0..100_000 {
        let gone = Arc::<Gone>::default();
        let seat = room.queue(Arc::clone(&gone) as _);
        *gone.0.lock() = Some(seat);
    }
    let last = Waiting::new(&room);
    drop(held);
    assert!(last.is_woken());
    assert!(room.try_acquire().is_none(), "it is the last one's");
    drop(last);
    assert!(room.try_acquire().is_some(), "and was not given twice");
}
