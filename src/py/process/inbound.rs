//! What comes from the child, as data: the events that frames tell of, and what of them one thread
//! has read and leaves to another. Who reads is in `reading`.

use std::sync::Arc;

use crate::engine::ipc::pipe::{Broken, Reader};
use crate::engine::latch::Latch;
use crate::engine::room::Permit;
use crate::py::future::{ActorCell, settle};
use crate::py::message::message::Message;
use crate::py::message::outcome::{Outcome, Sealed};

/// The receiving side.
pub(in crate::py) struct Inbound {
    pub(super) reader: Reader,
    /// What a thread that waits for an answer has read and leaves to the I/O thread: it comes before
    /// whatever is read next.
    pub(super) left: Left,
}

/// What is left to the I/O thread, which is rung for it.
#[derive(Default)]
pub(in crate::py) struct Left {
    pub(in crate::py) events: Vec<Event>,
    /// Why there is nothing more to read.
    pub(in crate::py) over: Option<Over>,
}

/// Why nothing more is read.
pub(in crate::py) enum Over {
    /// The stream or the process has ended.
    Ended,
    InitFailed(Vec<u8>),
    Broken(Broken),
}

impl From<Broken> for Over {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

/// What a frame has told, and the tally knows already. Holds what is dropped without a lock.
pub(in crate::py) enum Event {
    /// The message has left the child with an outcome; its place is another's.
    Ended(Arc<ActorCell>, Sealed, EndedMessage),
    /// It has left the child, which did not begin it.
    Skipped(Arc<ActorCell>),
    /// It has begun; its place is another's.
    Begun(Option<Permit>),
    /// These were told, and have been handled.
    Done(Vec<Arc<ActorCell>>),
}

impl Event {
    /// Ends its message and runs the callbacks.
    pub(super) fn settle(self) {
        match self {
            Self::Ended(cell, outcome, message) => {
                // First, so that whoever hears of the end finds room.
                drop(message);
                settle::settle(&cell, Outcome::Sealed(outcome));
            }
            Self::Skipped(cell) => drop(cell),
            Self::Begun(permit) => drop(permit),
            Self::Done(cells) => {
                for cell in cells {
                    settle::settle(&cell, Outcome::Nothing);
                }
            }
        }
    }

    /// Whether it is the end of the message with the latch `done`, and only the threads that wait for
    /// that must be told.
    pub(super) fn is_end_of(&self, done: &Latch) -> bool {
        let Self::Ended(cell, ..) = self else {
            return false;
        };
        std::ptr::eq(cell.done(), done) && cell.watch(|_, watch| watch.is_none()) == Some(true)
    }
}

/// What stood for a message in its cell, with its place in the mailbox; nothing if the future was
/// ended by hand before.
pub(in crate::py) type EndedMessage = Option<Message>;

impl Inbound {
    pub(super) fn new(reader: Reader) -> Self {
        Self {
            reader,
            left: Left::default(),
        }
    }

    pub(in crate::py) fn take_left(&mut self) -> Left {
        std::mem::take(&mut self.left)
    }
}
