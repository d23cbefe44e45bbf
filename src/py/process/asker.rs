//! A child that asks for something of other actors: what it refers to here, and what is sent back to it.

use std::sync::Arc;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::held::{Asked, Relayed, Reserved};
use super::link::Link;
use super::onward::Receiver;
use crate::engine::cell::Phase;
use crate::engine::ipc::frame::{Encoded, Kind, encode};
use crate::engine::ipc::pipe::Flush;
use crate::engine::ipc::region::Region;
use crate::engine::ipc::relay::{Awaited, encode_refused};
use crate::engine::room::Permit;
use crate::engine::waits::Target;
use crate::py::codec::actors::Hold;
use crate::py::codec::body::Body;
use crate::py::codec::packed::Packed;
use crate::py::codec::pickle::What;
use crate::py::future::ActorCell;
use crate::py::host::host::Host;
use crate::py::message::fault::{dump_error, to_error};
use crate::py::message::outcome::{Outcome, Sealed};

/// The child that asks.
#[derive(Clone)]
pub(super) struct Asker {
    pub(super) link: Arc<Link>,
    /// By which the link knows whether it still has this child.
    pub(super) region: Arc<Region>,
}

impl Asker {
    pub(super) fn with_relayed<T>(&self, edit: impl FnOnce(&mut Relayed) -> T) -> Option<T> {
        let mut outbound = self.link.outbound();
        let connection = outbound.as_mut()?.connection.as_mut()?;
        // Otherwise the child that asked is dead.
        Arc::ptr_eq(&connection.region, &self.region).then(|| edit(&mut connection.relayed))
    }

    pub(super) fn asked(&self, number: u64) -> Option<Arc<Asked>> {
        self.with_relayed(|relayed| relayed.asked.get(&number).map(Arc::clone))?
    }

    /// What ends a wait of the child; `None` if it has ended.
    pub(super) fn target(&self, awaited: Awaited) -> Option<Target> {
        let number = awaited.message();
        if let Some(asked) = self.asked(number) {
            return Some(asked.target(awaited));
        }
        self.with_relayed(|relayed| relayed.reserved.get(&number).and_then(Reserved::target))?
    }

    /// The place that the child has reserved for its message of this number.
    pub(super) fn take_reserved(&self, number: u64) -> Option<Permit> {
        let reserved = self.with_relayed(|relayed| relayed.reserved.remove(&number));
        reserved?.and_then(Reserved::into_permit)
    }

    /// The message of this number waits for a place no more. Returns whether it had none.
    pub(super) fn leave(&self, number: u64) -> bool {
        let reserved = self.with_relayed(|relayed| relayed.reserved.remove(&number));
        match reserved.flatten() {
            Some(reserved) => matches!(reserved, Reserved::Waits(..)),
            None => self.asked(number).is_some_and(|asked| asked.leave()),
        }
    }

    /// Nothing more can be asked about this message.
    pub(super) fn forget(&self, number: u64) {
        drop(self.with_relayed(|relayed| relayed.asked.remove(&number)));
    }

    /// Sends what has become of a message.
    pub(super) fn end(&self, number: u64, cell: &ActorCell) {
        let outcome = cell.outcome(|outcome| std::mem::replace(outcome, Outcome::Nothing));
        let sealed = match outcome {
            None => {
                let kind = match cell.phase() {
                    Phase::Stopped => Kind::Stopped,
                    _ => Kind::Cancelled,
                };
                return self.send(encode(kind, number, b""), Some(number));
            }
            Some(Outcome::Sealed(sealed)) => sealed,
            Some(other) => {
                return self.fail(number, |_| {
                    drop(other);
                    PyRuntimeError::new_err("the answer of that actor cannot be sent")
                });
            }
        };
        match sealed {
            Sealed::Answer(body) => self.reply(number, body),
            Sealed::Error(error) => {
                self.send(encode(Kind::Failed, number, &error), Some(number));
            }
            Sealed::Fault(fault) => self.fail(number, |py| {
                let (name, fault, started) = &*fault;
                to_error(py, name, fault, *started)
            }),
        }
    }

    fn reply(&self, number: u64, body: Arc<Body>) {
        let body = Arc::into_inner(body)
            .ok_or_else(|| PyRuntimeError::new_err("something else has the answer"));
        match body.and_then(|body| self.fit(body, Kind::Reply)) {
            Ok(packed) => self.send_packed(number, packed, Some(number)),
            Err(error) => self.fail(number, |_| error),
        }
    }

    /// Packs for the child a body that came from elsewhere.
    fn fit(&self, body: Body, kind: Kind) -> PyResult<Packed> {
        let packed = body.repack(kind);
        let mut packed = packed.map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
        let arena = self.link.arena();
        if packed.is_for(&arena) {
            return Ok(packed);
        }
        packed.for_child(&arena, &What::Message(&self.link.name))
    }

    fn send_packed(&self, number: u64, mut packed: Packed, ends: Option<u64>) {
        let actors = packed.take_actors();
        packed.renumber(number);
        self.push(
            packed.into_frame(),
            ends,
            actors.map_or_else(Vec::new, |actors| *actors),
        );
    }

    /// Fails a message by an exception that is made here.
    pub(super) fn fail(&self, number: u64, error: impl FnOnce(Python<'_>) -> PyErr) {
        let encoded = Python::attach(|py| dump_error(py, error(py)));
        // Whatever the exception, it can be encoded.
        let encoded = encoded.unwrap_or_default();
        self.send(encode(Kind::Failed, number, &encoded), Some(number));
    }

    /// Fails a message that is refused, and lets the child know that others will be, too.
    pub(super) fn refuse(&self, target: u64, number: u64, host: &Host) {
        let encoded = Python::attach(|py| dump_error(py, host.refusal(py))).unwrap_or_default();
        let frame = encode_refused(number, target, &encoded);
        self.send(frame, Some(number));
    }

    pub(super) fn send(&self, frame: Vec<u8>, ends: Option<u64>) {
        self.push(frame.into(), ends, Vec::new());
    }

    /// Sends a frame, with references to `actors`, to the child that asked. It ends the message
    /// `ends`, if there is one. If that child is dead, everything is dropped.
    fn push(&self, frame: Encoded, ends: Option<u64>, actors: Vec<Hold>) {
        let mut outbound = self.link.outbound();
        let connection = outbound
            .as_mut()
            .and_then(|outbound| outbound.connection.as_mut());
        let Some(connection) =
            connection.filter(|connection| Arc::ptr_eq(&connection.region, &self.region))
        else {
            // Without the lock: this may end an actor.
            drop(outbound);
            return drop(actors);
        };
        let ended = ends.and_then(|number| connection.relayed.end(number));
        connection.relayed.hold(actors);
        let surplus = connection.relayed.take_surplus();
        let flushed = connection.send(frame);
        drop(outbound);
        drop((ended, surplus));
        if flushed == Flush::Blocked {
            self.link.ring();
        }
    }
}

impl Receiver for Asker {
    fn send_item(&self, number: u64, item: Body) -> PyResult<()> {
        let packed = self.fit(item, Kind::Item)?;
        self.send_packed(number, packed, None);
        Ok(())
    }

    fn send_end(&self, number: u64, cell: &ActorCell, failure: Option<PyErr>) {
        match failure {
            Some(error) => self.fail(number, |_| error),
            None => self.end(number, cell),
        }
    }
}
