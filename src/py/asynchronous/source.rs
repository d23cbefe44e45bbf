//! Where an event loop's messages come from, and where their answers and items go.

use std::sync::Arc;

use pyo3::prelude::*;

use crate::engine::ipc::relay::Awaited;
use crate::engine::stream::Space;
use crate::engine::sys::HandleNumber;
use crate::engine::waits::Refused;
use crate::py::current::Running;
use crate::py::future::ActorCell;
use crate::py::message::request::{Call, Sender, Wants};
use crate::py::stream::run::Ended;

/// Unpacks what a message asks for.
pub(in crate::py) type Open = Box<dyn FnOnce(Python<'_>) -> PyResult<Call> + Send>;

/// Where a message's answer goes.
pub(in crate::py) enum Ticket {
    /// To this cell.
    Cell(Arc<ActorCell>, Wants, Sender),
    /// To the parent, as that of the message with this number.
    Sequence(u64, Wants),
}

/// Where the items of a stream go.
pub(in crate::py) trait Outlet: Send + Sync {
    /// Whether there is room for another item. If there is none, the loop is told to look at the
    /// stream again when there may be some.
    fn space(&self, py: Python<'_>) -> PyResult<Space>;

    /// Puts an item in, if one is still wanted. An error says that it cannot be sent.
    fn put(&self, item: Bound<'_, PyAny>) -> PyResult<()>;
}

/// A message that has begun.
pub(in crate::py) struct Taken {
    pub(in crate::py) open: Open,
    pub(in crate::py) ticket: Ticket,
    /// What `current_message()` returns.
    pub(in crate::py) current: Running,
    /// If it is a stream.
    pub(in crate::py) outlet: Option<Box<dyn Outlet>>,
}

/// What the core calls in the event loop of an actor, from any thread.
pub(in crate::py) struct Calls {
    /// There is something to take.
    pub(in crate::py) wake: Py<PyAny>,
    /// The message with this number is asked to stop, or has room for an item.
    pub(in crate::py) look: Py<PyAny>,
}

/// A wait that was entered. It is one no more when this is dropped.
pub(in crate::py) trait Entered: Send + Sync {
    /// Why it would never end, if that is known.
    fn refused(&self) -> Option<Refused>;
}

/// Where an event loop's messages come from, and their answers go.
pub(in crate::py) trait Source: Send + Sync {
    /// Begins the next message, which has this number from then on. `None` if there is none; then the
    /// loop is woken for one.
    fn take(&self, py: Python<'_>, number: u64) -> PyResult<Option<Taken>>;

    /// Whether there is a message to take, or one is likely to come in a moment. A hint.
    fn expects_more(&self) -> bool;

    /// Whether no more messages come, and then whether the actor may end in its own way.
    fn over(&self) -> Option<bool>;

    /// The actor could not start: `error` was raised in the stage of this name.
    fn fail(&self, py: Python<'_>, error: PyErr, stage: &str) -> PyResult<()>;

    /// Ends a message.
    fn end(&self, py: Python<'_>, ticket: Ticket, ended: Ended<'_>) -> PyResult<()>;

    /// A message that has begun was lost by a fault of this package.
    fn lose(&self, py: Python<'_>, ticket: Ticket);

    /// How many messages run, and when the oldest began, by `sys::now_nanos`.
    fn show(&self, running: usize, since: u64);

    /// The loop runs, and the object is about to be made. From now on, the end of the actor by force
    /// calls `stop`.
    fn begin(&self, _py: Python<'_>, _stop: Py<PyAny>) {}

    /// The object is there. The loop takes messages from now on, and can be called.
    fn attach(&self, py: Python<'_>, calls: Calls) -> PyResult<()>;

    /// The loop ends.
    fn detach(&self);

    /// Whether an actor that has no message is of no use to others. Then no more messages come.
    fn is_unneeded(&self, _actor: &Bound<'_, PyAny>) -> bool {
        false
    }

    /// What the loop must wait for until it can be read.
    fn descriptor(&self) -> Option<HandleNumber> {
        None
    }

    /// Reads once from the descriptor, which can be read. Returns the numbers of messages that were
    /// asked to stop or have room for an item; `None` if there will be nothing more to read.
    fn read(&self, _py: Python<'_>) -> PyResult<Option<Vec<u64>>> {
        Ok(None)
    }

    /// Tells the parent that the loop has nothing to do until one of these has happened. `None`: there
    /// is no parent that could know of it.
    fn wait_in_sight(
        &self,
        _py: Python<'_>,
        _awaited: &[Awaited],
    ) -> PyResult<Option<Box<dyn Entered>>> {
        Ok(None)
    }

    /// Sends the answers that were held back, which would leave soon.
    fn flush(&self, _py: Python<'_>) -> PyResult<()> {
        Ok(())
    }
}
