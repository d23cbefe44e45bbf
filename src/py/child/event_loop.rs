//! An async actor in a child: its event loop reads the request pipe when there is something to read,
//! and begins messages while there is a place for them.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyCFunction, PyDict, PyString, PyTuple};

use super::call::CallParts;
use super::inbox::broken;
use super::outbox::send;
use super::way::Way;
use crate::engine::arena::Arena;
use crate::engine::ipc::frame::{Frame, Kind, encode, encode_done, renumber};
use crate::engine::ipc::outbox::{Haste, Outbox};
use crate::engine::ipc::region::Region;
use crate::engine::sys::{self, HandleNumber};
use crate::py::asynchronous;
use crate::py::asynchronous::waker::Waker;
use crate::py::asynchronous::{Source, Taken, Ticket};
use crate::py::codec::actors::Receiver;
use crate::py::codec::body;
use crate::py::codec::body::{Body, Source as Origin};
use crate::py::codec::pickle::What;
use crate::py::current;
use crate::py::message::fault::log_told;
use crate::py::message::request::{Call, Wants};

/// What the parent sends to make an async actor: class, arguments, `max_concurrency` and
/// `loop_factory`.
pub(super) type AsyncParts<'py> = (
    Bound<'py, PyAny>,
    Bound<'py, PyTuple>,
    Option<Bound<'py, PyDict>>,
    usize,
    Option<Bound<'py, PyAny>>,
);

pub(super) struct Messages {
    pub(super) name: String,
    pub(super) way: Arc<Way>,
    pub(super) answers: &'static Outbox,
    pub(super) region: Arc<Region>,
    pub(super) arena: Arc<Arena>,
    pub(super) dump_error: Py<PyAny>,
    pub(super) state: Mutex<State>,
    /// For what other threads read.
    pub(super) waker: Arc<Waker>,
}

#[derive(Default)]
pub(super) struct State {
    /// Whether no more messages come, and then whether the parent has said so.
    over: Option<bool>,
    /// The messages that run: their numbers here, and in the window.
    running: Vec<(u64, u64)>,
    /// Answers that have not been sent, with the numbers of their messages.
    answers: Vec<(u64, Vec<u8>)>,
    /// The messages sent by `tell` that have been handled and not reported to the parent yet.
    done: Vec<u64>,
}

impl Messages {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the actor to its end.
    pub(super) fn run(self, py: Python<'_>, parts: AsyncParts<'_>) -> PyResult<()> {
        let (class, args, kwargs, max_concurrency, loop_factory) = parts;
        let kwargs = kwargs.map(Bound::unbind);
        let call = Mutex::new(Some((class.unbind(), args.unbind(), kwargs)));
        // From here on only the actor keeps its arguments alive.
        let construct = PyCFunction::new_closure(py, None, None, move |args, _| {
            let py = args.py();
            let call = call.lock().unwrap_or_else(PoisonError::into_inner).take();
            let (class, args, kwargs) =
                call.ok_or_else(|| PyRuntimeError::new_err("the object has been constructed"))?;
            let kwargs = kwargs.map(|kwargs| kwargs.into_bound(py));
            class.call(py, args.into_bound(py), kwargs.as_ref())
        })?;
        let name = self.name.clone();
        let construct = construct.as_any();
        let messages = Arc::new(self);
        asynchronous::message::run(
            py,
            &name,
            messages,
            construct,
            max_concurrency,
            loop_factory,
        )
    }

    /// The numbers of the messages that were asked to stop. From now on the parent sends a frame when
    /// it asks the next one.
    fn asked(&self) -> Vec<u64> {
        // First: a request that comes in between is found below, or else sends a frame.
        self.region.credits().sleep();
        let state = self.state();
        let running = state.running.iter();
        let claims = self.region.claims();
        running
            .filter(|(_, sequence)| claims.was_asked(*sequence))
            .map(|(number, _)| *number)
            .collect()
    }

    fn encode_error(
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

    fn encode_answer(
        &self,
        py: Python<'_>,
        sequence: u64,
        ended: PyResult<Bound<'_, PyAny>>,
    ) -> PyResult<Vec<u8>> {
        let packed = ended.and_then(|answer| {
            let what = What::Answer(&self.name);
            let arena = Some(&self.arena);
            let (source, receiver) = (Origin::Consumed, Receiver::Parent);
            body::pack(arena, Kind::Answer, answer, &what, source, receiver)
        });
        match packed {
            Ok(mut packed) => {
                self.way.keep_until_next(packed.take_actors());
                let mut frame = packed.into_frame().into_vec();
                renumber(&mut frame, Kind::Answer, sequence);
                Ok(frame)
            }
            Err(error) => {
                let was_asked = self.region.claims().was_asked(sequence);
                if was_asked && current::is_cancellation(py, &error) {
                    return Ok(encode(Kind::Stopped, sequence, b""));
                }
                self.encode_error(py, error, "", sequence)
            }
        }
    }
}

/// What a frame asks for.
fn open(py: Python<'_>, arena: &Arc<Arena>, way: &Way, frame: Frame) -> PyResult<Call> {
    if frame.kind.is_stream() {
        return Err(asynchronous::message::no_streams());
    }
    let body = Body::receive_attached(py, arena, frame.body);
    let mut body = body.map_err(|error| broken(error.into()))?;
    body.hold_actors(|number| Some(way.arrive(number)));
    let message = body.load(py)?;
    drop(body);
    let unbound = |args: Bound<'_, PyTuple>, kwargs: Option<Bound<'_, PyDict>>| {
        (args.unbind(), kwargs.map(Bound::unbind))
    };
    Ok(match frame.kind {
        Kind::Call | Kind::ToldCall => {
            let (function, args, kwargs): CallParts<'_> = message.extract()?;
            let (args, kwargs) = unbound(args, kwargs);
            Call::Function(function.unbind(), args, kwargs)
        }
        Kind::Method | Kind::ToldMethod => {
            let (method, args, kwargs): CallParts<'_> = message.extract()?;
            let (args, kwargs) = unbound(args, kwargs);
            Call::Method(method.cast_into::<PyString>()?.unbind(), args, kwargs)
        }
        _ => Call::Handle(message.unbind()),
    })
}

impl Source for Messages {
    fn take(&self, py: Python<'_>) -> PyResult<Option<Taken>> {
        while let Some(frame) = self.way.inbox.next_frame() {
            let sequence = frame.sequence;
            if frame.kind == Kind::Stop {
                self.state().over = Some(true);
                return Ok(None);
            }
            sys::moment();
            if !self.region.claims().claim(sequence) {
                // The parent still owns the blocks that its frame refers to: see `Ticket`.
                let skipped = encode(Kind::Skipped, sequence, b"");
                send(py, self.answers, [skipped], Haste::Now)?;
                continue;
            }
            if self.region.notifies_begun() {
                let begun = encode(Kind::Begun, sequence, b"");
                send(py, self.answers, [begun], Haste::Now)?;
            }
            let wants = if frame.kind.is_told() {
                Wants::Nothing
            } else {
                Wants::Answer
            };
            let ticket = Ticket::Sequence(sequence, wants);
            let arena = Arc::clone(&self.arena);
            let way = Arc::clone(&self.way);
            let open = Box::new(move |py: Python<'_>| open(py, &arena, &way, frame));
            return Ok(Some(Taken { open, ticket }));
        }
        Ok(None)
    }

    fn over(&self) -> Option<bool> {
        self.state().over
    }

    fn fail(&self, py: Python<'_>, error: PyErr, stage: &str) -> PyResult<()> {
        let frame = self.encode_error(py, error, stage, 0)?;
        send(py, self.answers, [frame], Haste::Now)
    }

    fn end(
        &self,
        py: Python<'_>,
        ticket: Ticket,
        ended: PyResult<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let Ticket::Sequence(sequence, wants) = ticket else {
            return Ok(());
        };
        self.state()
            .running
            .retain(|(_, running)| *running != sequence);
        if wants.is_nothing() {
            if let Err(error) = ended {
                self.region.failed().fetch_add(1, Ordering::Relaxed);
                log_told(py, &self.name, error);
            }
            self.region.claims().finish(sequence);
            self.state().done.push(sequence);
            return Ok(());
        }
        let answer = self.encode_answer(py, sequence, ended)?;
        self.state().answers.push((sequence, answer));
        Ok(())
    }

    fn lose(&self, _py: Python<'_>, _ticket: Ticket) {
        // The parent must not wait for its answer, which never comes.
        sys::end_now();
    }

    fn show(&self, running: usize, since: u64) {
        let running = running as u64;
        self.region.running().store(running, Ordering::Relaxed);
        self.region.since().store(since, Ordering::Relaxed);
    }

    fn attach(&self, py: Python<'_>, calls: (Py<PyAny>, Py<PyAny>, Py<PyAny>)) {
        self.region.credits().sleep();
        self.waker.attach(py, calls);
        let waker = Arc::clone(&self.waker);
        self.way.inbox.set_wake_loop(Box::new(move || {
            waker.sleep();
            Python::attach(|py| waker.wake(py));
        }));
    }

    fn detach(&self) {
        self.waker.detach();
    }

    fn descriptor(&self) -> Option<HandleNumber> {
        Some(self.way.inbox.descriptor())
    }

    fn begin(&self, ticket: &Ticket, number: u64) {
        if let Ticket::Sequence(sequence, _) = ticket {
            self.state().running.push((number, *sequence));
        }
    }

    fn read(&self, py: Python<'_>) -> PyResult<Option<Vec<u64>>> {
        if self.way.inbox.read_what_is_there(py)? {
            self.state().over.get_or_insert(false);
            return Ok(None);
        }
        Ok(Some(self.asked()))
    }

    fn flush(&self, py: Python<'_>) -> PyResult<()> {
        let (answers, done) = {
            let mut state = self.state();
            let answers = std::mem::take(&mut state.answers);
            (answers, std::mem::take(&mut state.done))
        };
        let alone = match &answers[..] {
            [] if done.is_empty() => return Ok(()),
            [(sequence, _)] if done.is_empty() => Some(*sequence),
            _ => None,
        };
        let done = (!done.is_empty()).then(|| encode_done(&done));
        let answers = answers.into_iter().map(|(_, answer)| answer);
        let frames: Vec<_> = done.into_iter().chain(answers).collect();
        send(py, self.answers, frames, Haste::Now)?;
        if let Some(sequence) = alone {
            self.region.answered().store(sequence, Ordering::Relaxed);
        }
        Ok(())
    }
}
