//! What a reference refers to in a child: an actor that is reached by the parent.

use std::sync::Arc;
use std::time::Instant;

use pyo3::exceptions::{PyException, PyNotImplementedError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::relay::{Known, Pending, Sent};
use super::way::Way;
use crate::engine::ipc::relay::{Address, Awaited, Question};
use crate::engine::latch::Latch;
use crate::engine::room::Permit;
use crate::py::codec::actors::{Description, Hold, Receiver};
use crate::py::codec::body;
use crate::py::codec::body::Source;
use crate::py::codec::packed::Packed;
use crate::py::codec::pickle::What;
use crate::py::future;
use crate::py::future::settle;
use crate::py::host::host::Host;
use crate::py::host::keeping::Holder;
use crate::py::host::room::{RoomSeat, has_passed};
use crate::py::interpreter::imports::{ActorDeadlock, MailboxFull};
use crate::py::interpreter::lifecycle;
use crate::py::interpreter::running_loop::running_loop;
use crate::py::message::fault::load_error;
use crate::py::message::message::Message;
use crate::py::message::outcome::Outcome;
use crate::py::message::relayed::{Fate, Relayed};
use crate::py::message::request::{Asked, Wants};
use crate::py::message::tally::Tally;
use crate::py::message::ticket::Carrier;
use crate::py::reference::own::Itself;
use crate::py::reference::target::{Entry, Listed, Target};

/// What packets list of an actor that this process has received.
pub(super) struct KnownActor {
    known: Arc<Known>,
    way: Arc<Way>,
}

impl KnownActor {
    pub(super) fn entry(known: Arc<Known>, way: Arc<Way>) -> Hold {
        Entry::of(Self { known, way })
    }
}

/// The actor of this process, as it refers to itself by the parent. It is known as long as this process
/// lives, which does not keep the actor alive.
pub(super) struct OwnActor {
    known: Arc<Known>,
    way: Arc<Way>,
    description: Description,
}

impl OwnActor {
    pub(super) fn new(way: &Arc<Way>, description: Description) -> Self {
        Self {
            known: way.know_itself(description.number),
            way: Arc::clone(way),
            description,
        }
    }
}

impl Itself for OwnActor {
    fn target(&self) -> Box<dyn Target> {
        let (known, way) = (Arc::clone(&self.known), Arc::clone(&self.way));
        Box::new(Remote::new(known, way, self.description.clone()))
    }
}

impl Listed for KnownActor {
    fn number(&self) -> u64 {
        self.known.number
    }

    fn target(&self, description: Description) -> Box<dyn Target> {
        let (known, way) = (Arc::clone(&self.known), Arc::clone(&self.way));
        Box::new(Remote::new(known, way, description))
    }

    fn kin(&self, number: u64) -> Option<Hold> {
        let known = self.way.derive(number, &self.known);
        Some(Self::entry(known, Arc::clone(&self.way)))
    }

    fn host(&self) -> Option<&Arc<Host>> {
        None
    }
}

pub(super) struct Remote {
    known: Arc<Known>,
    way: Arc<Way>,
    description: Description,
    name: String,
    /// For the futures.
    tally: Arc<Tally>,
}

impl Remote {
    fn new(known: Arc<Known>, way: Arc<Way>, description: Description) -> Self {
        let name = description.name();
        Self {
            tally: way.tally(known.number, &name),
            name,
            known,
            way,
            description,
        }
    }

    /// One to the pool of this member, or to a member of this pool.
    fn kin(&self, description: Description) -> Box<dyn Target> {
        let known = self.way.derive(description.number, &self.known);
        Box::new(Self::new(known, Arc::clone(&self.way), description))
    }

    /// An error if messages are refused, as far as this process has heard.
    fn admit(&self, py: Python<'_>) -> PyResult<()> {
        if !self.way.is_ours() {
            return Err(lifecycle::forked_error());
        }
        match self.known.refusal.get() {
            Some(error) => Err(PyErr::from_value(load_error(py, error)?)),
            None => Ok(()),
        }
    }

    fn pack(&self, asked: Asked<'_, '_>, wants: &Wants) -> PyResult<Packed> {
        let (kind, object) = asked.to_object(wants)?;
        let what = What::Message(&self.name);
        let (source, receiver) = (Source::Borrowed, Receiver::Parent);
        body::pack(Some(&self.way.arena), kind, object, &what, source, receiver)
    }

    /// Sends a message under this number. What it refers to stays known until it has left.
    fn send(&self, py: Python<'_>, number: u64, mut packed: Packed) -> PyResult<()> {
        let address = Address {
            target: self.known.number,
            kind: packed.kind,
            waits_for_room: self.description.is_bounded,
        };
        let actors = packed.take_actors();
        let mut frame = packed.into_frame().into_vec();
        address.write(&mut frame, number);
        let sent = self.way.send(py, frame);
        drop(actors);
        sent
    }

    fn full(&self) -> PyErr {
        let name = &self.name;
        MailboxFull::new_err(format!(
            "the mailbox of actor {name} is full, and no place became free in time"
        ))
    }

    /// Waits until the message of this number has a place in the mailbox, or is refused.
    fn wait_for_place(
        &self,
        py: Python<'_>,
        number: u64,
        admitted: &Latch,
        deadline: Option<Instant>,
    ) -> PyResult<()> {
        let awaited = Awaited::Room(number);
        let is_free = has_passed(deadline) || !self.way.serves_here(self.known.number);
        let waited = if is_free {
            self.way.wait_for_actor(py, admitted, awaited, deadline)
        } else {
            // It would wait for itself.
            self.way.wait_in_sight(py, admitted, awaited, deadline)
        };
        if matches!(waited, Ok(true)) {
            return Ok(());
        }
        // Unless it has just been admitted.
        let is_withdrawn = self.way.ask_parent(py, Question::Cancel(number))?;
        if is_withdrawn {
            // The parent says nothing more of one that was sent by `tell`.
            drop(self.way.relay.leave(number));
        }
        match waited {
            Err(error) if is_withdrawn || !error.is_instance_of::<ActorDeadlock>(py) => Err(error),
            Ok(_) if is_withdrawn => Err(self.full()),
            _ => Ok(()),
        }
    }
}

impl Target for Remote {
    fn ask<'py>(
        &self,
        asked: Asked<'_, 'py>,
        deadline: Option<Instant>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = asked.py();
        self.admit(py)?;
        let (future, cell) = future::new_posted(py, &self.tally)?;
        let packed = match self.pack(asked, &Wants::Answer) {
            Ok(packed) => packed,
            Err(error) if error.is_instance_of::<PyException>(py) => {
                let raised = Outcome::Raised(error.into_value(py).into_any());
                settle::settle_attached(py, &cell, raised);
                return Ok(future);
            }
            // Such as Ctrl-C, which the caller must see.
            Err(error) => return Err(error),
        };
        let number = self.way.relay.number();
        let fate = Arc::new(Fate::default());
        let admitted = self.description.is_bounded.then(Arc::<Latch>::default);
        let carrier = Arc::clone(&self.way) as Arc<dyn Carrier>;
        cell.post(Message::Relayed(Relayed::new(
            carrier,
            number,
            Arc::clone(&fate),
        )));
        let sent = Sent {
            cell,
            fate,
            admitted: admitted.clone(),
        };
        self.way.relay.enter(number, Pending::Message(sent));
        self.send(py, number, packed)?;
        if let Some(admitted) = admitted
            // Where an event loop runs, this never waits.
            && running_loop(py)?.is_none()
        {
            self.wait_for_place(py, number, &admitted, deadline)?;
        }
        Ok(future)
    }

    fn stream<'py>(
        &self,
        _asked: Asked<'_, 'py>,
        _ahead: usize,
        _deadline: Option<Instant>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Err(PyNotImplementedError::new_err(format!(
            "actor {} is in another process, from which this one gets no streams: post a message, and \
             have it tell the items to a reference",
            self.name
        )))
    }

    fn tell(&self, asked: Asked<'_, '_>, deadline: Option<Instant>) -> PyResult<()> {
        let py = asked.py();
        self.admit(py)?;
        let packed = self.pack(asked, &Wants::Nothing)?;
        let number = self.way.relay.number();
        if !self.description.is_bounded {
            return self.send(py, number, packed);
        }
        let admitted = Arc::<Latch>::default();
        let pending = Pending::Told(Arc::clone(&admitted));
        self.way.relay.enter(number, pending);
        self.send(py, number, packed)?;
        self.wait_for_place(py, number, &admitted, deadline)?;
        self.admit(py)
    }

    fn wait_for_room(&self, _py: Python<'_>) -> PyResult<RoomSeat> {
        Err(PyNotImplementedError::new_err(format!(
            "apost cannot wait for room in the bounded mailbox of actor {}, which is in another \
             process: use post in a thread",
            self.name
        )))
    }

    fn ask_into_room<'py>(
        &self,
        asked: Asked<'_, 'py>,
        _permit: Permit,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.ask(asked, None)
    }

    fn tell_into_room(&self, asked: Asked<'_, '_>, _permit: Permit) -> PyResult<()> {
        self.tell(asked, None)
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn is_alive(&self) -> bool {
        let question = Question::IsAlive(self.known.number);
        let ask = || Python::attach(|py| self.way.ask_parent(py, question));
        self.way.is_ours() && ask().unwrap_or(false)
    }

    fn id(&self) -> u64 {
        // The hosts of this process have the numbers below.
        self.known.number | 1 << 63
    }

    fn holder(&self) -> Holder {
        Holder::Others
    }

    fn host(&self) -> Option<&Arc<Host>> {
        None
    }

    fn pool(&self) -> Option<Box<dyn Target>> {
        self.description.index()?;
        Some(self.kin(self.description.pool()))
    }

    fn member(&self, index: usize) -> Option<Box<dyn Target>> {
        let is_there = index < self.description.size;
        is_there.then(|| self.kin(self.description.member(index)))
    }

    fn describe(&self) -> Description {
        self.description.clone()
    }

    fn entry(&self, receiver: Receiver) -> Option<Hold> {
        let entry = || KnownActor::entry(Arc::clone(&self.known), Arc::clone(&self.way));
        (receiver == Receiver::Parent && self.way.is_ours()).then(entry)
    }

    fn traverse(&self, _visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        Ok(())
    }
}
