//! The roster of a pool of threads: which members are idle, and how they are woken.
//!
//! Each member takes from a mailbox that all share, and from one of its own. It is idle if it has
//! looked, has found nothing, and could handle something: a thread then sleeps, an event loop may still
//! handle other messages. Invariant at rest: while a message is in the shared mailbox no member is
//! idle, and while one is in a member's own mailbox that member is not.
//!
//! # Why no message is left behind
//! A sender puts its message in first and then calls a member that is idle. A member becomes idle first
//! and then looks into both mailboxes once more before it sleeps. So whichever comes second sees the
//! other. A member that was called and has found something else passes the call on.

use std::sync::{Arc, OnceLock};

use super::mailbox::{Mailbox, Take};
use super::room::Wake;
use super::sync::{Condvar, Mutex};

pub struct Roster {
    inner: Mutex<Inner>,
    /// One for each member: wakes it when it has been called.
    bells: Vec<Bell>,
}

#[derive(Default)]
struct Bell {
    /// Wakes a thread.
    condvar: Condvar,
    /// Wakes an event loop. Set before the member looks for the first time.
    event_loop: OnceLock<Arc<dyn Wake>>,
}

impl Bell {
    /// The caller must not hold a lock.
    fn ring(&self) {
        match self.event_loop.get() {
            Some(event_loop) => event_loop.wake(),
            None => self.condvar.notify_one(),
        }
    }
}

struct Inner {
    /// The idle members, the last to become idle last.
    idle: Vec<usize>,
    is_idle: Vec<bool>,
    /// Which members have looked into the mailboxes after they became idle, and sleep.
    is_asleep: Vec<bool>,
    /// Which members were called and have not looked since then.
    is_called: Vec<bool>,
    /// How many messages each handled when it became idle.
    running: Vec<usize>,
}

impl Inner {
    /// Calls an idle member.
    fn call(&mut self, member: usize) -> bool {
        let was_idle = self.remove(member);
        self.is_called[member] |= was_idle;
        was_idle
    }

    fn remove(&mut self, member: usize) -> bool {
        let was_idle = std::mem::take(&mut self.is_idle[member]);
        if was_idle {
            self.idle.retain(|idle| *idle != member);
        }
        was_idle
    }

    /// The idle member with the least to do, and of several the last to become idle: its data may still
    /// be in a cache.
    fn freest(&self) -> Option<usize> {
        let last_first = self.idle.iter().rev();
        last_first
            .min_by_key(|member| self.running[**member])
            .copied()
    }
}

impl Roster {
    pub fn new(members: usize) -> Self {
        Self {
            inner: Mutex::new(Inner {
                idle: Vec::with_capacity(members),
                is_idle: vec![false; members],
                is_asleep: vec![false; members],
                is_called: vec![false; members],
                running: vec![0; members],
            }),
            bells: (0..members).map(|_| Bell::default()).collect(),
        }
    }

    /// Says how to wake a member that runs an event loop and takes by `try_take`. Call it once, before
    /// the member looks for the first time.
    pub fn wake_by(&self, member: usize, event_loop: Arc<dyn Wake>) {
        // It is called once, so `set` cannot fail.
        drop(self.bells[member].event_loop.set(event_loop));
    }

    /// Wakes an idle member, if there is one. Called when a message is in the shared mailbox. The
    /// caller must not hold a lock.
    pub fn call_any(&self) {
        let mut inner = self.inner.lock();
        let Some(member) = inner.freest() else {
            drop(inner);
            return self.ring_again();
        };
        // An event loop that handles messages may stand still in one of them. Then another one that has
        // a free place must get this message.
        let may_stand_still = inner.running[member] > 0;
        let others = if may_stand_still {
            std::mem::take(&mut inner.idle)
        } else {
            Vec::new()
        };
        inner.call(member);
        for other in &others {
            inner.call(*other);
        }
        drop(inner);
        self.bells[member].ring();
        for other in others.into_iter().filter(|other| *other != member) {
            self.bells[other].ring();
        }
    }

    /// A member that was called may not have been woken yet: the thread that does that may be
    /// interrupted by the handler of a signal, which is what calls this, and may wait for a message. An
    /// event loop that needs no wake-up ignores it.
    fn ring_again(&self) {
        for event_loop in self.bells.iter().filter_map(|bell| bell.event_loop.get()) {
            event_loop.wake();
        }
    }

    /// Wakes this member, if it is idle. Called when a message is in its own mailbox, and when a
    /// mailbox was closed. The caller must not hold a lock.
    pub fn call(&self, member: usize) {
        let was_idle = self.inner.lock().call(member);
        if was_idle {
            self.bells[member].ring();
        }
    }

    /// For a member: blocks until `take` has found something. `None` if nothing will come.
    ///
    /// `take` looks into both mailboxes, without blocking; `shares` says whether a message is in the
    /// shared one.
    pub fn take<T>(
        &self,
        member: usize,
        mut take: impl FnMut() -> Take<T>,
        shares: impl Fn() -> bool,
    ) -> Option<T> {
        let mut was_called = false;
        let found = loop {
            let found = take();
            if !matches!(found, Take::Empty) {
                break found;
            }
            self.become_idle(member, 0);
            let found = take();
            if !matches!(found, Take::Empty) {
                was_called = self.stop_idling(member);
                break found;
            }
            self.sleep(member);
            was_called = self.stop_idling(member);
        };
        self.pass_on(was_called, shares);
        match found {
            Take::Item(item) => Some(item),
            _ => None,
        }
    }

    /// Like `take`, for a member that must not block and has a free place: an event loop that handles
    /// `running` messages now. If this returns `Empty`, the member is idle, and woken when it is called.
    /// `sleep` is called before the last look: from then on the loop needs a wake-up.
    pub fn try_take<T>(
        &self,
        member: usize,
        running: usize,
        mut take: impl FnMut() -> Take<T>,
        shares: impl Fn() -> bool,
        sleep: impl FnOnce(),
    ) -> Take<T> {
        let mut was_called = self.stop_idling(member);
        let mut found = take();
        if matches!(found, Take::Empty) {
            sleep();
            self.become_idle(member, running);
            found = take();
            if matches!(found, Take::Empty) {
                return found;
            }
            was_called |= self.stop_idling(member);
        }
        self.pass_on(was_called, shares);
        found
    }

    /// A member has found something. The call may have been for a message that another one can have.
    fn pass_on(&self, was_called: bool, shares: impl Fn() -> bool) {
        if was_called && shares() {
            self.call_any();
        }
    }

    /// Whether the member sleeps until it is called. One that has found a message after it became idle
    /// does not.
    pub fn is_asleep(&self, member: usize) -> bool {
        let inner = self.inner.lock();
        inner.is_idle[member] && inner.is_asleep[member]
    }

    fn become_idle(&self, member: usize, running: usize) {
        let mut inner = self.inner.lock();
        inner.is_idle[member] = true;
        inner.running[member] = running;
        inner.idle.push(member);
    }

    /// The member looks, or has found something. Returns whether it was called while it was idle.
    fn stop_idling(&self, member: usize) -> bool {
        let mut inner = self.inner.lock();
        inner.remove(member);
        std::mem::take(&mut inner.is_called[member])
    }

    fn sleep(&self, member: usize) {
        let mut inner = self.inner.lock();
        inner.is_asleep[member] = true;
        while inner.is_idle[member] {
            inner = self.bells[member].condvar.wait(inner);
        }
        inner.is_asleep[member] = false;
    }
}

/// Takes from a member's own mailbox and from the shared one in turn, so that a flood in one does not
/// keep the messages of the other waiting.
pub struct Turns {
    own_first: bool,
}

impl Default for Turns {
    fn default() -> Self {
        Self { own_first: true }
    }
}

impl Turns {
    /// Never blocks. `Closed` if both are closed and empty.
    pub fn try_take<T>(&mut self, own: &Mailbox<T>, shared: &Mailbox<T>) -> Take<T> {
        self.try_take_from(own, Some(shared)).0
    }

    /// Like `try_take`, but without a `shared` mailbox that one counts as empty and open. Says which
    /// mailbox had the item.
    pub fn try_take_from<T>(
        &mut self,
        own: &Mailbox<T>,
        shared: Option<&Mailbox<T>>,
    ) -> (Take<T>, Turn) {
        let mut pair = [(Some(own), Turn::Own), (shared, Turn::Shared)];
        if !self.own_first {
            pair.reverse();
        }
        self.own_first = !self.own_first;
        let mut is_open = false;
        for (mailbox, turn) in pair {
            match mailbox.map_or(Take::Empty, Mailbox::try_take) {
                Take::Item(item) => return (Take::Item(item), turn),
                Take::Empty => is_open = true,
                Take::Closed => {}
            }
        }
        let nothing = if is_open { Take::Empty } else { Take::Closed };
        (nothing, Turn::Own)
    }
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    Own,
    Shared,
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
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
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    struct Pool {
        roster: Roster,
        shared: Mailbox<u32>,
        own: [Mailbox<u32>; 2],
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

    fn pool() -> Arc<Pool> {
        Arc::new(Pool {
            roster: Roster::new(2),
            shared: Mailbox::default(),
            own: [Mailbox::default(), Mailbox::default()],
        })
    }

    /// Each member takes one message and no more, as if it never came back from it. If a message
    /// stayed in the mailbox while a member slept, that member would sleep for ever.
    #[test]
    fn loom_no_message_is_in_the_mailbox_while_a_member_is_idle() {
        model(|| {
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

    /// A member that was called for a shared message may find one of its own, and not come back from
    /// that.
    #[test]
    fn loom_a_call_that_found_something_else_is_passed_on() {
        model(|| {
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

    #[test]
    fn loom_a_closed_pool_leaves_no_member_asleep() {
        model(|| {
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
}
