//! A pool without links and processes.

use super::*;
use crate::engine::mailbox::{Mailbox, Take};
use crate::engine::sync::Mutex;

pub(super) const AHEAD: usize = 3;
pub(super) const MOST: usize = 16;

/// What a member has been sent.
pub(super) struct Sent {
    pub(super) messages: Vec<u32>,
    /// How many of them it has begun.
    pub(super) begun: usize,
}

pub(super) struct Pool {
    pub(super) loads: Loads,
    pub(super) mailbox: Mailbox<u32>,
    pub(super) sent: Vec<Mutex<Sent>>,
}

impl Pool {
    pub(super) fn new(places: usize, sent: Vec<Sent>) -> Self {
        let loads = Loads::new(sent.len(), places);
        for (member, sent) in sent.iter().enumerate() {
            loads.publish(member, sent.messages.len());
            loads.set_ahead(member, AHEAD);
        }
        Self {
            loads,
            mailbox: Mailbox::default(),
            sent: sent.into_iter().map(Mutex::new).collect(),
        }
    }

    pub(super) fn load(&self, member: usize) -> usize {
        self.sent[member].lock().messages.len()
    }
}

impl Members for Pool {
    fn has_messages(&self) -> bool {
        !self.mailbox.is_empty()
    }

    /// As `Outbound::pump`.
    fn serve(&self, member: usize, limit: usize) {
        let limit = limit.min(self.loads.limit(member));
        let sent = &mut self.sent[member].lock().messages;
        while sent.len() < limit && self.loads.may_take(member, sent.len()) {
            let Take::Item(message) = self.mailbox.try_take() else {
                break;
            };
            sent.push(message);
        }
        self.loads.publish(member, sent.len());
    }

    /// As `Outbound::take_half`: the first message that it has stays.
    fn give_back(&self, member: usize) -> bool {
        let mut sent = self.sent[member].lock();
        let first = sent.begun.max(1).min(sent.messages.len());
        let half = (sent.messages.len() - first).div_ceil(2);
        let taken: Vec<u32> = sent.messages.drain(first..first + half).collect();
        let is_some = !taken.is_empty();
        self.mailbox.put_first(taken);
        self.loads.publish(member, sent.messages.len());
        is_some
    }
}
