//! The inbound side of a link, as data: the events that frames report, and those that one thread
//! has read and leaves to another. `reading.rs` has the threads that read.

use std::collections::VecDeque;
use std::sync::Arc;

use super::inflow::Arrived;
use crate::engine::ipc::pipe::{Broken, Reader};
use crate::engine::latch::Latch;
use crate::engine::room::Granted;
use crate::py::future::{ActorCell, settle};
use crate::py::message::message::Message;
use crate::py::message::outcome::Outcome;

/// The inbound side.
pub(in crate::py) struct Inbound {
    pub(super) reader: Reader,
    /// What a thread that waits for an answer has read and leaves to the I/O thread. It must be
    /// processed before what is read next.
    pub(super) left: Left,
    /// What `Region::written` was before a waiting thread last read.
    pub(super) seen: u64,
}

/// What a reading thread leaves to the I/O thread, which it wakes for that.
#[derive(Default)]
pub(in crate::py) struct Left {
    pub(in crate::py) events: Events,
    /// Why there is nothing more to read.
    pub(in crate::py) over: Option<Over>,
}

/// Why nothing more is read.
pub(in crate::py) enum Over {
    /// The stream or the process has ended.
    Ended,
    InitFailed(Vec<u8>),
    Broken(Broken),
    /// A thread has panicked that read in the place of the I/O thread.
    Panicked,
}

impl From<Broken> for Over {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

/// Events that were read and are not settled yet, in their order. Each stays in the list until it is
/// settled, so that a panic on the way loses none.
pub(in crate::py) type Events = VecDeque<Event>;

/// What a frame has reported. The tally has counted it already, and the place in the mailbox of a message
/// that has begun is free, or another sender has been granted it and is to be woken. What an event holds
/// must be dropped without holding a lock.
pub(in crate::py) enum Event {
    /// The message has an outcome, which is there until it is settled.
    Ended(Arc<ActorCell>, Option<Outcome>, EndedMessage),
    /// What the handler of a stream has yielded.
    Item(Arrived),
    /// The child did not begin the message and has dropped it.
    Skipped(Arc<ActorCell>),
    /// The message has begun.
    Begun(Option<Granted>),
    /// These messages were sent by `tell`, and have been handled.
    Done(Vec<Arc<ActorCell>>, Vec<Granted>),
    /// The child asks for something about another actor.
    Request(Option<Box<dyn FnOnce() + Send>>),
}

impl Event {
    /// Ends its message and runs the callbacks.
    pub(super) fn settle(&mut self) {
        match self {
            Self::Ended(cell, outcome, message) => {
                // First: a callback may take long.
                drop(std::mem::take(message));
                if let Some(outcome) = outcome.take() {
                    settle::settle(cell, outcome);
                }
            }
            Self::Item(arrived) => arrived.settle(),
            Self::Skipped(_) => {}
            Self::Begun(granted) => drop(granted.take()),
            Self::Request(serve) => {
                if let Some(serve) = serve.take() {
                    serve();
                }
            }
            Self::Done(cells, granted) => {
                drop(std::mem::take(granted));
                for cell in cells {
                    settle::settle(cell, Outcome::Nothing);
                }
            }
        }
    }

    /// How many messages the child has handled.
    pub(super) fn ended(&self) -> usize {
        match self {
            Self::Ended(..) => 1,
            Self::Done(cells, _) => cells.len(),
            Self::Skipped(_) | Self::Begun(_) | Self::Item(_) | Self::Request(_) => 0,
        }
    }

    /// The messages that it ends.
    pub(super) fn into_cells(self) -> Vec<Arc<ActorCell>> {
        match self {
            Self::Ended(cell, ..) | Self::Skipped(cell) => vec![cell],
            Self::Done(cells, _) => cells,
            Self::Begun(_) | Self::Item(_) | Self::Request(_) => Vec::new(),
        }
    }

    /// For a thread that waits for the latch `done`, with `inbound` locked: whether it may settle the
    /// event itself, without the lock, since there is nothing to do for it but to wake threads.
    pub(super) fn is_for_waiter(&mut self, done: &Latch) -> bool {
        match self {
            Self::Ended(cell, ..) => {
                std::ptr::eq(cell.done(), done)
                    && cell.watch(|_, watch| watch.is_none()) == Some(true)
            }
            // Here, so that items enter in the order in which they are read, and the next thread that
            // reads finds its latch set.
            Self::Item(arrived) => arrived.enter(),
            _ => false,
        }
    }
}

/// The sender that has got the message's place in the mailbox, if one waited, and what the cell held in
/// place of the message; `None` if the user had set the future's result before.
pub(in crate::py) type EndedMessage = (Option<Granted>, Option<Message>);

impl Inbound {
    pub(super) fn new(reader: Reader) -> Self {
        Self {
            reader,
            left: Left::default(),
            seen: 0,
        }
    }

    pub(super) fn has_nothing_left(&self) -> bool {
        self.left.events.is_empty() && self.left.over.is_none()
    }

    pub(in crate::py) fn take_left(&mut self) -> Left {
        std::mem::take(&mut self.left)
    }
}
