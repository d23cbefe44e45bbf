//! The order in which a member takes from its two mailboxes.

use crate::engine::mailbox::{Mailbox, Take};

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
