//! Calls the actor, and encodes what it has returned or raised.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};

use super::inbox::broken;
use crate::engine::arena::Arena;
use crate::engine::ipc::frame::{Frame, Kind, encode, renumber};
use crate::engine::ipc::region::Region;
use crate::py::answer;
use crate::py::answer::Called;
use crate::py::codec::body;
use crate::py::codec::body::{Body, Source};
use crate::py::codec::pickle::What;
use crate::py::current;
use crate::py::message::fault::{log_failure, log_told};
use crate::py::thread::on_stop;

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
        let packed = self.handle(py, frame).and_then(|answer| {
            let what = What::Answer(&self.name);
            body::pack(
                Some(&self.arena),
                Kind::Answer,
                answer,
                &what,
                Source::Consumed,
            )
        });
        match packed {
            Ok(packed) => {
                let mut frame = packed.into_frame().into_vec();
                renumber(&mut frame, Kind::Answer, sequence);
                Ok(Some(frame))
            }
            Err(error) => Ok(Some(self.encode_failure(py, error, sequence)?)),
        }
    }

    fn handle(&self, py: Python<'py>, frame: Frame) -> PyResult<Bound<'py, PyAny>> {
        let (actor, name) = (&self.actor, &self.name);
        let body = Body::receive_attached(py, &self.arena, frame.body);
        let message = body.map_err(|error| broken(error.into()))?.load(py)?;
        match frame.kind {
            Kind::Call | Kind::ToldCall => {
                let (function, args, kwargs): CallParts<'_> = message.extract()?;
                let answer = give_control(|| function.call(args, kwargs.as_ref()))?;
                answer::check(name, &Called::Function, answer)
            }
            Kind::Method | Kind::ToldMethod => {
                let (method, args, kwargs): CallParts<'_> = message.extract()?;
                let method = method.cast_into::<PyString>()?;
                let answer = give_control(|| actor.call_method(&method, args, kwargs.as_ref()))?;
                answer::check(name, &Called::Method(&method), answer)
            }
            _ => {
                let answer =
                    give_control(|| actor.call_method1(intern!(py, "handle"), (message,)))?;
                answer::check(name, &Called::Handle, answer)
            }
        }
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
