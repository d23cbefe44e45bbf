//! The links of a pool's members to each other: which member gets a message that any may handle.
//!
//! `engine::loads` says why no such message waits while a member has a free place.

use std::sync::{Arc, Weak};

use once_cell::sync::OnceCell;

use crate::engine::loads::{Loads, Members};
use crate::py::host::team::Team;

/// With this many messages in flight a posting thread leaves the writing to the I/O thread, which
/// fills the window with few writes as answers come in. A child with that much to do is not kept
/// waiting.
pub(super) const IN_FLIGHT_BY_POSTING: usize = 16;

/// A member, as the others see it. Its methods are called detached.
pub(in crate::py) trait Mate: Send + Sync {
    /// Sends what is in the mailboxes, while fewer than `limit` messages are in flight.
    fn serve(self: Arc<Self>, limit: usize);

    /// Puts some of the messages that its child has and has not begun back into the pool's mailbox.
    /// Returns whether there were any.
    fn give_back(&self) -> bool;
}

/// What the links of a pool share.
pub(in crate::py) struct Crew {
    pub(in crate::py) team: Arc<Team>,
    pub(in crate::py) loads: Loads,
    mates: OnceCell<Vec<Weak<dyn Mate>>>,
    /// With this many messages in flight, a posting thread leaves the writing to the I/O thread.
    in_flight_by_posting: usize,
}

/// A link's seat among those of its pool.
#[derive(Clone)]
pub(in crate::py) struct Seat {
    pub(in crate::py) crew: Arc<Crew>,
    pub(in crate::py) index: usize,
}

impl Crew {
    /// For so many members, each of which handles so many messages at a time.
    pub(in crate::py) fn new(team: &Arc<Team>, members: usize, places: usize) -> Self {
        Self {
            team: Arc::clone(team),
            loads: Loads::new(members, places),
            mates: OnceCell::new(),
            in_flight_by_posting: IN_FLIGHT_BY_POSTING + places - 1,
        }
    }

    /// Called once, before the I/O threads start.
    pub(in crate::py) fn meet(&self, mates: Vec<Weak<dyn Mate>>) {
        _ = self.mates.set(mates);
    }

    fn mate(&self, member: usize) -> Option<Arc<dyn Mate>> {
        self.mates.get()?.get(member)?.upgrade()
    }

    /// Whether a message that was just put into the pool's mailbox can be sent to a member at once.
    /// Otherwise each has so much to do that one will look into the mailbox.
    pub(in crate::py) fn has_place(&self) -> bool {
        self.loads.has_room(self.in_flight_by_posting)
    }

    /// Sends messages of the pool's mailbox to members that have a free place, or that may have one
    /// ahead. Called after each message that was put there.
    pub(in crate::py) fn dispatch(&self) {
        self.loads.dispatch(self, self.in_flight_by_posting);
    }

    /// Has every member look into its mailboxes: they are open now, or closed.
    pub(in crate::py) fn serve_all(&self) {
        for mate in self.mates.get().into_iter().flatten() {
            if let Some(mate) = mate.upgrade() {
                mate.serve(usize::MAX);
            }
        }
    }

    /// For a member that may have got a free place: takes back what others have and have not begun.
    pub(super) fn take_back_for(&self, member: usize) {
        let most = self.in_flight_by_posting;
        self.loads.take_back_for(member, self, most);
    }
}

impl Members for Crew {
    fn has_messages(&self) -> bool {
        !self.team.mailbox.is_empty()
    }

    fn serve(&self, member: usize, limit: usize) {
        if let Some(mate) = self.mate(member) {
            mate.serve(limit);
        }
    }

    fn give_back(&self, member: usize) -> bool {
        self.mate(member).is_some_and(|mate| mate.give_back())
    }
}
