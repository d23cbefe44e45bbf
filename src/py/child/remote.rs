//! What a reference refers to in a child: an actor that is reached by the parent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use pyo3::exceptions::PyException;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::relay::{Inlet, Known, Pending, Sent};
use super::way::Way;
use crate::engine::holding::Holder;
use crate::engine::ipc::frame::{Kind, encode};
use crate::engine::ipc::outbox::Haste;
use crate::engine::ipc::relay::{Address, Place, Question};
use crate::engine::latch::Latch;
use crate::engine::stream::MOST_WEIGHT;
use crate::py::codec::actors::{Description, Hold, Receiver};
use crate::py::codec::body;
use crate::py::codec::body::Source;
use crate::py::codec::packed::Packed;
use crate::py::codec::pickle::What;
use crate::py::future;
use crate::py::future::settle;
use crate::py::host;
use crate::py::host::host::Host;
use crate::py::host::seat::{Reservation, RoomSeat};
use crate::py::interpreter::lifecycle;
use crate::py::interpreter::running_loop::running_loop;
use crate::py::message::fault::load_error;
use crate::py::message::items::{Items, Supply};
use crate::py::message::message::Message;
use crate::py::message::outcome::Outcome;
use crate::py::message::relayed::{Fate, Relayed};
use crate::py::message::request::{Asked, Wants};
use crate::py::message::tally::Tally;
use crate::py::message::ticket::{Ask, Carrier};
use crate::py::reference::own::Itself;
use crate::py::reference::target::{Entry, Listed, Target};
use crate::py::stream;

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

/// Tells the parent what has been taken of the items of a stream.
struct FromParent {
    way: Arc<Way>,
    /// The stream's number.
    number: u64,
    /// After so many items the parent must hear of them at once: others may not be made before.
    step: u64,
    /// How many items, with how many bytes, the parent need not have heard of. Relaxed: if two threads
    /// take at once, it may hear of it a little sooner or later.
    items: AtomicU64,
    bytes: AtomicU64,
}

impl FromParent {
    /// Where the items of the stream with this number go.
    fn inlet(way: &Arc<Way>, number: u64, items: Arc<Items>) -> Inlet {
        let supply = Arc::new(Self {
            way: Arc::clone(way),
            number,
            step: (items.ahead() as u64 / 2).max(1),
            items: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        });
        Inlet { items, supply }
    }
}

impl Supply for FromParent {
    fn take(&self, len_bytes: usize) -> bool {
        self.items.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(len_bytes as u64, Ordering::Relaxed);
        true
    }

    fn tell(&self) {
        let is_urgent = self.items.load(Ordering::Relaxed) >= self.step
            || self.bytes.load(Ordering::Relaxed) >= MOST_WEIGHT as u64 / 2;
        let haste = if is_urgent {
            self.items.store(0, Ordering::Relaxed);
            self.bytes.store(0, Ordering::Relaxed);
            Haste::Now
        } else {
            Haste::Soon
        };
        let taken = encode(Kind::Taken, self.number, b"");
        // If the parent is gone, this process ends.
        _ = self.way.answers.send([taken], haste);
    }
}

pub(super) struct Remote {
    pub(super) known: Arc<Known>,
    pub(super) way: Arc<Way>,
    pub(super) description: Description,
    pub(super) name: String,
    /// For the futures.
    tally: Arc<Tally>,
}

impl Remote {
    fn new(known: Arc<Known>, way: Arc<Way>, description: Description) -> Self {
        let name = description.name();
        Self {
            tally: way.tally(&known, &description),
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
    fn send(
        &self,
        py: Python<'_>,
        number: u64,
        place: Place,
        mut packed: Packed,
        ahead: usize,
    ) -> PyResult<()> {
        let address = Address {
            target: self.known.number,
            kind: packed.kind,
            place,
            ahead: u32::try_from(ahead).unwrap_or(u32::MAX),
        };
        let actors = packed.take_actors();
        let mut frame = packed.into_frame().into_vec();
        address.write(&mut frame, number);
        let sent = self.way.send(py, frame);
        drop(actors);
        sent
    }

    /// Sends a message, and returns its future. `wants` is what its caller wants. If no place is reserved,
    /// waits for one until `deadline`; where an event loop runs, the future waits for it instead.
    fn ask_for<'py>(
        &self,
        asked: Asked<'_, 'py>,
        wants: Wants,
        reserved: Option<Reservation>,
        deadline: Option<Instant>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = asked.py();
        self.admit(py)?;
        let (future, cell) = future::new_posted(py, &self.tally)?;
        let packed = match self.pack(asked, &wants) {
            Ok(packed) => packed,
            Err(error) if error.is_instance_of::<PyException>(py) => {
                let raised = Outcome::Raised(error.into_value(py).into_any());
                settle::settle_attached(py, &cell, raised);
                return Ok(future);
            }
            // Such as Ctrl-C, which the caller must see.
            Err(error) => return Err(error),
        };
        let items = wants.into_items();
        let ahead = items.as_ref().map_or(0, |items| items.ahead());
        let (number, place) = self.entrance(reserved.as_ref());
        let fate = Arc::new(Fate::default());
        let admitted = (place == Place::Awaited).then(Arc::<Latch>::default);
        let carrier = Arc::clone(&self.way) as Arc<dyn Carrier>;
        let relayed = Relayed::new(carrier, number, Arc::clone(&fate), items.clone());
        cell.post(Message::Relayed(relayed));
        let sent = Sent {
            cell,
            fate,
            admitted: admitted.clone(),
            too_late: None,
            inlet: items.map(|items| FromParent::inlet(&self.way, number, items)),
        };
        self.way.relay.enter(number, Pending::Message(sent));
        if let Some(reserved) = reserved {
            reserved.take();
        }
        self.send(py, number, place, packed, ahead)?;
        let Some(admitted) = admitted else {
            return Ok(future);
        };
        match (running_loop(py)?, deadline) {
            (None, _) => {
                let placed = self.wait_for_place(py, number, &admitted, deadline);
                if placed.is_err() && ahead > 0 {
                    // It may have got a place all the same, but the stream has no taker.
                    self.way.ask_soon(py, number, Ask::Stop);
                }
                placed?;
            }
            (Some(running), Some(deadline)) => self.limit(number, deadline, &running)?,
            (Some(_), None) => {}
        }
        Ok(future)
    }
}

impl Target for Remote {
    fn ask<'py>(
        &self,
        asked: Asked<'_, 'py>,
        deadline: Option<Instant>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.ask_for(asked, Wants::Answer, None, deadline)
    }

    fn stream<'py>(
        &self,
        asked: Asked<'_, 'py>,
        ahead: usize,
        deadline: Option<Instant>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let items = Arc::new(Items::new(ahead));
        let wants = Wants::Items(Arc::clone(&items));
        let future = self.ask_for(asked, wants, None, deadline)?;
        let (future, way) = (future.cast_into()?, Arc::clone(&self.way));
        let wake = move |taker| way.wake_taker(taker);
        stream::core::new_stream(future, items, &self.tally, &self.name, wake)
    }

    fn tell(&self, asked: Asked<'_, '_>, deadline: Option<Instant>) -> PyResult<()> {
        let py = asked.py();
        self.admit(py)?;
        if let Some(place) = self.overtake(py, deadline)? {
            return self.tell_into_room(asked, place);
        }
        let packed = self.pack(asked, &Wants::Nothing)?;
        let (number, place) = self.entrance(None);
        if place == Place::Unneeded {
            return self.send(py, number, place, packed, 0);
        }
        let admitted = Arc::<Latch>::default();
        let pending = Pending::Told(Arc::clone(&admitted));
        self.way.relay.enter(number, pending);
        self.send(py, number, place, packed, 0)?;
        self.wait_for_place(py, number, &admitted, deadline)?;
        self.admit(py)
    }

    fn try_ask<'py>(&self, asked: Asked<'_, 'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        // Only the parent knows whether there is room.
        let is_bounded = self.description.is_bounded;
        (!is_bounded).then(|| self.ask(asked, None)).transpose()
    }

    fn try_tell(&self, asked: Asked<'_, '_>) -> PyResult<bool> {
        let is_bounded = self.description.is_bounded;
        if !is_bounded {
            self.tell(asked, None)?;
        }
        Ok(!is_bounded)
    }

    fn wait_for_room(&self, py: Python<'_>) -> PyResult<RoomSeat> {
        self.admit(py)?;
        self.reserve(py)
    }

    fn ask_into_room<'py>(
        &self,
        asked: Asked<'_, 'py>,
        place: host::seat::Place,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.ask_for(asked, Wants::Answer, place.elsewhere(), None)
    }

    fn tell_into_room(&self, asked: Asked<'_, '_>, place: host::seat::Place) -> PyResult<()> {
        let py = asked.py();
        self.admit(py)?;
        let packed = self.pack(asked, &Wants::Nothing)?;
        let reserved = place.elsewhere();
        let (number, place) = self.entrance(reserved.as_ref());
        if let Some(reserved) = reserved {
            reserved.take();
        }
        self.send(py, number, place, packed, 0)
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
