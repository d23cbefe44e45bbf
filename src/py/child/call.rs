//! Calls the actor, and encodes what it has returned or raised.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};

use super::inbox::{Inbox, Waited, broken};
use super::outbox::send;
use super::way::Way;
use crate::engine::arena::Arena;
use crate::engine::ipc::frame::{Frame, HEADER_BYTES, Kind, encode, number_item, renumber};
use crate::engine::ipc::outbox::{Haste, Outbox};
use crate::engine::ipc::region::Region;
use crate::py::answer;
use crate::py::answer::Called;
use crate::py::codec::actors::Receiver;
use crate::py::codec::body;
use crate::py::codec::body::{Body, Source};
use crate::py::codec::pickle::What;
use crate::py::current;
use crate::py::message::fault::{log_failure, log_told};
use crate::py::stream;
use crate::py::stream::run::{Ended, Sink};
use crate::py::thread::call::on_stop;

/// Whether the object's code runs, so that Ctrl-C must raise there.
static HANDLING: AtomicBool = AtomicBool::new(false);

/// Return whether the constructor or `handle` runs at this moment.
#[pyfunction]
pub(in crate::py) fn handling() -> bool {
    HANDLING.load(Ordering::SeqCst)
}

/// Runs the object's own code, in which Ctrl-C raises `KeyboardInterrupt`.
pub(super) fn give_control<T>(body: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    HANDLING.store(true, Ordering::SeqCst);
    let result = body();
    HANDLING.store(false, Ordering::SeqCst);
    result
}

/// Something to call, or the name of a method, with its arguments.
pub(super) type CallParts<'py> = (
    Bound<'py, PyAny>,
    Bound<'py, PyTuple>,
    Option<Bound<'py, PyDict>>,
);

/// The actor of this process.
pub(super) struct Callee<'py> {
    /// The object of the user's class.
    pub(super) actor: Bound<'py, PyAny>,
    pub(super) name: String,
    pub(super) region: Arc<Region>,
    pub(super) arena: Arc<Arena>,
    pub(super) way: Arc<Way>,
    /// Encodes an exception as bytes.
    pub(super) dump_error: Bound<'py, PyAny>,
}

impl<'py> Callee<'py> {
    /// Lets the object handle the message, and encodes the answer. `None` if it was sent by `tell`.
    pub(super) fn answer(&self, py: Python<'py>, frame: Frame) -> PyResult<Option<Vec<u8>>> {
        let sequence = frame.sequence;
        if frame.kind.is_told() {
            if let Err(error) = self.handle(py, frame) {
                self.region.failed().fetch_add(1, Ordering::Relaxed);
                log_told(py, &self.name, error);
            }
            return Ok(None);
        }
        let answer = self.handle(py, frame);
        self.encode_end(py, answer, sequence).map(Some)
    }

    /// Runs the generator of a stream, and encodes how it has ended.
    pub(super) fn stream(
        &self,
        py: Python<'py>,
        frame: Frame,
        inbox: &Inbox,
        answers: &Outbox,
    ) -> PyResult<Vec<u8>> {
        let sequence = frame.sequence;
        let name = &self.name;
        let generator = self.call(py, frame, |called, answer| {
            stream::run::check(name, called, answer)
        });
        let ended = match generator {
            Ok(generator) => {
                let mut sink = ToParent {
                    callee: self,
                    inbox,
                    answers,
                    sequence,
                    items: 0,
                    bytes: 0,
                };
                give_control(|| Ok(stream::run::run(name, &generator, &mut sink)))?
            }
            Err(error) => Ended::By(Err(error)),
        };
        match ended {
            Ended::By(ended) => self.encode_end(py, ended, sequence),
            Ended::Closed => Ok(encode(Kind::Stopped, sequence, b"")),
        }
    }

    fn handle(&self, py: Python<'py>, frame: Frame) -> PyResult<Bound<'py, PyAny>> {
        let name = &self.name;
        self.call(py, frame, |called, answer| {
            answer::check(name, called, answer)
        })
    }

    /// Calls what a message asks for, and has `check` look at the answer.
    fn call<T>(
        &self,
        py: Python<'py>,
        frame: Frame,
        check: impl FnOnce(&Called<'_, 'py>, Bound<'py, PyAny>) -> PyResult<T>,
    ) -> PyResult<T> {
        let actor = &self.actor;
        let body = Body::receive_attached(py, &self.arena, frame.body);
        let mut body = body.map_err(|error| broken(error.into()))?;
        body.hold_actors(|number| Some(self.way.arrive(number)));
        let message = body.load(py)?;
        drop(body);
        match frame.kind {
            Kind::Call | Kind::ToldCall | Kind::StreamCall => {
                let (function, args, kwargs): CallParts<'_> = message.extract()?;
                let answer = give_control(|| function.call(args, kwargs.as_ref()))?;
                check(&Called::Function, answer)
            }
            Kind::Method | Kind::ToldMethod | Kind::StreamMethod => {
                let (method, args, kwargs): CallParts<'_> = message.extract()?;
                let method = method.cast_into::<PyString>()?;
                let answer = give_control(|| actor.call_method(&method, args, kwargs.as_ref()))?;
                check(&Called::Method(&method), answer)
            }
            _ => {
                let answer =
                    give_control(|| actor.call_method1(intern!(py, "handle"), (message,)))?;
                check(&Called::Handle, answer)
            }
        }
    }

    /// Encodes what a handler has returned or raised.
    fn encode_end(
        &self,
        py: Python<'py>,
        ended: PyResult<Bound<'py, PyAny>>,
        sequence: u64,
    ) -> PyResult<Vec<u8>> {
        match ended.and_then(|answer| self.pack(Kind::Answer, answer)) {
            Ok(mut frame) => {
                renumber(&mut frame, Kind::Answer, sequence);
                Ok(frame)
            }
            Err(error) => self.encode_failure(py, error, sequence),
        }
    }

    fn pack(&self, kind: Kind, object: Bound<'py, PyAny>) -> PyResult<Vec<u8>> {
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

    /// Encodes what the handler has raised, or that it has stopped as it was asked to.
    fn encode_failure(&self, py: Python<'py>, error: PyErr, sequence: u64) -> PyResult<Vec<u8>> {
        let was_asked = self.region.claims().was_asked(sequence);
        if was_asked && current::is_cancellation(py, &error) {
            return Ok(encode(Kind::Stopped, sequence, b""));
        }
        self.encode_error(py, error, sequence)
    }

    fn encode_error(&self, py: Python<'py>, error: PyErr, sequence: u64) -> PyResult<Vec<u8>> {
        let body = self.dump_error.call1((error.into_value(py),))?;
        let body = body.cast_into::<PyBytes>()?;
        Ok(encode(Kind::Error, sequence, body.as_bytes()))
    }

    /// Lets the actor end in its own way.
    pub(super) fn stop(&self, py: Python<'_>) {
        if let Err(error) = give_control(|| on_stop(&self.actor)) {
            log_failure(py, &self.name, "on_stop", error);
        }
    }
}

/// The items of a stream go to the parent.
struct ToParent<'a, 'py> {
    callee: &'a Callee<'py>,
    inbox: &'a Inbox,
    answers: &'a Outbox,
    sequence: u64,
    /// How many items have been sent, and how many bytes.
    items: u64,
    bytes: u64,
}

impl ToParent<'_, '_> {
    fn is_asked(&self) -> bool {
        self.callee.region.claims().was_asked(self.sequence)
    }

    fn has_credit(&self) -> bool {
        let credits = self.callee.region.credits();
        credits.has_credit(self.sequence, self.items, self.bytes)
    }
}

impl<'py> Sink<'py> for ToParent<'_, 'py> {
    fn wait_for_room(&mut self, py: Python<'py>) -> PyResult<bool> {
        if self.is_asked() {
            return Ok(false);
        }
        if self.has_credit() {
            return Ok(true);
        }
        // What is held back must not wait for a taker that waits for it.
        send(py, self.answers, [], Haste::Now)?;
        let credits = self.callee.region.credits();
        let is_found = || {
            // Before each look: see `credits`.
            credits.sleep();
            self.is_asked() || self.has_credit()
        };
        let waited = self.inbox.wait_until(py, is_found);
        credits.rise();
        Ok(waited? == Waited::Found && !self.is_asked())
    }

    fn put(&mut self, item: Bound<'py, PyAny>) -> PyResult<()> {
        let py = item.py();
        let mut frame = self.callee.pack(Kind::Item, item)?;
        renumber(&mut frame, Kind::Item, self.sequence);
        number_item(&mut frame, self.items);
        let region = &self.callee.region;
        let is_awaited = region.credits().is_awaited(self.sequence, self.items);
        self.items += 1;
        self.bytes += (frame.len() - HEADER_BYTES) as u64;
        let haste = if is_awaited { Haste::Now } else { Haste::Soon };
        send(py, self.answers, [frame], haste)
    }
}
