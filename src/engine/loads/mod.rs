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
//! has more messages than places it takes back, under the lock of that one, half of what has not begun.
//! So whichever of the two comes second sees the other.
//!
//! What it has taken back may run for ever, and then nothing makes it look again. So its thread goes on
//! until the member has no free place, or the others have begun all that they have. One that has given
//! messages back may have a free place by that, and then takes back from others, too.

#[cfg(loom)]
use loom::sync::atomic::{AtomicUsize, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicUsize, Ordering};

/// The load of a member that takes no messages now: it has no process, or that is being constructed,
/// or it is about to end.
pub const AWAY: usize = usize::MAX;

/// The members of a pool, whose links have the messages. The caller holds the lock of none.
pub trait Members {
    /// Whether a message that any member may handle is in the mailbox.
    fn has_messages(&self) -> bool;

    /// Sends the member what is in the mailbox, while it has fewer than `limit` messages. Publishes its
    /// load.
    fn serve(&self, member: usize, limit: usize);

    /// Puts some of the messages that the member has not begun back into the mailbox, and publishes its
    /// load. Returns whether there were any.
    fn give_back(&self, member: usize) -> bool;
}

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

    /// Whether a message that was just put into the mailbox can be sent at once: a member has a free place,
    /// or may have one ahead, and has fewer than `most`.
    pub fn has_room(&self, most: usize) -> bool {
        self.choose(most, &[]).is_some()
    }

    /// Which member gets the next message, and its load: the one with the least to do, if that has a free
    /// place or may have one ahead, and has fewer than `most`. None of `refused`.
    fn choose(&self, most: usize, refused: &[usize]) -> Option<(usize, usize)> {
        let mut chosen = None;
        let mut least = most;
        for member in (0..self.current.len()).filter(|member| !refused.contains(member)) {
            match self.load(member) {
                0 => return Some((member, 0)),
                load if load < least.min(self.limit(member)) => {
                    least = load;
                    chosen = Some((member, load));
                }
                _ => {}
            }
        }
        chosen
    }

    /// Sends messages of the mailbox to members that have a free place, or that may have one ahead, while
    /// these have fewer than `most`.
    pub fn dispatch(&self, members: &impl Members, most: usize) {
        let mut refused = Vec::new();
        while members.has_messages()
            && let Some((member, load)) = self.choose(most, &refused)
        {
            members.serve(member, load + 1);
            // Subtle: not the load before `serve`. If another thread has sent it a message since it was
            // chosen, it had no room for one more, and may still have a free place.
            if self.load(member) == load {
                refused.push(member);
            }
        }
    }

    /// For a member that may have got a free place: takes back what others have and have not begun.
    pub fn take_back_for(&self, member: usize, members: &impl Members, most: usize) {
        let gives = |other: &usize| members.give_back(*other);
        loop {
            let behind = self.others_behind(member, self.load(member));
            let Some(other) = behind.into_iter().find(gives) else {
                return;
            };
            self.dispatch(members, most);
            self.take_back_for(other, members, most);
        }
    }
}

#[cfg(test)]
mod fake;

/// Run with `make loom`.
#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod tests;
