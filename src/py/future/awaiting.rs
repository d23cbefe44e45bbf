//! What a handler of an async actor waits for when it awaits a future.

use std::sync::Arc;

use super::core::FutureCore;
use crate::engine::ipc::relay;
use crate::engine::waits::{Node, Target};
use crate::py::message::fault::Unending;
use crate::py::message::message::{Awaiting, Message};

/// What ends an await.
pub(in crate::py) enum Awaited {
    /// An actor of this process does it.
    Here(Target),
    /// An actor does it that is reached by the parent.
    Relayed(relay::Awaited),
}

impl FutureCore {
    /// What an await of it waits for, and how a deadlock would be told. `None` if it is done, or no
    /// actor ends it.
    pub(in crate::py) fn awaited(&self) -> Option<(Awaited, Unending)> {
        if self.is_forked() || self.cell.done().is_set() {
            return None;
        }
        let here = |node: &Arc<Node>| {
            Awaited::Here(Target {
                node: Arc::clone(node),
                pending: Arc::clone(&self.cell) as _,
            })
        };
        let told = self.cell.message(|message| match message {
            Message::Relayed(relayed) => {
                let answer = relay::Awaited::Answer(relayed.number());
                Some((Awaited::Relayed(answer), Unending::Await))
            }
            Message::Awaiting(Awaiting::Here(node, unending)) => Some((here(node), *unending)),
            Message::Awaiting(Awaiting::Relayed(awaited, unending)) => {
                Some((Awaited::Relayed(*awaited), *unending))
            }
            _ => None,
        });
        told.flatten()
            .or_else(|| Some((here(&self.tally()?.node), Unending::Await)))
    }

    /// Whether a handler of an actor that awaits it may wait for another actor.
    pub(super) fn is_of_actor(&self) -> bool {
        let is_awaiting = |message: &mut Message| matches!(message, Message::Awaiting(_));
        self.tally().is_some() || self.cell.message(is_awaiting) == Some(true)
    }
}
