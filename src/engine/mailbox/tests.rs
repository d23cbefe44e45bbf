use super::*;
use crate::engine::latch::Latch;
use proptest::prelude::*;

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
fn closing_a_bounded_mailbox_wakes_senders_that_wait_for_room() {
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
fn void_items_are_swept_out_once_they_are_more_than_half() {
    let mailbox = Mailbox::default();
    let mut most = 0;
    for number in 0..10_000_u64 {
        // Of a hundred items, all but one are void as soon as they are inside.
        let swept = mailbox.sweep(number - number / 100, |item| item % 100 != 0);
        assert!(swept.iter().all(|item| item % 100 != 0));
        assert_eq!(mailbox.put(number), Ok(()));
        most = most.max(mailbox.inner.lock().items.len());
    }
    assert!(most <= 2 * 100 + 64, "{most}");
    let kept = mailbox.drain().into_iter().filter(|item| item % 100 == 0);
    assert!(kept.eq((0..10_000).step_by(100)));
}

#[test]
fn nothing_is_looked_at_while_little_is_void() {
    let mailbox = Mailbox::default();
    for number in 0..1_000 {
        assert_eq!(mailbox.put(number), Ok(()));
    }
    let looked_at = std::cell::Cell::new(0);
    for void in 0..500 {
        let swept = mailbox.sweep(void, |_| {
            looked_at.set(looked_at.get() + 1);
            true
        });
        assert!(swept.is_empty());
    }
    assert_eq!(looked_at.get(), 0);
    assert_eq!(mailbox.sweep(500, |number| *number < 400).len(), 400);
    assert_eq!(mailbox.try_take(), Take::Item(400));
}

#[test]
fn a_queue_that_was_long_gives_its_memory_back() {
    let mailbox = Mailbox::default();
    for number in 0..100_000 {
        assert_eq!(mailbox.put(number), Ok(()));
    }
    while mailbox.try_take() != Take::Empty {}
    assert!(mailbox.inner.lock().items.capacity() <= KEPT_CAPACITY);
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
    Drain,
    Close,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        8 => Just(Event::Put),
        4 => Just(Event::TryTake),
        3 => Just(Event::Take),
        1 => Just(Event::Drain),
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
                    let take = if number % 2 == 0 { Mailbox::poll } else { Mailbox::try_take };
                    prop_assert_eq!(take(&mailbox), expected);
                }
                Event::Take if is_open && model.is_empty() => {}
                Event::Take => prop_assert_eq!(mailbox.take(), model.pop_front()),
                Event::Drain => {
                    prop_assert_eq!(mailbox.drain(), std::mem::take(&mut model));
                }
                Event::Close => {
                    mailbox.close();
                    is_open = false;
                }
            }
            prop_assert_eq!(mailbox.is_closed(), !is_open);
        }
        prop_assert_eq!(mailbox.drain(), model);
    }
}

#[test]
fn a_mailbox_is_asleep_while_its_taker_sleeps_and_nothing_has_come() {
    let mailbox = Arc::new(Mailbox::new(None));
    assert!(!mailbox.is_asleep(), "nothing has come, but nobody takes");
    mailbox.put(1).expect("open");
    assert_eq!(mailbox.try_take(), Take::Item(1));
    assert!(!mailbox.is_asleep(), "the only message has been taken");
    let taker = std::thread::spawn({
        let mailbox = Arc::clone(&mailbox);
        move || [mailbox.take(), mailbox.take()]
    });
    while !mailbox.is_asleep() {
        std::thread::yield_now();
    }
    mailbox.put(2).expect("open");
    while !mailbox.is_asleep() {
        std::thread::yield_now();
    }
    mailbox.close();
    assert_eq!(taker.join().expect("no panic"), [Some(2), None]);
}
