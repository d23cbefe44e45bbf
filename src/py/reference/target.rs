//! What a reference refers to. An actor of this process is one; an actor that is reached in another
//! way is another implementation of [`Target`].

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use crate::engine::holding::Holder;
use crate::py::codec::actors::{self, Description, Receiver, Referent};
use crate::py::host::host::Host;
use crate::py::host::seat::{Place, RoomSeat};
use crate::py::message::request::Asked;

/// An actor that messages can be sent to. Dropping it may run Python code and take locks, so drop it
/// without holding a lock.
pub(in crate::py) trait Target: Send + Sync {
    /// Sends a message and returns its future. Waits for room until `deadline`.
    fn ask<'py>(
        &self,
        asked: Asked<'_, 'py>,
        deadline: Option<Instant>,
    ) -> PyResult<Bound<'py, PyAny>>;

    /// Sends a message and returns the stream of what its handler yields. Waits for room until
    /// `deadline`.
    fn stream<'py>(
        &self,
        asked: Asked<'_, 'py>,
        ahead: usize,
        deadline: Option<Instant>,
    ) -> PyResult<Bound<'py, PyAny>>;

    /// Sends a message that has no future. Waits for room until `deadline`.
    fn tell(&self, asked: Asked<'_, '_>, deadline: Option<Instant>) -> PyResult<()>;

    /// Sends a message and returns its future, if that needs no waiting for room.
    fn try_ask<'py>(&self, asked: Asked<'_, 'py>) -> PyResult<Option<Bound<'py, PyAny>>>;

    /// Sends a message that has no future, if that needs no waiting for room. Returns whether it did.
    fn try_tell(&self, asked: Asked<'_, '_>) -> PyResult<bool>;

    /// Queues for room without waiting.
    fn wait_for_room(&self, py: Python<'_>) -> PyResult<RoomSeat>;

    /// Sends a message into the place that was granted.
    fn ask_into_room<'py>(
        &self,
        asked: Asked<'_, 'py>,
        place: Place,
    ) -> PyResult<Bound<'py, PyAny>>;

    /// Like `ask_into_room`, for a message that has no future.
    fn tell_into_room(&self, asked: Asked<'_, '_>, place: Place) -> PyResult<()>;

    /// The actor's name in errors and the log.
    fn name(&self) -> &str;

    /// Whether the actor accepts messages.
    fn is_alive(&self) -> bool;

    /// A number that identifies the actor among all that this process knows.
    fn id(&self) -> u64;

    /// The pool of a member.
    fn pool(&self) -> Option<Box<dyn Target>>;

    /// The member of a pool with this index.
    fn member(&self, index: usize) -> Option<Box<dyn Target>>;

    /// What another process must know of the actor to refer to it.
    fn describe(&self) -> Description;

    /// The holder that this reference was made for.
    fn holder(&self) -> Holder;

    /// The host, if the actor's mailbox is in this process.
    fn host(&self) -> Option<&Arc<Host>>;

    /// What keeps the actor alive in a packet for `receiver`. `None`: that process cannot refer to it.
    fn entry(&self, receiver: Receiver) -> Option<actors::Hold>;

    /// Visits the Python objects that only this target holds.
    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError>;
}

/// An actor that a packet refers to.
pub(in crate::py) trait Listed: Send + Sync {
    /// The number by which the two processes of a link mean it.
    fn number(&self) -> u64;

    /// Another one to send messages to, for a reference that was loaded.
    fn target(&self, description: Description) -> Box<dyn Target>;

    /// What keeps the actor of this number alive, if that is this one, its pool, or a member of its pool.
    fn kin(&self, number: u64) -> Option<actors::Hold>;

    /// The host, if the actor's mailbox is in this process.
    fn host(&self) -> Option<&Arc<Host>>;
}

/// What packets list.
pub(in crate::py) struct Entry(Box<dyn Listed>);

impl Entry {
    pub(in crate::py) fn of(listed: impl Listed + 'static) -> actors::Hold {
        Arc::new(Self(Box::new(listed)))
    }

    pub(in crate::py) fn in_hold(hold: &actors::Hold) -> Option<&dyn Listed> {
        hold.as_any().downcast_ref::<Self>().map(|entry| &*entry.0)
    }
}

impl Referent for Entry {
    fn number(&self) -> u64 {
        self.0.number()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
