//! A stream's items, its ends and its wake-ups, compared with a list.

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
fn a_taker_is_seen_while_it_waits() {
    let stream = Stream::new(2);
    assert!(!stream.is_awaited());
    let waiter: Arc<dyn Wake> = latch();
    for _ in 0..2 {
        assert_eq!(stream.take(|| Some(Arc::clone(&waiter))), Next::Empty);
        assert!(stream.is_awaited());
        stream.leave(&waiter);
        assert!(!stream.is_awaited());
    }
    assert_eq!(stream.take(|| Some(waiter)), Next::Empty);
    assert_eq!(stream.put(0), Ok(()));
    assert!(!stream.is_awaited());
}

/// One whose `wake` runs Python code.
#[derive(Default)]
struct RunsPython(Latch);

impl Wake for RunsPython {
    fn wake(&self) {
        self.0.set();
    }

    fn runs_python(&self) -> bool {
        true
    }
}

#[test]
fn an_item_that_enters_under_a_lock_wakes_all_but_those_that_run_python_code() {
    let stream = Stream::new(2);
    let (threads, runs) = ([latch(), latch()], Arc::<RunsPython>::default());
    let [first, second] = threads.clone();
    let waiters: [Arc<dyn Wake>; 3] = [first, Arc::clone(&runs) as _, second];
    for waiter in waiters {
        assert_eq!(stream.take(|| Some(waiter)), Next::Empty);
    }
    let entered = stream.enter(0, 1).expect("open");
    assert!(threads.iter().all(|latch| latch.is_set()) && !runs.0.is_set());
    assert_eq!((entered.woken, entered.others.len()), (2, 1));
    entered.others[0].wake();
    assert!(runs.0.is_set());
    drop(stream.close());
    assert!(stream.enter(1, 1).is_err());
}

#[test]
fn what_was_forwarded_counts_until_it_is_confirmed() {
    let stream = Stream::new(2);
    for item in 0..2 {
        assert_eq!(stream.put_weighing(item, 10), Ok(()));
        assert_eq!(stream.forward(nobody), Next::Item((item, 10)));
    }
    let waiter = latch();
    assert_eq!(stream.space(|| Arc::clone(&waiter) as _), Space::Full);
    assert_eq!(stream.forward(|| Some(latch())), Next::Empty);
    assert!(stream.waits_for_taker(), "the relay takes nothing");
    assert_eq!((stream.forwarded(), stream.taken()), (2, 0));
    stream.confirm(10);
    assert!(waiter.is_set() && !stream.waits_for_taker());
    assert_eq!((stream.forwarded(), stream.taken()), (1, 1));
    assert_eq!(stream.space(|| latch()), Space::Free);
    assert_eq!(stream.put_weighing(2, MOST_WEIGHT), Ok(()));
    stream.confirm(10);
    assert_eq!(stream.forward(nobody), Next::Item((2, MOST_WEIGHT)));
    assert_eq!(stream.space(|| latch()), Space::Full, "it is heavy");
    assert!(stream.close().is_empty());
    // Too late, which does no harm.
    stream.confirm(MOST_WEIGHT);
    assert_eq!(stream.forwarded(), 0);
    assert_eq!(stream.forward(nobody), Next::Closed);
}

#[test]
fn takers_can_be_woken_by_another_than_the_one_that_puts() {
    let stream = Stream::new(2);
    let waiters = [latch(), latch()];
    for (waiter, item) in waiters.iter().zip([Some(1), None]) {
        assert_eq!(stream.take(|| Some(Arc::clone(waiter) as _)), Next::Empty);
        let takers = match item {
            Some(item) => stream.insert(item, 0).unwrap_or_default(),
            None => stream.finish(),
        };
        assert!(takers.len() == 1 && !waiter.is_set());
        for taker in takers {
            taker.wake();
        }
        assert!(waiter.is_set());
        _ = stream.take(nobody);
    }
    assert!(stream.finish().is_empty() && stream.insert(2, 0).is_err());
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
