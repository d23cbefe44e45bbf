//! What the members of a pool share.
//!
//! A pool has a host of its own, without a thread: its mailbox has the messages that any member may
//! handle. Each member is a host, too, whose mailbox has what only this member may handle.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use crate::engine::latch::Latch;
use crate::engine::mailbox::Mailbox;
use crate::engine::room::Room;
use crate::engine::roster::Roster;
use crate::py::future::ActorCell;
use crate::py::message::tally::Tally;

/// What the members of a pool share.
pub(in crate::py) struct Team {
    /// The messages that any member may handle.
    pub(in crate::py) mailbox: Arc<Mailbox<Arc<ActorCell>>>,
    /// The pool's counts, with how its callers and members wait for each other.
    pub(in crate::py) tally: Arc<Tally>,
    /// Which members are idle, if they are threads.
    pub(in crate::py) roster: Roster,
    /// Set when each first constructor has returned, or the pool will never handle a message. No
    /// message begins before.
    pub(in crate::py) opened: Latch,
    /// The turn of a broadcast: one at a time takes places in a bounded mailbox.
    pub(in crate::py) broadcasts: Arc<Room>,
    /// How many first constructors have not returned.
    unborn: AtomicUsize,
    /// Of which members one has returned.
    born: Vec<AtomicBool>,
    /// How many members have not ended.
    living: AtomicUsize,
    /// How often a member has given messages back.
    given_back: AtomicU64,
}

impl Team {
    pub(in crate::py) fn new(
        mailbox: Arc<Mailbox<Arc<ActorCell>>>,
        tally: Arc<Tally>,
        size: usize,
    ) -> Self {
        Self {
            mailbox,
            tally,
            roster: Roster::new(size),
            opened: Latch::default(),
            broadcasts: Arc::new(Room::new(1)),
            unborn: AtomicUsize::new(size),
            born: (0..size).map(|_| AtomicBool::new(false)).collect(),
            living: AtomicUsize::new(size),
            given_back: AtomicU64::new(0),
        }
    }

    /// Puts messages back that a member had and has not begun, for any member.
    pub(in crate::py) fn give_back(&self, messages: Vec<Arc<ActorCell>>) {
        if !messages.is_empty() {
            self.given_back.fetch_add(1, Ordering::SeqCst);
            self.mailbox.put_first(messages);
        }
    }

    /// How often that has happened.
    pub(super) fn given_back(&self) -> u64 {
        self.given_back.load(Ordering::SeqCst)
    }

    /// A constructor of the member has returned, or none ever will. Returns whether the pool opens by
    /// that.
    pub(in crate::py) fn be_born(&self, member: usize) -> bool {
        let is_new = !self.born[member].swap(true, Ordering::SeqCst);
        let opens = is_new && self.unborn.fetch_sub(1, Ordering::SeqCst) == 1;
        if opens {
            self.open();
        }
        opens
    }

    /// Lets messages begin, or the members see that there will be none. The caller must not hold a
    /// lock.
    pub(in crate::py) fn open(&self) {
        self.opened.set();
        // An event loop does not wait for that: it has looked in vain.
        (0..self.born.len()).for_each(|member| self.roster.call(member));
    }

    /// A member has ended. Returns whether it was the last.
    pub(super) fn leave(&self) -> bool {
        self.living.fetch_sub(1, Ordering::SeqCst) == 1
    }
}
