//! How much each member of a pool of processes has to do, and which one gets the next message.
//!
//! A member's load is how many messages it has been sent and has not answered. Each is published by
//! its own link, under the lock of what that sends; others read it without a lock. A member handles a
//! fixed number of messages at a time, its places: one, or more if it is async. While its load is
//! smaller, it has a free place.
//!
//! Invariant at rest: while a member has a free place, no message that it may handle is in the mailbox,
//! and none has been sent to another member beyond the places of that.
//!
//! # Why no message is kept from a free place
//! A message without a key goes to a member with a free place, if there is one. A member without one
//! takes a message ahead only if no other has one: it publishes the load that it will have, then looks
//! at the others, and then takes the message, all of it under its lock. A member that gets a free place
//! publishes that first, then looks into the mailbox, and then at the loads of the others. From one that
//! has more messages than places it takes back, under the lock of that one, what has not begun. So
//! whichever of the two comes second sees the other.

#[cfg(loom)]
use loom::sync::atomic::{AtomicUsize, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicUsize, Ordering};

/// The load of a member that takes no messages now: it has no process, or that is being constructed,
/// or it is about to end.
pub const AWAY: usize = usize::MAX;

pub struct Loads {
    /// How many messages each handles at a time.
    places: usize,
    /// How many messages each has, or `AWAY`.
    current: Vec<AtomicUsize>,
    /// How many each may have beyond its places: those that begin within about a millisecond.
    ahead: Vec<AtomicUsize>,
}

impl Loads {
    /// The loads of so many members with so many places each, which are all away.
    pub fn new(members: usize, places: usize) -> Self {
        Self {
            places,
            current: (0..members).map(|_| AtomicUsize::new(AWAY)).collect(),
            ahead: (0..members).map(|_| AtomicUsize::new(0)).collect(),
        }
    }

    pub fn publish(&self, member: usize, load: usize) {
        self.current[member].store(load, Ordering::SeqCst);
    }

    pub fn set_ahead(&self, member: usize, ahead: usize) {
        // Relaxed: another thread may see the old one for a moment.
        self.ahead[member].store(ahead, Ordering::Relaxed);
    }

    /// How many messages the member may have.
    pub fn limit(&self, member: usize) -> usize {
        self.places + self.ahead[member].load(Ordering::Relaxed)
    }

    /// To see whether they have changed.
    pub fn limit_and_load(&self, member: usize) -> (usize, usize) {
        (self.limit(member), self.load(member))
    }

    fn load(&self, member: usize) -> usize {
        self.current[member].load(Ordering::SeqCst)
    }

    /// Whether a member that has `load` messages may take another one that any member may handle: it
    /// has a free place, or no other member has one. The caller must publish its load again, whether or
    /// not it takes one.
    pub fn may_take(&self, member: usize, load: usize) -> bool {
        if load < self.places {
            return true;
        }
        // Before it looks: a member that gets a free place later sees that there is something to take
        // back.
        self.publish(member, load + 1);
        !self.has_other_free(member)
    }

    /// Whether another member than this one has a free place.
    fn has_other_free(&self, member: usize) -> bool {
        (0..self.current.len()).any(|other| other != member && self.load(other) < self.places)
    }

    /// The other members that may have a message that they have not begun, the busiest first, for a
    /// member that has `load` messages: none if it has no free place.
    pub fn others_behind(&self, member: usize, load: usize) -> Vec<usize> {
        let most = match load {
            // An event loop that stands still does not begin what it has a place for.
            0 => 1,
            load if load < self.places => self.places,
            _ => return Vec::new(),
        };
        let others = (0..self.current.len()).filter(|other| *other != member);
        let others = others.map(|other| (self.load(other), other));
        let mut behind: Vec<_> = others
            .filter(|(load, _)| *load > most && *load < AWAY)
            .collect();
        behind.sort_unstable_by(|one, other| other.cmp(one));
        behind.into_iter().map(|(_, other)| other).collect()
    }

    /// Which member gets the next message, and how many it may have then: the one with the least to do,
    /// if that has a free place or may have one ahead, and has fewer than `most`. None of `refused`.
    pub fn choose(&self, most: usize, refused: &[usize]) -> Option<(usize, usize)> {
        let mut chosen = None;
        let mut least = most;
        for member in (0..self.current.len()).filter(|member| !refused.contains(member)) {
            match self.load(member) {
                0 => return Some((member, 1)),
                load if load < least.min(self.limit(member)) => {
                    least = load;
                    chosen = Some((member, load + 1));
                }
                _ => {}
            }
        }
        chosen
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn loads(places: usize, of: &[usize]) -> Loads {
        let loads = Loads::new(of.len(), places);
        for (member, load) in of.iter().enumerate() {
            loads.publish(member, *load);
            loads.set_ahead(member, 3);
        }
        loads
    }

    #[test]
    fn an_idle_member_is_chosen_and_else_the_one_with_the_least_to_do() {
        assert_eq!(loads(1, &[3, 0, 1]).choose(16, &[]), Some((1, 1)));
        assert_eq!(loads(1, &[3, 2, 3]).choose(16, &[]), Some((1, 3)));
        assert_eq!(loads(1, &[3, 2, 3]).choose(16, &[1]), Some((0, 4)));
        assert_eq!(loads(1, &[3, 2, 3]).choose(2, &[]), None);
        assert_eq!(loads(1, &[4, AWAY, 7]).choose(16, &[]), None);
        assert_eq!(loads(1, &[4, 0]).choose(16, &[1]), None);
        assert_eq!(loads(5, &[6, 4, 7]).choose(16, &[]), Some((1, 5)));
        assert_eq!(loads(5, &[7, 8, 9]).choose(16, &[]), Some((0, 8)));
        assert_eq!(loads(5, &[8, 8, 9]).choose(16, &[]), None);
    }

    #[test]
    fn those_that_are_away_have_no_free_place_and_are_not_behind() {
        let loads = loads(1, &[0, AWAY, 1, 9, 2]);
        assert!(!loads.has_other_free(0) && loads.has_other_free(2));
        assert_eq!(loads.others_behind(3, 0), [4]);
        assert_eq!(loads.others_behind(2, 0), [3, 4]);
        assert!(loads.others_behind(2, 1).is_empty());
    }

    #[test]
    fn a_member_with_a_free_place_takes_from_those_that_have_none() {
        let loads = loads(3, &[2, 3, 4, 5]);
        assert_eq!(loads.others_behind(0, 2), [3, 2]);
        assert!(loads.others_behind(0, 3).is_empty());
        assert_eq!(loads.others_behind(0, 0), [3, 2, 1], "one may stand still");
        assert!(loads.may_take(0, 2) && !loads.may_take(1, 3));
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::engine::mailbox::{Mailbox, Take};
    use crate::engine::sync::Mutex;
    use loom::sync::Arc;
    use loom::thread;

    /// Two members, each with what it has been sent. Those in its places run.
    struct Pool {
        loads: Loads,
        mailbox: Mailbox<u32>,
        sent: [Mutex<Vec<u32>>; 2],
    }

    impl Pool {
        /// As a link: sends while fewer than `limit` are in flight.
        fn pump(&self, member: usize, limit: usize) {
            let mut sent = self.sent[member].lock();
            while sent.len() < limit && self.loads.may_take(member, sent.len()) {
                let Take::Item(message) = self.mailbox.try_take() else {
                    break;
                };
                sent.push(message);
            }
            self.loads.publish(member, sent.len());
        }

        fn dispatch(&self) {
            let mut refused = Vec::new();
            while !self.mailbox.is_empty() {
                let Some((member, limit)) = self.loads.choose(16, &refused) else {
                    break;
                };
                self.pump(member, limit);
                refused.push(member);
            }
        }

        /// One of the member's messages has been answered.
        fn answer(&self, member: usize) {
            let places = self.loads.places;
            let mut sent = self.sent[member].lock();
            sent.remove(0);
            self.loads.publish(member, sent.len());
            drop(sent);
            self.pump(member, places + 3);
            let load = self.sent[member].lock().len();
            for other in self.loads.others_behind(member, load) {
                let mut sent = self.sent[other].lock();
                if sent.len() > places {
                    self.mailbox.put_first(sent.split_off(places));
                    self.loads.publish(other, sent.len());
                }
                drop(sent);
                self.dispatch();
            }
        }
    }

    /// One member runs messages for ever; the other answers one while messages are posted and the
    /// first wants more. At rest nothing waits in the mailbox or behind the first while the other has
    /// a free place.
    fn no_message_is_kept_from_a_free_place(places: usize) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(move || {
            let running = |from: u32| (from..).take(places).collect::<Vec<_>>();
            let pool = Arc::new(Pool {
                loads: Loads::new(2, places),
                mailbox: Mailbox::default(),
                sent: [Mutex::new(running(100)), Mutex::new(running(200))],
            });
            for member in 0..2 {
                pool.loads.publish(member, places);
                pool.loads.set_ahead(member, 3);
            }
            let poster = {
                let pool = Arc::clone(&pool);
                thread::spawn(move || {
                    pool.mailbox.put(1).expect("it is open");
                    pool.dispatch();
                })
            };
            let busy = {
                let pool = Arc::clone(&pool);
                thread::spawn(move || pool.pump(0, places + 3))
            };
            pool.answer(1);
            poster.join().unwrap();
            busy.join().unwrap();
            let (first, other) = (pool.sent[0].lock().len(), pool.sent[1].lock().len());
            let has_free_place = other < places;
            assert!(!has_free_place || (first == places && pool.mailbox.is_empty()));
        });
    }

    #[test]
    fn loom_no_message_is_kept_from_an_idle_member() {
        no_message_is_kept_from_a_free_place(1);
    }

    #[test]
    fn loom_no_message_is_kept_from_a_member_with_a_free_place_of_several() {
        no_message_is_kept_from_a_free_place(2);
    }
}
