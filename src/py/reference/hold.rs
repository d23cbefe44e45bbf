//! A reference to an actor of this process. The actor lives while someone other than itself has
//! one.

use std::sync::Arc;
use std::time::Instant;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::target::{Entry, Listed, Target};
use crate::engine::room::Permit;
use crate::py::codec::actors::{self, Receiver};
use crate::py::host::host::Host;
use crate::py::host::keeping::{Holder, Left};
use crate::py::host::room::RoomSeat;
use crate::py::host::stats::State;
use crate::py::interpreter::lifecycle;
use crate::py::interpreter::lifecycle::Live;
use crate::py::message::request::Asked;

/// Counts as a reference of `holder` to an actor of this process.
pub(in crate::py) struct Hold {
    host: Arc<Host>,
    holder: Holder,
}

impl Hold {
    pub(in crate::py) fn new(host: Arc<Host>, holder: Holder) -> Self {
        host.references.add(holder);
        Self { host, holder }
    }

    /// Another one, for others.
    pub(in crate::py) fn another(&self) -> Self {
        Self::new(Arc::clone(&self.host), Holder::Others)
    }
}

impl Drop for Hold {
    /// The last one refuses new messages. The actor handles those that it has, and ends.
    fn drop(&mut self) {
        let host = &self.host;
        let left = host.references.remove(self.holder);
        // An actor that has ended needs no call, and the garbage collector may already have cleared
        // what would be called.
        if host.generation != lifecycle::generation() || host.ended.is_set() {
            return;
        }
        match left {
            Left::Nothing => Python::attach(|py| host.close(py)),
            Left::Own(_) => host.look_at_references(),
            Left::Others => {}
        }
    }
}

impl Target for Hold {
    fn ask<'py>(
        &self,
        asked: Asked<'_, 'py>,
        deadline: Option<Instant>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.host.accept(asked, deadline)
    }

    fn stream<'py>(
        &self,
        asked: Asked<'_, 'py>,
        ahead: usize,
        deadline: Option<Instant>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.host.stream(asked, ahead, deadline)
    }

    fn tell(&self, asked: Asked<'_, '_>, deadline: Option<Instant>) -> PyResult<()> {
        self.host.tell(asked, deadline)
    }

    fn wait_for_room(&self, py: Python<'_>) -> PyResult<RoomSeat> {
        self.host.wait_for_room(py)
    }

    fn ask_into_room<'py>(
        &self,
        asked: Asked<'_, 'py>,
        permit: Permit,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.host.accept_with(asked, Some(permit))
    }

    fn tell_into_room(&self, asked: Asked<'_, '_>, permit: Permit) -> PyResult<()> {
        self.host.tell_with(asked, Some(permit))
    }

    fn name(&self) -> &str {
        &self.host.name
    }

    fn is_alive(&self) -> bool {
        matches!(self.host.state(), State::Running | State::Restarting)
    }

    fn id(&self) -> u64 {
        self.host.tally.node.id
    }

    fn host(&self) -> Option<&Arc<Host>> {
        Some(&self.host)
    }

    fn holder(&self) -> Holder {
        self.holder
    }

    fn is_bounded(&self) -> bool {
        self.host.mailbox.room().is_some()
    }

    fn entry(&self, receiver: Receiver) -> Option<actors::Hold> {
        let is_below = receiver == Receiver::Child && !self.host.is_forked();
        is_below.then(|| Entry::of(self.another()))
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        // While the actor's thread or another reference has the host too, what it holds is alive.
        match Arc::strong_count(&self.host) {
            1 => self.host.traverse(visit),
            _ => Ok(()),
        }
    }
}

impl Listed for Hold {
    fn number(&self) -> u64 {
        self.host.tally.node.id
    }

    fn target(&self, _name: &str, _is_bounded: bool) -> Box<dyn Target> {
        Box::new(self.another())
    }

    fn host(&self) -> Option<&Arc<Host>> {
        Some(&self.host)
    }
}
