//! An async actor in a child: its event loop reads the request pipe when there is something to read,
//! and begins messages while there is a place for them.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyTuple};

use super::outbox::send;
use super::packing::{Outflow, Packing, stopped};
use crate::engine::ipc::credits::Sleep;
use crate::engine::ipc::frame::{Frame, Kind, encode, encode_done};
use crate::engine::ipc::outbox::{Haste, Outbox};
use crate::engine::ipc::region::Region;
use crate::engine::ipc::relay::Awaited;
use crate::engine::stream::Space;
use crate::engine::sys::{self, HandleNumber};
use crate::py::asynchronous;
use crate::py::asynchronous::waker::Waker;
use crate::py::asynchronous::{Calls, Entered, Outlet, Source, Taken, Ticket};
use crate::py::current::{Claimed, Running};
use crate::py::interpreter::daemon_threads::outlast;
use crate::py::message::fault::log_told;
use crate::py::message::request::{Call, Wants};
use crate::py::stream::run::Ended;

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
    shared: Arc<Shared>,
    /// Wakes the loop when another thread has read something for it.
    waker: Arc<Waker>,
}

/// What the loop's messages and their streams share.
struct Shared {
    packing: Packing,
    answers: &'static Outbox,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Whether no more messages come, and then whether the parent has said so.
    over: Option<bool>,
    /// The messages that run: their numbers here, and in the window.
    running: Vec<(u64, u64)>,
    /// The streams that have no credit, with the numbers of their messages here.
    without_credit: Vec<(u64, Outflow)>,
    /// Whether answers were given to the outbox that leave soon, and not now.
    are_held_back: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn region(&self) -> &Region {
        &self.packing.region
    }

    /// The message runs no more. Returns when its answer must leave: messages that run, and that are there
    /// to begin, may have answers soon. The next one may also block the loop or end this process.
    fn has_ended(&self, sequence: u64) -> Haste {
        let mut state = self.state();
        state.running.retain(|(_, running)| *running != sequence);
        state
            .without_credit
            .retain(|(_, outflow)| outflow.sequence != sequence);
        state.are_held_back = !state.running.is_empty() || self.packing.way.inbox.has_frame();
        if state.are_held_back {
            Haste::Soon
        } else {
            Haste::Now
        }
    }

    /// The numbers of the messages that were asked to stop, and of the streams that have credit again.
    /// From now on the parent sends a frame when there is another one.
    fn to_look_at(&self) -> Vec<u64> {
        let state = self.state();
        let region = self.region();
        // First: what comes in between is found below, or else the parent sends a frame.
        region.credits().sleep(if state.without_credit.is_empty() {
            Sleep::UntilAsked
        } else {
            Sleep::WithoutCredit
        });
        let claims = region.claims();
        let running = state.running.iter();
        let asked = running.filter(|(_, sequence)| claims.was_asked(*sequence));
        let waiting = state.without_credit.iter();
        let fed = waiting.filter(|(_, outflow)| outflow.has_credit(region));
        asked
            .map(|(number, _)| *number)
            .chain(fed.map(|(number, _)| *number))
            .collect()
    }
}

/// The items of a stream go to the parent.
struct ToParent {
    shared: Arc<Shared>,
    /// The message's number here.
    number: u64,
    /// Changed only by the loop's thread.
    outflow: Mutex<Outflow>,
}

impl ToParent {
    fn outflow(&self) -> MutexGuard<'_, Outflow> {
        self.outflow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self, outflow: &Outflow) -> Space {
        let region = self.shared.region();
        if outflow.is_asked(region) {
            return Space::Closed;
        }
        if outflow.has_credit(region) {
            return Space::Free;
        }
        Space::Full
    }
}

impl Outlet for ToParent {
    fn space(&self, py: Python<'_>) -> PyResult<Space> {
        let outflow = *self.outflow();
        let mut found = self.look(&outflow);
        if found == Space::Full {
            // What is held back must not wait for a taker that waits for it.
            send(py, self.shared.answers, [], Haste::Now)?;
            let mut state = self.shared.state();
            let waiting = &mut state.without_credit;
            waiting.retain(|(number, _)| *number != self.number);
            waiting.push((self.number, outflow));
            drop(state);
            // Before the last look: see `credits`.
            let credits = self.shared.region().credits();
            credits.sleep(Sleep::WithoutCredit);
            found = self.look(&outflow);
        }
        if found != Space::Full {
            let mut state = self.shared.state();
            state
                .without_credit
                .retain(|(number, _)| *number != self.number);
        }
        Ok(found)
    }

    fn put(&self, item: Bound<'_, PyAny>) -> PyResult<()> {
        let py = item.py();
        let mut frame = self.shared.packing.item(item)?;
        let haste = self.outflow().count(self.shared.region(), &mut frame);
        send(py, self.shared.answers, [frame], haste)
    }
}

impl Messages {
    pub(super) fn new(packing: Packing, answers: &'static Outbox) -> Self {
        Self {
            shared: Arc::new(Shared {
                packing,
                answers,
                state: Mutex::default(),
            }),
            waker: Arc::default(),
        }
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
        let name = self.shared.packing.name.clone();
        let construct = construct.as_any();
        let messages = Arc::new(self);
        asynchronous::core::run(
            py,
            &name,
            messages,
            construct,
            max_concurrency,
            loop_factory,
        )
    }
}

/// What a frame asks for.
fn open(py: Python<'_>, packing: &Packing, frame: Frame) -> PyResult<Call> {
    let body = packing.way.receive(py, frame.body)?;
    Call::of_object(frame.kind, body.load(py)?)
}

impl Source for Messages {
    fn take(&self, py: Python<'_>, number: u64) -> PyResult<Option<Taken>> {
        let (shared, packing) = (&self.shared, &self.shared.packing);
        while let Some(frame) = packing.way.inbox.next_frame() {
            let sequence = frame.sequence;
            if frame.kind == Kind::Stop {
                shared.state().over = Some(true);
                return Ok(None);
            }
            sys::moment();
            if !packing.region.claims().claim(sequence) {
                packing.way.skip(&frame.body);
                // The parent still owns the blocks that its frame refers to: see `Ticket`.
                let skipped = encode(Kind::Skipped, sequence, b"");
                send(py, shared.answers, [skipped], Haste::Now)?;
                continue;
            }
            if packing.region.notifies_begun() {
                let begun = encode(Kind::Begun, sequence, b"");
                send(py, shared.answers, [begun], Haste::Now)?;
            }
            let wants = if frame.kind.is_told() {
                Wants::Nothing
            } else {
                Wants::Answer
            };
            shared.state().running.push((number, sequence));
            let outlet = frame.kind.is_stream().then(|| {
                let outflow = Mutex::new(Outflow::new(sequence));
                let shared = Arc::clone(shared);
                Box::new(ToParent {
                    shared,
                    number,
                    outflow,
                }) as Box<dyn Outlet>
            });
            let from = Arc::clone(shared);
            return Ok(Some(Taken {
                open: Box::new(move |py| open(py, &from.packing, frame)),
                ticket: Ticket::Sequence(sequence, wants),
                current: Running::InChild(Claimed::shared(&packing.region, sequence)),
                outlet,
            }));
        }
        Ok(None)
    }

    fn expects_more(&self) -> bool {
        self.shared.packing.way.inbox.has_frame()
    }

    fn over(&self) -> Option<bool> {
        self.shared.state().over
    }

    fn fail(&self, py: Python<'_>, error: PyErr, stage: &str) -> PyResult<()> {
        let frame = self.shared.packing.error(py, error, stage, 0)?;
        send(py, self.shared.answers, [frame], Haste::Now)
    }

    fn end(&self, py: Python<'_>, ticket: Ticket, ended: Ended<'_>) -> PyResult<()> {
        let (shared, packing) = (&self.shared, &self.shared.packing);
        let Ticket::Sequence(sequence, wants) = ticket else {
            return Ok(());
        };
        let answer = match ended {
            Ended::By(ended) if wants.is_nothing() => {
                if let Err(error) = ended {
                    packing.region.failed().fetch_add(1, Ordering::Relaxed);
                    log_told(py, &packing.name, error);
                }
                packing.region.claims().finish(sequence);
                encode_done(&[sequence])
            }
            Ended::By(ended) => packing.end(py, ended, sequence)?,
            Ended::Closed => stopped(sequence),
        };
        let haste = shared.has_ended(sequence);
        send(py, shared.answers, [answer], haste)
    }

    fn lose(&self, _py: Python<'_>, _ticket: Ticket) {
        // The parent must not wait for its answer, which never comes.
        sys::end_now();
    }

    fn show(&self, running: usize, since: u64) {
        let region = self.shared.region();
        region.running().store(running as u64, Ordering::Relaxed);
        region.since().store(since, Ordering::Relaxed);
    }

    fn attach(&self, py: Python<'_>, calls: Calls) -> PyResult<()> {
        py.detach(|| self.shared.packing.way.has_started());
        self.shared.region().credits().sleep(Sleep::UntilAsked);
        self.waker.attach(calls);
        let waker = Arc::clone(&self.waker);
        let inbox = &self.shared.packing.way.inbox;
        inbox.set_wake_loop(Box::new(move || {
            waker.sleep();
            // The thread that reads may hear of the parent's end when the interpreter has ended.
            outlast();
            _ = Python::try_attach(|py| waker.wake(py));
        }));
        if !sys::ARE_PIPES_SELECTABLE && !self.shared.packing.way.read_always() {
            let text = "cannot start the thread that reads for the event loop";
            return Err(PyRuntimeError::new_err(text));
        }
        if self.shared.region().notifies_begun() {
            // A pool waits for this before it sends messages.
            let constructed = encode(Kind::Begun, 0, b"");
            send(py, self.shared.answers, [constructed], Haste::Now)?;
        }
        Ok(())
    }

    fn detach(&self) {
        self.waker.detach();
    }

    fn descriptor(&self) -> Option<HandleNumber> {
        Some(self.shared.packing.way.inbox.descriptor())
    }

    fn read(&self, py: Python<'_>) -> PyResult<Option<Vec<u64>>> {
        if self.shared.packing.way.inbox.read_what_is_there(py)? {
            self.shared.state().over.get_or_insert(false);
            return Ok(None);
        }
        Ok(Some(self.shared.to_look_at()))
    }

    fn wait_in_sight(
        &self,
        py: Python<'_>,
        awaited: &[Awaited],
    ) -> PyResult<Option<Box<dyn Entered>>> {
        let shown = self.shared.packing.way.show(py, awaited)?;
        Ok(Some(Box::new(shown)))
    }

    fn flush(&self, py: Python<'_>) -> PyResult<()> {
        if std::mem::take(&mut self.shared.state().are_held_back) {
            send(py, self.shared.answers, [], Haste::Now)?;
        }
        Ok(())
    }
}
