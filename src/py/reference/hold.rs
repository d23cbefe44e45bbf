//! A reference to an actor of this process. The actor lives while someone other than itself has
//! one. That of a pool's member keeps the pool alive, whose end ends the member.

use std::sync::Arc;
use std::time::Instant;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::target::{Entry, Listed, Target};
use crate::engine::holding::{Holder, Left};
use crate::engine::ipc::relay::split_number;
use crate::py::codec::actors::{self, Description, Receiver};
use crate::py::host::host::Host;
use crate::py::host::seat::{Place, RoomSeat};
use crate::py::interpreter::lifecycle;
use crate::py::interpreter::lifecycle::Live;
use crate::py::message::request::Asked;

/// Counts as a reference of `holder` to an actor of this process.
pub(in crate::py) struct Hold {
    host: Arc<Host>,
    /// What counts it: the actor, or for others the pool of a member.
    kept: Arc<Host>,
    holder: Holder,
}

impl Hold {
    pub(in crate::py) fn new(host: Arc<Host>, holder: Holder) -> Self {
        let pool = match holder {
            Holder::Others => host.pool(),
            Holder::Itself => None,
        };
        let kept = pool.unwrap_or_else(|| Arc::clone(&host));
        Self::counted(host, kept, holder)
    }

    fn counted(host: Arc<Host>, kept: Arc<Host>, holder: Holder) -> Self {
        kept.references.add(holder);
        Self { host, kept, holder }
    }

    /// A reference to the member of a pool with this index, also to one that has ended.
    fn of_member(pool: &Arc<Host>, index: usize) -> Option<Self> {
        let member = pool.members().get(index)?;
        let (member, pool) = (Arc::clone(member), Arc::clone(pool));
        Some(Self::counted(member, pool, Holder::Others))
    }

    /// Another reference to the same actor, of others than the actor.
    fn another(&self) -> Self {
        let host = Arc::clone(&self.host);
        match self.holder {
            Holder::Others => Self::counted(host, Arc::clone(&self.kept), self.holder),
            Holder::Itself => Self::new(host, Holder::Others),
        }
    }

    /// The pool of a member.
    fn pool_host(&self) -> Option<Arc<Host>> {
        if Arc::ptr_eq(&self.host, &self.kept) {
            return self.host.pool();
        }
        Some(Arc::clone(&self.kept))
    }

    /// The actor of this number, if that is this one, its pool, or a member of its pool.
    fn kin(&self, number: u64) -> Option<Self> {
        if number == self.host.number() {
            return Some(self.another());
        }
        let pool = self.pool_host();
        let pool = pool.as_ref().unwrap_or(&self.host);
        match split_number(number) {
            (base, _) if base != pool.number() => None,
            (_, Some(index)) => Self::of_member(pool, index),
            (_, None) => Some(Self::new(Arc::clone(pool), Holder::Others)),
        }
    }
}

impl Drop for Hold {
    /// The last one refuses new messages. The actor handles those that it has, and ends.
    fn drop(&mut self) {
        let host = &self.kept;
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

    fn try_ask<'py>(&self, asked: Asked<'_, 'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.host.try_accept(asked)
    }

    fn try_tell(&self, asked: Asked<'_, '_>) -> PyResult<bool> {
        self.host.try_tell(asked)
    }

    fn wait_for_room(&self, py: Python<'_>) -> PyResult<RoomSeat> {
        self.host.wait_for_room(py)
    }

    fn ask_into_room<'py>(
        &self,
        asked: Asked<'_, 'py>,
        place: Place,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.host.accept_with(asked, place.here())
    }

    fn tell_into_room(&self, asked: Asked<'_, '_>, place: Place) -> PyResult<()> {
        self.host.tell_with(asked, place.here())
    }

    fn name(&self) -> &str {
        &self.host.name
    }

    fn is_alive(&self) -> bool {
        self.host.is_alive()
    }

    fn id(&self) -> u64 {
        self.host.number()
    }

    fn pool(&self) -> Option<Box<dyn Target>> {
        let pool = Self::new(self.pool_host()?, Holder::Others);
        Some(Box::new(pool))
    }

    fn member(&self, index: usize) -> Option<Box<dyn Target>> {
        let member = Self::of_member(&self.host, index)?;
        Some(Box::new(member))
    }

    fn describe(&self) -> Description {
        self.host.describe()
    }

    fn host(&self) -> Option<&Arc<Host>> {
        Some(&self.host)
    }

    fn holder(&self) -> Holder {
        self.holder
    }

    fn entry(&self, receiver: Receiver) -> Option<actors::Hold> {
        let is_below = receiver == Receiver::Child && !self.host.is_forked();
        is_below.then(|| Entry::of(self.another()))
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        // While the actor's thread or another reference has the host too, what it holds is alive.
        let held_here = if Arc::ptr_eq(&self.host, &self.kept) {
            2
        } else {
            1
        };
        if Arc::strong_count(&self.kept) > held_here {
            return Ok(());
        }
        self.kept.traverse(visit)
    }
}

impl Listed for Hold {
    fn number(&self) -> u64 {
        self.host.number()
    }

    fn target(&self, _description: Description) -> Box<dyn Target> {
        Box::new(self.another())
    }

    fn kin(&self, number: u64) -> Option<actors::Hold> {
        self.kin(number).map(Entry::of)
    }

    fn host(&self) -> Option<&Arc<Host>> {
        Some(&self.host)
    }
}
