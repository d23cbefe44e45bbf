//! The transport of a pool: how the messages in its mailbox get to its members.

use std::sync::Arc;
use std::time::Instant;

use pyo3::exceptions::PyException;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use crate::engine::ipc::frame::Kind;
use crate::engine::mailbox::Mailbox;
use crate::engine::room::Granted;
use crate::engine::sys;
use crate::py::codec::body::Body;
use crate::py::future::ActorCell;
use crate::py::host::host::Host;
use crate::py::host::streams::Stalled;
use crate::py::host::team::Team;
use crate::py::host::transport::{Dump, Signalled, Transport};
use crate::py::interpreter::wait::Seconds;
use crate::py::message::fault::Force;
use crate::py::message::items::Items;
use crate::py::message::message::Message;
use crate::py::message::request::{Asked, Wants};
use crate::py::process::crew::Crew;
use crate::py::process::transport::pack;

/// The transport of a pool's host.
pub(super) struct ToMembers {
    pub(super) name: String,
    pub(super) team: Arc<Team>,
    pub(super) members: Vec<Arc<Host>>,
    /// If they are processes, and more than one.
    pub(super) crew: Option<Arc<Crew>>,
}

impl ToMembers {
    fn any(&self) -> &dyn Transport {
        &*self.members[0].transport
    }
}

impl Transport for ToMembers {
    fn pack(&self, asked: Asked<'_, '_>, wants: Wants) -> PyResult<Message> {
        match &self.crew {
            // It is not known yet which child will get it.
            Some(_) => pack(&self.name, None, asked, wants),
            None => self.any().pack(asked, wants),
        }
    }

    fn adopt(
        &self,
        kind: Kind,
        body: Body,
        items: Option<Arc<Items>>,
    ) -> Result<Message, &'static str> {
        self.any().adopt(kind, body, items)
    }

    fn rouse_detached(&self) {
        match &self.crew {
            _ if self.members.len() == 1 => self.any().rouse_detached(),
            None => self.team.roster.call_any(),
            Some(crew) if self.team.mailbox.is_closed() => crew.serve_all(),
            Some(crew) if crew.has_place() => crew.dispatch(),
            Some(_) => {}
        }
    }

    fn rouse(&self, py: Python<'_>) {
        match &self.crew {
            _ if self.members.len() == 1 => self.any().rouse(py),
            None => self.team.roster.call_any(),
            Some(crew) if self.team.mailbox.is_closed() => py.detach(|| crew.serve_all()),
            // Without a place there is nothing to do, so there is no reason to give the GIL away.
            Some(crew) if crew.has_place() => py.detach(|| crew.dispatch()),
            Some(_) => {}
        }
    }

    fn in_flight(&self) -> Vec<Arc<ActorCell>> {
        // What leaves a mailbox after this is in flight.
        let waiting: Vec<_> = self
            .members
            .iter()
            .flat_map(|member| member.mailbox.drain())
            .collect();
        let in_flight = self.members.iter();
        let in_flight = in_flight.flat_map(|member| member.transport.in_flight());
        in_flight.chain(waiting).collect()
    }

    fn is_own_thread(&self) -> bool {
        self.members.iter().any(|member| member.is_own_thread())
    }

    fn dump_traceback(&self, py: Python<'_>, deadline: Option<Instant>) -> PyResult<Dump> {
        let mut texts = Vec::with_capacity(self.members.len());
        for member in &self.members {
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            let left = left.map(|left| Seconds(left.as_secs_f64()));
            let dump = match member.dump_traceback(py, left) {
                Ok(dump) => dump,
                // The others may be what the caller wants to see.
                Err(error) if self.members.len() > 1 && error.is_instance_of::<PyException>(py) => {
                    format!("no traceback: {}\n", error.value(py))
                }
                Err(error) => return Err(error),
            };
            texts.push(format!("actor {}:\n{dump}\n", member.name));
        }
        Ok(Dump::Text(texts.concat()))
    }

    fn release_begun(&self) -> Vec<Granted> {
        let members = self.members.iter();
        members
            .flat_map(|member| member.transport.release_begun())
            .collect()
    }

    fn signal(&self, _force: Force) -> sys::Result<Signalled> {
        // The members have been ended. What threads have not begun fails at once.
        match &self.crew {
            Some(_) => Ok(Signalled::Yes),
            None if self.members.len() == 1 => Ok(Signalled::Yes),
            None => Ok(Signalled::No),
        }
    }

    fn is_at_rest(&self, _mailbox: &Mailbox<Arc<ActorCell>>, _stalled: Stalled) -> bool {
        // It runs nothing itself. Its members look into its mailbox, too, before they rest.
        true
    }

    fn pid(&self) -> Option<u32> {
        None
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        for member in &self.members {
            // Until a member has ended, its thread has it too, so what it holds is alive.
            if member.ended.is_set() {
                member.traverse(visit)?;
            }
        }
        Ok(())
    }
}
