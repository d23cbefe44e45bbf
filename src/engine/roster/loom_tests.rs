use super::*;
use crate::engine::mailbox::Mailbox;
use loom::sync::Arc;
use loom::thread;

struct Pool {
    roster: Roster,
    shared: Mailbox<u32>,
    own: Vec<Mailbox<u32>>,
}

impl Pool {
    fn take(&self, member: usize) -> Option<u32> {
        let mut turns = Turns::default();
        let (own, shared) = (&self.own[member], &self.shared);
        self.roster.take(
            member,
            || turns.try_take(own, shared),
            || !shared.is_empty(),
        )
    }

    fn post(&self, message: u32) {
        self.shared.put(message).expect("it is open");
        self.roster.call_any();
    }
}

/// Looks at all histories in which no more than three threads lose the processor at a point where
/// they could go on: all of them would take hours.
fn model(history: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(history);
}

fn pool_of(members: usize) -> Arc<Pool> {
    Arc::new(Pool {
        roster: Roster::new(members),
        shared: Mailbox::default(),
        own: (0..members).map(|_| Mailbox::default()).collect(),
    })
}

fn pool() -> Arc<Pool> {
    pool_of(2)
}

/// Its last messages were quick, so one idle member is the lookout.
fn quick_pool() -> Arc<Pool> {
    let pool = pool();
    pool.roster.ended(1);
    pool
}

/// Each member takes one message and no more, as if it never came back from it. If a message
/// stayed in the mailbox while a member slept, that member would sleep for ever.
fn no_message_is_in_the_mailbox_while_a_member_is_idle(pool: fn() -> Arc<Pool>) {
    model(move || {
        let pool = pool();
        let members = [0, 1].map(|member| {
            let pool = Arc::clone(&pool);
            thread::spawn(move || pool.take(member))
        });
        pool.post(1);
        pool.post(2);
        let [one, other] = members.map(|member| member.join().unwrap());
        assert_eq!(one.zip(other).map(|(a, b)| a + b), Some(3));
    });
}

#[test]
fn loom_no_message_is_in_the_mailbox_while_a_member_is_idle() {
    no_message_is_in_the_mailbox_while_a_member_is_idle(pool);
}

#[test]
fn loom_no_message_is_left_behind_one_that_only_seemed_quick() {
    no_message_is_in_the_mailbox_while_a_member_is_idle(quick_pool);
}

/// The lookout that finds a message calls the others.
#[test]
fn loom_a_lookout_does_not_keep_messages_from_other_members() {
    // With four threads three preemptions would take too long.
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let pool = pool_of(3);
        pool.roster.ended(1);
        let members = [0, 1, 2].map(|member| {
            let pool = Arc::clone(&pool);
            thread::spawn(move || pool.take(member))
        });
        (1..=3).for_each(|message| pool.post(message));
        let taken = members.map(|member| member.join().unwrap());
        assert_eq!(taken.iter().flatten().sum::<u32>(), 6);
    });
}

/// A member that was called for a shared message may find one of its own, and not come back from
/// that.
fn a_call_that_found_something_else_is_passed_on(pool: fn() -> Arc<Pool>) {
    model(move || {
        let pool = pool();
        let first = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || {
                let mut had_shared = false;
                while pool.take(0) == Some(1) {
                    had_shared = true;
                }
                had_shared
            })
        };
        let second = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || pool.take(1))
        };
        pool.post(1);
        pool.own[0].put(10).expect("it is open");
        pool.roster.call(0);
        let first_had_shared = first.join().unwrap();
        if first_had_shared {
            pool.own[1].put(11).expect("it is open");
            pool.roster.call(1);
        }
        // If the first did not have it, nothing wakes the second but the call that was passed on.
        let expected = if first_had_shared { 11 } else { 1 };
        assert_eq!(second.join().unwrap(), Some(expected));
    });
}

#[test]
fn loom_a_call_that_found_something_else_is_passed_on() {
    a_call_that_found_something_else_is_passed_on(pool);
}

#[test]
fn loom_a_lookout_that_found_something_else_passes_that_on() {
    a_call_that_found_something_else_is_passed_on(quick_pool);
}

/// An event loop that handles a message and has one free place.
struct EventLoop {
    member: usize,
    is_woken: Arc<(Mutex<bool>, Condvar)>,
}

struct Rings(Arc<(Mutex<bool>, Condvar)>);

impl Wake for Rings {
    fn wake(&self) {
        *self.0.0.lock() = true;
        self.0.1.notify_one();
    }
}

impl EventLoop {
    fn new(pool: &Pool, member: usize) -> Self {
        let is_woken = Arc::new((Mutex::new(false), Condvar::new()));
        let rings = Rings(Arc::clone(&is_woken));
        pool.roster.wake_by(member, std::sync::Arc::new(rings));
        Self { member, is_woken }
    }

    fn take(&self, pool: &Pool) -> Option<u32> {
        let mut turns = Turns::default();
        let (own, shared) = (&pool.own[self.member], &pool.shared);
        loop {
            let take = || turns.try_take(own, shared);
            let shares = || !shared.is_empty();
            match pool.roster.try_take(self.member, 1, take, shares, || ()) {
                Take::Item(item) => return Some(item),
                Take::Closed => return None,
                Take::Empty => {}
            }
            let (is_woken, bell) = &*self.is_woken;
            let mut is_woken = is_woken.lock();
            while !*is_woken {
                is_woken = bell.wait(is_woken);
            }
            *is_woken = false;
        }
    }
}

#[test]
fn loom_no_message_is_in_the_mailbox_while_an_event_loop_has_a_free_place() {
    model(|| {
        let pool = pool();
        let loops = [0, 1].map(|member| {
            let (pool, one) = (Arc::clone(&pool), EventLoop::new(&pool, member));
            thread::spawn(move || one.take(&pool))
        });
        pool.post(1);
        pool.post(2);
        let [one, other] = loops.map(|one| one.join().unwrap());
        assert_eq!(one.zip(other).map(|(a, b)| a + b), Some(3));
    });
}

/// The first takes its own message, and then has no free place.
#[test]
fn loom_an_event_loop_that_was_called_and_found_something_else_passes_the_call_on() {
    model(|| {
        let pool = pool();
        let first = {
            let (pool, one) = (Arc::clone(&pool), EventLoop::new(&pool, 0));
            thread::spawn(move || {
                let mut had_shared = false;
                while one.take(&pool) == Some(1) {
                    had_shared = true;
                }
                had_shared
            })
        };
        let second = {
            let (pool, one) = (Arc::clone(&pool), EventLoop::new(&pool, 1));
            thread::spawn(move || one.take(&pool))
        };
        pool.post(1);
        pool.own[0].put(10).expect("it is open");
        pool.roster.call(0);
        let first_had_shared = first.join().unwrap();
        if first_had_shared {
            pool.own[1].put(11).expect("it is open");
            pool.roster.call(1);
        }
        let expected = if first_had_shared { 11 } else { 1 };
        assert_eq!(second.join().unwrap(), Some(expected));
    });
}

fn a_closed_pool_leaves_no_member_asleep(pool: fn() -> Arc<Pool>) {
    model(move || {
        let pool = pool();
        let members = [0, 1].map(|member| {
            let pool = Arc::clone(&pool);
            thread::spawn(move || while pool.take(member).is_some() {})
        });
        pool.post(1);
        pool.shared.close();
        for (member, own) in pool.own.iter().enumerate() {
            own.close();
            pool.roster.call(member);
        }
        for member in members {
            member.join().unwrap();
        }
    });
}

#[test]
fn loom_a_closed_pool_leaves_no_member_asleep() {
    a_closed_pool_leaves_no_member_asleep(pool);
}

#[test]
fn loom_a_closed_pool_leaves_no_lookout_asleep() {
    a_closed_pool_leaves_no_member_asleep(quick_pool);
}
