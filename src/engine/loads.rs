//! How much each member of a pool of processes has to do, and which one gets the next message.
//!
//! A member's load is how many messages it has been sent and has not answered. Each is published by
//! its own link, under the lock of what that sends; others read it without a lock.
//!
//! # Why no message is kept from an idle member
//! A message without a key goes to an idle member, if there is one. A member that is busy takes one
//! ahead only if no other is idle: it publishes the load that it will have, then looks at the others,
//! and then takes the message, all of it under its lock. A member that becomes idle publishes that
//! first, then looks into the mailbox, and then at the loads of the others. From one that has more than
//! one message it takes back, under the lock of that one, what has not begun. So whichever of the two
//! comes second sees the other.

#[cfg(loom)]
use loom::sync::atomic::{AtomicUsize, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicUsize, Ordering};

/// The load of a member that takes no messages now: it has no process, or that is being constructed,
/// or it is about to end.
pub const AWAY: usize = usize::MAX;

pub struct Loads {
    loads: Vec<AtomicUsize>,
    /// How many messages each may have: one, and those that begin within about a millisecond.
    limits: Vec<AtomicUsize>,
}

impl Loads {
    /// The loads of so many members, which are all away.
    pub fn new(members: usize) -> Self {
        Self {
            loads: (0..members).map(|_| AtomicUsize::new(AWAY)).collect(),
            limits: (0..members).map(|_| AtomicUsize::new(1)).collect(),
        }
    }

    pub fn publish(&self, member: usize, load: usize) {
        self.loads[member].store(load, Ordering::SeqCst);
    }

    pub fn set_limit(&self, member: usize, limit: usize) {
        // Relaxed: another thread may see the old one for a moment.
        self.limits[member].store(limit, Ordering::Relaxed);
    }

    pub fn limit(&self, member: usize) -> usize {
        self.limits[member].load(Ordering::Relaxed)
    }

    /// To see whether they have changed.
    pub fn limit_and_load(&self, member: usize) -> (usize, usize) {
        (self.limit(member), self.load(member))
    }

    fn load(&self, member: usize) -> usize {
        self.loads[member].load(Ordering::SeqCst)
    }

    /// Whether a member that has `load` messages may take another one that any member may handle: no
    /// other member is idle. The caller must publish its load again, whether or not it takes one.
    pub fn may_take_ahead(&self, member: usize, load: usize) -> bool {
        // Before it looks: a member that becomes idle later sees that there is something to take back.
        self.publish(member, load + 1);
        !self.is_other_idle(member)
    }

    /// Whether another member than this one is idle.
    fn is_other_idle(&self, member: usize) -> bool {
        (0..self.loads.len()).any(|other| other != member && self.load(other) == 0)
    }

    /// The other members that may have a message that they have not begun, the busiest first.
    pub fn others_behind(&self, member: usize) -> Vec<usize> {
        let others = (0..self.loads.len()).filter(|other| *other != member);
        let others = others.map(|other| (self.load(other), other));
        let mut behind: Vec<_> = others
            .filter(|(load, _)| (2..AWAY).contains(load))
            .collect();
        behind.sort_unstable_by(|one, other| other.cmp(one));
        behind.into_iter().map(|(_, other)| other).collect()
    }

    /// Which member gets the next message, and how many it may have then: one that is idle, or else
    /// the one with the least to do that may have one ahead, and fewer than `most`. None of `refused`.
    pub fn choose(&self, most: usize, refused: &[usize]) -> Option<(usize, usize)> {
        let mut chosen = None;
        let mut least = most;
        for member in (0..self.loads.len()).filter(|member| !refused.contains(member)) {
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

    fn loads(of: &[usize]) -> Loads {
        let loads = Loads::new(of.len());
        for (member, load) in of.iter().enumerate() {
            loads.publish(member, *load);
            loads.set_limit(member, 4);
        }
        loads
    }

    #[test]
    fn an_idle_member_is_chosen_and_else_the_one_with_the_least_to_do() {
        assert_eq!(loads(&[3, 0, 1]).choose(16, &[]), Some((1, 1)));
        assert_eq!(loads(&[3, 2, 3]).choose(16, &[]), Some((1, 3)));
        assert_eq!(loads(&[3, 2, 3]).choose(16, &[1]), Some((0, 4)));
        assert_eq!(loads(&[3, 2, 3]).choose(2, &[]), None);
        assert_eq!(loads(&[4, AWAY, 7]).choose(16, &[]), None);
        assert_eq!(loads(&[4, 0]).choose(16, &[1]), None);
    }

    #[test]
    fn those_that_are_away_are_neither_idle_nor_behind() {
        let loads = loads(&[0, AWAY, 1, 9, 2]);
        assert!(!loads.is_other_idle(0) && loads.is_other_idle(2));
        assert_eq!(loads.others_behind(3), [4]);
        assert_eq!(loads.others_behind(2), [3, 4]);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::engine::mailbox::{Mailbox, Take};
    use crate::engine::sync::Mutex;
    use loom::sync::Arc;
    use loom::thread;

    /// Two members, each with what it has been sent: the first runs.
    struct Pool {
        loads: Loads,
        mailbox: Mailbox<u32>,
        sent: [Mutex<Vec<u32>>; 2],
    }

    impl Pool {
        /// As a link: sends while fewer than `limit` are in flight.
        fn pump(&self, member: usize, limit: usize) {
            let mut sent = self.sent[member].lock();
            while sent.len() < limit
                && (sent.is_empty() || self.loads.may_take_ahead(member, sent.len()))
            {
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

        /// The member's only message has been answered.
        fn answer(&self, member: usize) {
            let mut sent = self.sent[member].lock();
            sent.remove(0);
            self.loads.publish(member, sent.len());
            drop(sent);
            self.pump(member, 4);
            if !self.sent[member].lock().is_empty() {
                return;
            }
            for other in self.loads.others_behind(member) {
                let mut sent = self.sent[other].lock();
                if sent.len() > 1 {
                    self.mailbox.put_first(sent.split_off(1));
                    self.loads.publish(other, sent.len());
                }
                drop(sent);
                self.dispatch();
            }
        }
    }

    /// One member runs a message for ever; the other answers one while messages are posted and the
    /// first wants more. At rest nothing waits behind the first while the other is idle.
    #[test]
    fn loom_no_message_is_kept_from_an_idle_member() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let pool = Arc::new(Pool {
                loads: Loads::new(2),
                mailbox: Mailbox::default(),
                sent: [Mutex::new(vec![100]), Mutex::new(vec![101])],
            });
            for member in 0..2 {
                pool.loads.publish(member, 1);
                pool.loads.set_limit(member, 4);
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
                thread::spawn(move || pool.pump(0, 4))
            };
            pool.answer(1);
            poster.join().unwrap();
            busy.join().unwrap();
            let (first, other) = (pool.sent[0].lock().len(), pool.sent[1].lock().len());
            assert!(other > 0 || (first == 1 && pool.mailbox.is_empty()));
        });
    }
}
