//! What carries messages from a mailbox to an actor. A new transport implements [`Transport`].

use std::sync::Arc;
use std::time::Instant;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use crate::engine::room::Permit;
use crate::engine::sys;
use crate::py::future::ActorCell;
use crate::py::message::fault::Force;
use crate::py::message::message::Message;
use crate::py::message::tally::Progress;

/// How messages get from a mailbox to the actor.
pub(in crate::py) trait Transport: Send + Sync {
    /// Makes a message of `object`; an error fails this message alone.
    fn post(&self, object: &Bound<'_, PyAny>) -> PyResult<Message>;

    /// Makes a message that nobody awaits of `object`.
    fn tell(&self, object: &Bound<'_, PyAny>) -> PyResult<Message>;

    /// Makes a message that calls a function in the actor's thread or process.
    fn call(
        &self,
        function: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Message>;

    /// Makes a message that calls a method of the actor.
    fn call_method(
        &self,
        name: &Bound<'_, PyString>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Message>;

    /// The mailbox has a new message or was closed. Must not block, and makes system calls
    /// detached only.
    fn rouse(&self, py: Python<'_>);

    /// Messages that have left the mailbox although they may not have begun.
    fn sent_ahead(&self) -> Vec<Arc<ActorCell>>;

    /// Whether the calling thread is one that ends before the host's own does.
    fn is_own_thread(&self) -> bool {
        false
    }

    /// Says where the actor is, as text.
    fn dump_traceback(&self, py: Python<'_>, deadline: Option<Instant>) -> PyResult<Dump>;

    /// Finds out which messages that have left the mailbox have begun, and gives back their places.
    /// If somebody waits for room, it goes on to do so by itself. Detached; holds locks for a moment.
    fn begun(&self) -> Vec<Permit> {
        Vec::new()
    }

    /// Ends the actor without regard to what it does, if it can be: then what it leaves behind is
    /// failed once it has ended. The mailbox is closed. Called detached; must not block.
    fn signal(&self, force: Force) -> sys::Result<Signalled>;

    /// What the tally does not know. Detached; holds locks for a moment.
    fn progress(&self) -> Progress {
        Progress::default()
    }

    /// Whether the actor has died and is being started again.
    fn is_restarting(&self) -> bool {
        false
    }

    /// The process that the actor lives in, while it does.
    fn pid(&self) -> Option<u32>;

    /// Visits the Python objects that it holds.
    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        _ = visit;
        Ok(())
    }
}

/// Whether the actor is one that can be ended from outside.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::py) enum Signalled {
    Yes,
    No,
}

/// What a transport knows of where an actor is.
pub(in crate::py) enum Dump {
    Text(String),
    TimedOut(&'static str),
    Ended,
}
