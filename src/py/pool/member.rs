//! A reference to a member of a pool. It keeps the pool alive, whose end ends the member.

use std::sync::Arc;
use std::time::Instant;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use crate::engine::room::Permit;
use crate::py::codec::actors::{self, Receiver};
use crate::py::host::host::Host;
use crate::py::host::keeping::Holder;
use crate::py::host::room::RoomSeat;
use crate::py::host::stats::State;
use crate::py::message::request::Asked;
use crate::py::reference::hold::Hold;
use crate::py::reference::target::{Entry, Listed, Target};

/// A member, and what keeps its pool alive.
pub(super) struct MemberHold {
    pub(super) member: Arc<Host>,
    pub(super) pool: Hold,
}

impl Target for MemberHold {
    fn ask<'py>(
        &self,
        asked: Asked<'_, 'py>,
        deadline: Option<Instant>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.member.accept(asked, deadline)
    }

    fn stream<'py>(
        &self,
        asked: Asked<'_, 'py>,
        ahead: usize,
        deadline: Option<Instant>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.member.stream(asked, ahead, deadline)
    }

    fn tell(&self, asked: Asked<'_, '_>, deadline: Option<Instant>) -> PyResult<()> {
        self.member.tell(asked, deadline)
    }

    fn wait_for_room(&self, py: Python<'_>) -> PyResult<RoomSeat> {
        self.member.wait_for_room(py)
    }

    fn ask_into_room<'py>(
        &self,
        asked: Asked<'_, 'py>,
        permit: Permit,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.member.accept_with(asked, Some(permit))
    }

    fn tell_into_room(&self, asked: Asked<'_, '_>, permit: Permit) -> PyResult<()> {
        self.member.tell_with(asked, Some(permit))
    }

    fn name(&self) -> &str {
        &self.member.name
    }

    fn is_alive(&self) -> bool {
        matches!(self.member.state(), State::Running | State::Restarting)
    }

    fn id(&self) -> u64 {
        self.member.tally.node.id
    }

    fn holder(&self) -> Holder {
        Holder::Others
    }

    fn host(&self) -> Option<&Arc<Host>> {
        Some(&self.member)
    }

    fn is_bounded(&self) -> bool {
        self.member.mailbox.room().is_some()
    }

    fn entry(&self, receiver: Receiver) -> Option<actors::Hold> {
        let is_below = receiver == Receiver::Child && !self.member.is_forked();
        is_below.then(|| Entry::of(self.another()))
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.pool.traverse(visit)
    }
}

impl MemberHold {
    fn another(&self) -> Self {
        Self {
            member: Arc::clone(&self.member),
            pool: self.pool.another(),
        }
    }
}

impl Listed for MemberHold {
    fn number(&self) -> u64 {
        self.id()
    }

    fn target(&self, _name: &str, _is_bounded: bool) -> Box<dyn Target> {
        Box::new(self.another())
    }

    fn host(&self) -> Option<&Arc<Host>> {
        Some(&self.member)
    }
}
