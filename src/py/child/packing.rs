//! What an actor's code gives, as frames for the parent: answers, exceptions, and the items of streams.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::way::Way;
use crate::engine::arena::Arena;
use crate::engine::ipc::frame::{HEADER_BYTES, Kind, encode, number_item, renumber};
use crate::engine::ipc::outbox::Haste;
use crate::engine::ipc::region::Region;
use crate::py::codec::actors::Receiver;
use crate::py::codec::body;
use crate::py::codec::body::Source;
use crate::py::codec::pickle::What;
use crate::py::current;

pub(super) struct Packing {
    /// The actor's name.
    pub(super) name: String,
    pub(super) region: Arc<Region>,
    pub(super) arena: Arc<Arena>,
    pub(super) way: Arc<Way>,
    /// Encodes an exception, and the stage in which it was raised, as bytes.
    pub(super) dump_error: Py<PyAny>,
}

impl Packing {
    /// Encodes what a handler has returned or raised, or that it has stopped as it was asked to.
    pub(super) fn end(
        &self,
        py: Python<'_>,
        ended: PyResult<Bound<'_, PyAny>>,
        sequence: u64,
    ) -> PyResult<Vec<u8>> {
        match ended.and_then(|answer| self.pack(Kind::Answer, answer)) {
            Ok(mut frame) => {
                renumber(&mut frame, Kind::Answer, sequence);
                Ok(frame)
            }
            Err(error) => {
                let was_asked = self.region.claims().was_asked(sequence);
                if was_asked && current::is_cancellation(py, &error) {
                    return Ok(stopped(sequence));
                }
                self.error(py, error, "", sequence)
            }
        }
    }

    /// Encodes an exception that was raised in the stage of this name.
    pub(super) fn error(
        &self,
        py: Python<'_>,
        error: PyErr,
        stage: &str,
        sequence: u64,
    ) -> PyResult<Vec<u8>> {
        let body = self.dump_error.call1(py, (error.into_value(py), stage))?;
        let body = body.into_bound(py).cast_into::<PyBytes>()?;
        Ok(encode(Kind::Error, sequence, body.as_bytes()))
    }

    /// Encodes an item of a stream. An error says that it cannot be sent.
    pub(super) fn item(&self, item: Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
        self.pack(Kind::Item, item)
    }

    fn pack(&self, kind: Kind, object: Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
        let what = match kind {
            Kind::Item => What::Item(&self.name),
            _ => What::Answer(&self.name),
        };
        let mut packed = body::pack(
            Some(&self.arena),
            kind,
            object,
            &what,
            Source::Consumed,
            Receiver::Parent,
        )?;
        self.way.keep_until_next(packed.take_actors());
        Ok(packed.into_frame().into_vec())
    }
}

/// The end of a message that was asked to stop, and has.
pub(super) fn stopped(sequence: u64) -> Vec<u8> {
    encode(Kind::Stopped, sequence, b"")
}

/// How much a stream has sent.
#[derive(Clone, Copy)]
pub(super) struct Outflow {
    pub(super) sequence: u64,
    items: u64,
    bytes: u64,
}

impl Outflow {
    pub(super) fn new(sequence: u64) -> Self {
        Self {
            sequence,
            items: 0,
            bytes: 0,
        }
    }

    /// Whether the stream was asked to stop.
    pub(super) fn is_asked(&self, region: &Region) -> bool {
        region.claims().was_asked(self.sequence)
    }

    pub(super) fn has_credit(&self, region: &Region) -> bool {
        let credits = region.credits();
        credits.has_credit(self.sequence, self.items, self.bytes)
    }

    /// Whether it may make several items before it must wait again.
    pub(super) fn has_credit_for_several(&self, region: &Region) -> bool {
        let credits = region.credits();
        credits.has_credit_for_several(self.sequence, self.items, self.bytes)
    }

    /// Gives the frame of an item its number, and counts it. Returns when it must be sent.
    pub(super) fn count(&mut self, region: &Region, frame: &mut Vec<u8>) -> Haste {
        renumber(frame, Kind::Item, self.sequence);
        number_item(frame, self.items);
        let is_awaited = region.credits().is_awaited(self.sequence, self.items);
        self.items += 1;
        self.bytes += (frame.len() - HEADER_BYTES) as u64;
        if is_awaited { Haste::Now } else { Haste::Soon }
    }
}
