//! A reference to an actor of this process. The actor lives while one of these exists.

use std::sync::Arc;
use std::time::Instant;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::target::Target;
use crate::engine::room::Permit;
use crate::py::host::host::Host;
use crate::py::host::room::RoomSeat;
use crate::py::host::stats::State;
use crate::py::interpreter::lifecycle;
use crate::py::interpreter::lifecycle::Live;
use crate::py::message::request::Asked;

/// Keeps an actor of this process alive.
pub(in crate::py) struct Hold(Arc<Host>);

impl Hold {
    pub(in crate::py) fn new(host: Arc<Host>) -> Self {
        host.hold();
        Self(host)
    }
}

impl Drop for Hold {
    /// The last one refuses new messages. The actor handles those that it has, and ends.
    fn drop(&mut self) {
        let host = &self.0;
        // One that has ended needs no call, and what it would call may be cleared by the collector.
        if host.let_go() && host.generation == lifecycle::generation() && !host.ended.is_set() {
            Python::attach(|py| host.close(py));
        }
    }
}

impl Target for Hold {
    fn ask<'py>(
        &self,
        asked: Asked<'_, 'py>,
        deadline: Option<Instant>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.0.accept(asked, deadline)
    }

    fn tell(&self, asked: Asked<'_, '_>, deadline: Option<Instant>) -> PyResult<()> {
        self.0.tell(asked, deadline)
    }

    fn wait_for_room(&self, py: Python<'_>) -> PyResult<RoomSeat> {
        self.0.wait_for_room(py)
    }

    fn ask_into_room<'py>(
        &self,
        asked: Asked<'_, 'py>,
        permit: Permit,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.0.accept_with(asked, Some(permit))
    }

    fn tell_into_room(&self, asked: Asked<'_, '_>, permit: Permit) -> PyResult<()> {
        self.0.tell_with(asked, Some(permit))
    }

    fn name(&self) -> &str {
        &self.0.name
    }

    fn is_alive(&self) -> bool {
        matches!(self.0.state(), State::Running | State::Restarting)
    }

    fn id(&self) -> u64 {
        self.0.id
    }

    fn host(&self) -> Option<&Arc<Host>> {
        Some(&self.0)
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        // While the actor's thread or another reference has the host too, what it holds is alive.
        match Arc::strong_count(&self.0) {
            1 => self.0.traverse(visit),
            _ => Ok(()),
        }
    }
}
