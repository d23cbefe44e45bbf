use super::*;
use crate::engine::mailbox::Mailbox;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn a_flood_in_one_mailbox_does_not_keep_the_other_waiting() {
    let (own, shared) = (Mailbox::default(), Mailbox::default());
    for number in 0..10 {
        own.put(("own", number)).expect("it is open");
        shared.put(("shared", number)).expect("it is open");
    }
    let mut turns = Turns::default();
    let taken: Vec<_> = (0..20)
        .map(|_| match turns.try_take(&own, &shared) {
            Take::Item((which, _)) => which,
            _ => "nothing",
        })
        .collect();
    for pair in taken.chunks(2) {
        assert!(pair.contains(&"own") && pair.contains(&"shared"));
    }
    assert_eq!(turns.try_take(&own, &shared), Take::Empty);
    own.close();
    assert_eq!(turns.try_take(&own, &shared), Take::Empty);
    shared.close();
    assert_eq!(turns.try_take(&own, &shared), Take::Closed);
}

struct Rings(AtomicUsize);

impl Wake for Rings {
    fn wake(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn of_event_loops_the_one_with_the_least_to_do_is_called_and_all_if_it_has_something_to_do() {
    let roster = Roster::new(3);
    let rings: Vec<_> = (0..3).map(|_| Arc::new(Rings(0.into()))).collect();
    let look = |member, running| {
        let found = roster.try_take(member, running, || Take::<()>::Empty, || false, || ());
        assert_eq!(found, Take::Empty);
    };
    let rung = || -> Vec<_> {
        let rings = rings.iter();
        rings.map(|one| one.0.swap(0, Ordering::SeqCst)).collect()
    };
    for (member, running) in [2, 0, 1].into_iter().enumerate() {
        roster.wake_by(member, Arc::clone(&rings[member]) as _);
        look(member, running);
    }
    roster.call_any();
    assert_eq!(rung(), [0, 1, 0]);
    roster.call_any();
    assert_eq!(rung(), [1, 0, 1], "the freest may stand still");
    roster.call(1);
    assert_eq!(rung(), [0, 0, 0], "it was called before");
    look(1, 0);
    roster.call(1);
    assert_eq!(rung(), [0, 1, 0]);
}

#[test]
fn a_member_that_finds_a_message_after_it_became_idle_is_not_asleep() {
    let roster = Roster::new(1);
    let mut looks = 0;
    let mut look = || {
        looks += 1;
        assert!(!roster.is_asleep(0), "look {looks}");
        if looks < 3 {
            Take::Empty
        } else {
            Take::Item(7)
        }
    };
    std::thread::scope(|scope| {
        let member = scope.spawn(|| roster.take(0, &mut look, || false));
        while !roster.is_asleep(0) {
            std::thread::yield_now();
        }
        roster.call(0);
        assert_eq!(member.join().expect("no panic"), Some(7));
    });
    assert!(!roster.is_asleep(0), "it has been called");
}

/// A pool whose last messages were quick, and whose members are idle.
fn quick_roster(members: usize) -> Roster {
    let roster = Roster::new(members);
    roster.ended(1);
    (0..members).for_each(|member| roster.become_idle(member, 0));
    roster
}

#[test]
fn while_messages_are_quick_one_member_is_called_and_another_is_the_lookout() {
    let roster = quick_roster(3);
    let state = || {
        let inner = roster.inner.lock();
        (inner.idle.clone(), inner.lookout)
    };
    roster.call_any();
    assert_eq!(state(), (vec![0, 1], None), "nobody was at work");
    for _ in 0..3 {
        roster.call_any();
        assert_eq!(state(), (vec![0, 1], Some(1)));
    }
    roster.call(1);
    assert_eq!(state(), (vec![0], None));
    assert!(
        roster.stop_idling(1),
        "it passes on what it was to look for"
    );
    roster.call_any();
    assert_eq!(state(), (vec![0], Some(0)));
    (1..3).for_each(|member| roster.become_idle(member, 0));
    roster.call_any();
    assert_eq!(state(), (vec![0, 1], Some(0)), "nobody was at work");
    roster.rely_on_nobody();
    roster.call_any();
    assert_eq!(state(), (vec![0], Some(0)), "messages may be slow now");
}

#[test]
fn messages_that_do_not_end_leave_no_message_behind_them() {
    const MEMBERS: usize = 4;
    for _ in 0..20 {
        let (roster, shared) = (Roster::new(MEMBERS), Mailbox::default());
        roster.ended(1);
        let all_have_one = std::sync::Barrier::new(MEMBERS);
        std::thread::scope(|scope| {
            for member in 0..MEMBERS {
                let (roster, shared, all_have_one) = (&roster, &shared, &all_have_one);
                scope.spawn(move || {
                    let found = roster.take(member, || shared.try_take(), || !shared.is_empty());
                    assert!(found.is_some());
                    all_have_one.wait();
                });
            }
            for n in 0..MEMBERS {
                shared.put(n).expect("it is open");
                roster.call_any();
            }
        });
    }
}

#[test]
fn every_message_is_taken_once_by_whoever_may_have_it() {
    const MEMBERS: usize = 3;
    const MESSAGES: usize = 30_000;
    let (roster, shared) = (Roster::new(MEMBERS), Mailbox::default());
    let own: Vec<Mailbox<usize>> = (0..MEMBERS).map(|_| Mailbox::default()).collect();
    let taken: Vec<AtomicUsize> = (0..MESSAGES).map(|_| AtomicUsize::new(0)).collect();
    std::thread::scope(|scope| {
        for member in 0..MEMBERS {
            let (roster, shared, own, taken) = (&roster, &shared, &own[member], &taken);
            scope.spawn(move || {
                let mut turns = Turns::default();
                let mut take = || turns.try_take(own, shared);
                while let Some(n) = roster.take(member, &mut take, || !shared.is_empty()) {
                    assert!(n % 2 == 0 || n / 2 % MEMBERS == member);
                    taken[n].fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        for n in 0..MESSAGES {
            if n % 2 == 0 {
                shared.put(n).expect("it is open");
                roster.call_any();
            } else {
                own[n / 2 % MEMBERS].put(n).expect("it is open");
                roster.call(n / 2 % MEMBERS);
            }
            if n % 64 == 0 {
                std::thread::yield_now();
            }
        }
        shared.close();
        own.iter().for_each(Mailbox::close);
        (0..MEMBERS).for_each(|member| roster.call(member));
    });
    assert!(taken.iter().all(|times| times.load(Ordering::SeqCst) == 1));
}
