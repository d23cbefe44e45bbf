//! What a handler of an async actor waits for when it awaits a future.

use std::sync::Arc;

use super::core::FutureCore;
use crate::engine::ipc::relay;
use crate::engine::waits::Target;
use crate::py::message::fault::Unending;
use crate::py::message::message::Message;

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
        let tally = self.tally()?;
        if self.is_forked() || self.cell.done().is_set() {
            return None;
        }
        let number = self.cell.message(|message| match message {
            Message::Relayed(relayed) => Some(relayed.number()),
            _ => None,
        });
        let awaited = match number.flatten() {
            Some(number) => Awaited::Relayed(relay::Awaited::Answer(number)),
            None => Awaited::Here(Target {
                node: Arc::clone(&tally.node),
                pending: Arc::clone(&self.cell) as _,
            }),
        };
        Some((awaited, Unending::Await))
    }
}
