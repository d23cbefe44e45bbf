//! The loop of a child, on its main thread: takes the messages one by one, calls the actor, and sends
//! the answers.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use super::call::{CallParts, Callee, give_control};
use super::event_loop::{AsyncParts, Messages};
use super::inbox::see_to_signals;
use super::outbox::{haste, send};
use super::packing::Packing;
use super::remote::OwnActor;
use super::way::Way;
use crate::engine::arena::Arena;
use crate::engine::ipc::frame::{Frame, Kind, encode, encode_done};
use crate::engine::ipc::outbox::{Haste, Outbox};
use crate::engine::ipc::region::Region;
use crate::engine::sys;
use crate::py::codec::actors::{Described, Description};
use crate::py::codec::pickle;
use crate::py::current;
use crate::py::current::{Claimed, Running};
use crate::py::interpreter::lifecycle::Loading;
use crate::py::interpreter::wait::Attached;
use crate::py::message::fault::Stage;
use crate::py::reference::own;
use crate::py::thread::call::on_start;

pub(super) struct ChildLoop<'py> {
    pub(super) way: Arc<Way>,
    pub(super) answers: &'static Outbox,
    pub(super) region: Arc<Region>,
    /// Called with the actor's name and the parent's surroundings, such as its `sys.path`.
    pub(super) prepare: Bound<'py, PyAny>,
    pub(super) arena: Arc<Arena>,
    pub(super) dump_error: Bound<'py, PyAny>,
    /// The messages sent by `tell` that have been handled and not reported to the parent yet.
    pub(super) done: Vec<u64>,
}

/// What makes the actor.
enum Construct<'py> {
    Sync(CallParts<'py>),
    Async(AsyncParts<'py>),
}

impl<'py> ChildLoop<'py> {
    pub(super) fn serve(self, py: Python<'py>) -> PyResult<()> {
        let served = self.run(py);
        own::leave();
        served
    }

    fn run(mut self, py: Python<'py>) -> PyResult<()> {
        let Some(start) = self.way.inbox.wait_for_frame(py)? else {
            return Ok(());
        };
        let (name, own) = match self.prepare(py, &start.body) {
            Ok(prepared) => prepared,
            Err(error) => return self.fail(py, error, Stage::Loading),
        };
        let Some(construct) = self.way.inbox.wait_for_frame(py)? else {
            return Ok(());
        };
        let (class, args, kwargs) = match self.load(py, construct) {
            Ok(Construct::Sync(call)) => call,
            Ok(Construct::Async(parts)) => {
                own::enter(own, parts.0.cast()?);
                return Messages::new(self.packing(name), self.answers).run(py, parts);
            }
            Err(error) => return self.fail(py, error, Stage::Loading),
        };
        own::enter(own, class.cast()?);
        let made = give_control(|| class.call(args, kwargs.as_ref()));
        // From here on only the actor keeps its arguments alive.
        drop((class, kwargs));
        let made = made.map_err(|error| (error, Stage::Constructor));
        let started = made.and_then(|actor| match give_control(|| on_start(&actor)) {
            Ok(()) => Ok(actor),
            Err(error) => Err((error, Stage::OnStart)),
        });
        let callee = match started {
            Ok(actor) => Callee {
                actor,
                packing: self.packing(name),
            },
            Err((error, stage)) => return self.fail(py, error, stage),
        };
        py.detach(|| self.way.has_started());
        if self.region.notifies_begun() {
            // A pool waits for this before it sends messages.
            self.send(py, encode(Kind::Begun, 0, b""), Haste::Now)?;
        }
        let mut next = self.way.inbox.wait_for_frame(py)?;
        let mut stopped = false;
        let mut attached = Attached::begin();
        while let Some(frame) = next {
            let sequence = frame.sequence;
            if frame.kind == Kind::Stop {
                stopped = true;
                break;
            }
            // A signal that arrived between messages must not interrupt this one.
            see_to_signals(py)?;
            next = None;
            sys::moment();
            let answer = if self.region.claims().claim(sequence) {
                if self.region.notifies_begun() {
                    next = self.way.inbox.next_frame();
                    let begun = encode(Kind::Begun, sequence, b"");
                    self.send(py, begun, haste(next.as_ref()))?;
                }
                self.region.since().store(attached.now(), Ordering::Relaxed);
                let answer = self.handle(py, &callee, frame)?;
                self.region.since().store(0, Ordering::Relaxed);
                answer
            } else {
                self.way.skip(&frame.body);
                // The parent still owns the blocks that its frame refers to: see `Ticket`.
                Some(encode(Kind::Skipped, sequence, b""))
            };
            if next.is_none() {
                next = self.way.inbox.next_frame();
            }
            if let Some(answer) = answer {
                self.send(py, answer, haste(next.as_ref()))?;
            } else {
                self.done(py, sequence, next.as_ref())?;
            }
            if next.is_none() {
                next = self.way.inbox.wait_for_frame(py)?;
                attached = Attached::begin();
            } else {
                // To threads that `handle` has started. Sending an answer also lets them run, but
                // for messages sent by `tell` hardly anything is sent.
                attached.give_way(py);
            }
        }
        if stopped {
            callee.stop(py);
        }
        Ok(())
    }

    /// For the actor of this name.
    fn packing(&self, name: String) -> Packing {
        Packing {
            name,
            region: Arc::clone(&self.region),
            arena: Arc::clone(&self.arena),
            way: Arc::clone(&self.way),
            dump_error: self.dump_error.clone().unbind(),
        }
    }

    /// Lets the object handle a message that it has claimed. `None` if it was sent by `tell`.
    fn handle(
        &self,
        py: Python<'py>,
        callee: &Callee<'py>,
        frame: Frame,
    ) -> PyResult<Option<Vec<u8>>> {
        let claimed = Claimed::new(&self.region, frame.sequence);
        current::begin(Running::InChild(claimed));
        let answer = if frame.kind.is_stream() {
            let stream = callee.stream(py, frame, &self.way.inbox, self.answers);
            stream.map(Some)
        } else {
            callee.answer(py, frame)
        };
        drop(current::end());
        answer
    }

    /// Prepares this process for the actor of the start frame, and returns the actor's name, and how it
    /// refers to itself.
    fn prepare(&self, py: Python<'py>, body: &[u8]) -> PyResult<(String, Arc<OwnActor>)> {
        let (name, described, surroundings): (String, Described, Bound<'_, PyTuple>) =
            pickle::loads(py, body)?.extract()?;
        sys::name_process(&name);
        self.prepare.call1((&name, surroundings))?;
        let description = Description::of(described);
        self.way.begin_own(&name, description.places);
        let own = OwnActor::new(&self.way, description);
        Ok((name, Arc::new(own)))
    }

    /// Loads the call that makes the actor: its class, and the arguments.
    fn load(&self, py: Python<'py>, construct: Frame) -> PyResult<Construct<'py>> {
        let body = self.way.receive(py, construct.body)?;
        let loading = Loading::begin();
        let call = body.load(py)?;
        drop(loading);
        match call.extract() {
            Ok(parts) => Ok(Construct::Async(parts)),
            Err(_) => call.extract().map(Construct::Sync),
        }
    }

    /// Tells the parent why the actor could not start. After that, this process ends.
    fn fail(&mut self, py: Python<'py>, error: PyErr, stage: Stage) -> PyResult<()> {
        let body = self
            .dump_error
            .call1((error.into_value(py), stage.name()))?;
        let body = body.cast_into::<PyBytes>()?;
        self.send(py, encode(Kind::Error, 0, body.as_bytes()), Haste::Now)
    }

    /// For when message `sequence`, which was sent by `tell`, has been handled. The parent must learn
    /// of it in time to send more, but not of each one.
    fn done(&mut self, py: Python<'py>, sequence: u64, next: Option<&Frame>) -> PyResult<()> {
        const AT_MOST: usize = 32;
        self.region.claims().finish(sequence);
        self.done.push(sequence);
        let goes_on = next.is_some_and(|next| next.kind != Kind::Stop);
        if goes_on && self.done.len() < AT_MOST {
            return Ok(());
        }
        let done = self.take_done();
        send(py, self.answers, done, Haste::Soon)
    }

    fn take_done(&mut self) -> Option<Vec<u8>> {
        let frame = (!self.done.is_empty()).then(|| encode_done(&self.done));
        self.done.clear();
        frame
    }

    /// Sends `frame`, after a report of the told messages that were handled before.
    fn send(&mut self, py: Python<'py>, frame: Vec<u8>, haste: Haste) -> PyResult<()> {
        let done = self.take_done();
        send(py, self.answers, done.into_iter().chain([frame]), haste)
    }
}
