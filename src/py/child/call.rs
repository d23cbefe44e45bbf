//! Calls the actor, and encodes what it has returned or raised.

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use super::inbox::{Inbox, Waited};
use super::outbox::send;
use super::packing::{Outflow, Packing, stopped};
use crate::engine::handoff::{LastCpu, Patience};
use crate::engine::ipc::credits::Sleep;
use crate::engine::ipc::frame::{Frame, Kind};
use crate::engine::ipc::outbox::{Haste, Outbox};
use crate::engine::ipc::region::Region;
use crate::py::answer;
use crate::py::answer::Called;
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
    pub(super) packing: Packing,
}

impl<'py> Callee<'py> {
    /// Lets the object handle the message, and encodes the answer. `None` if it was sent by `tell`.
    pub(super) fn answer(&self, py: Python<'py>, frame: Frame) -> PyResult<Option<Vec<u8>>> {
        let sequence = frame.sequence;
        if frame.kind.is_told() {
            if let Err(error) = self.handle(py, frame) {
                self.packing.region.failed().fetch_add(1, Ordering::Relaxed);
                log_told(py, &self.packing.name, error);
            }
            return Ok(None);
        }
        let answer = self.handle(py, frame);
        self.packing.end(py, answer, sequence).map(Some)
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
        let name = &self.packing.name;
        let generator = self.call(py, frame, |called, answer| {
            stream::run::check(name, called, answer)
        });
        let ended = match generator {
            Ok(generator) => {
                let mut sink = ToParent {
                    region: &self.packing.region,
                    packing: &self.packing,
                    inbox,
                    answers,
                    outflow: Outflow::new(sequence),
                    polls: Patience::default(),
                    yields: Patience::default(),
                };
                give_control(|| Ok(stream::run::run(name, &generator, &mut sink)))?
            }
            Err(error) => Ended::By(Err(error)),
        };
        match ended {
            Ended::By(ended) => self.packing.end(py, ended, sequence),
            Ended::Closed => Ok(stopped(sequence)),
        }
    }

    fn handle(&self, py: Python<'py>, frame: Frame) -> PyResult<Bound<'py, PyAny>> {
        let name = &self.packing.name;
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
        let message = self.packing.way.receive(py, frame.body)?.load(py)?;
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

    /// Lets the actor end in its own way.
    pub(super) fn stop(&self, py: Python<'_>) {
        if let Err(error) = give_control(|| on_stop(&self.actor)) {
            log_failure(py, &self.packing.name, "on_stop", error);
        }
    }
}

/// The items of a stream go to the parent.
struct ToParent<'a> {
    region: &'a Region,
    packing: &'a Packing,
    inbox: &'a Inbox,
    answers: &'a Outbox,
    outflow: Outflow,
    polls: Patience,
    yields: Patience,
}

impl ToParent<'_> {
    /// Waits until the generator may go on, because the taker has taken items, or must stop.
    ///
    /// A taker on another CPU takes one item after the other, so this thread polls for a moment until it
    /// may make several. On the same CPU the taker takes them all when this thread lets it run.
    fn wait_for_taker(&self) -> PyResult<Waited> {
        let (outflow, region) = (&self.outflow, self.region);
        let cpus = [LastCpu(region.child_cpu()), LastCpu(region.parent_cpu())];
        let may_make = |has_credit: bool| has_credit || outflow.is_asked(region);
        let polled = || may_make(outflow.has_credit_for_several(region));
        self.polls.wait(
            cpus,
            || (),
            || polled().then_some(Ok(Waited::Found)),
            || {
                self.yields.let_partner_run();
                if may_make(outflow.has_credit(region)) {
                    return Ok(Waited::Found);
                }
                let credits = region.credits();
                let is_found = || {
                    // Before each look: see `credits`.
                    credits.sleep(Sleep::WithoutCredit);
                    may_make(outflow.has_credit(region))
                };
                let waited = Python::attach(|py| self.inbox.wait_until(py, is_found));
                credits.rise();
                waited
            },
        )
    }
}

impl<'py> Sink<'py> for ToParent<'_> {
    fn wait_for_room(&mut self, py: Python<'py>) -> PyResult<bool> {
        let (outflow, region) = (&self.outflow, self.region);
        if outflow.is_asked(region) {
            return Ok(false);
        }
        if outflow.has_credit(region) {
            return Ok(true);
        }
        // What is held back must not wait for a taker that waits for it.
        send(py, self.answers, [], Haste::Now)?;
        let waited = py.detach(|| self.wait_for_taker());
        Ok(waited? == Waited::Found && !outflow.is_asked(region))
    }

    fn put(&mut self, item: Bound<'py, PyAny>) -> PyResult<()> {
        let py = item.py();
        let mut frame = self.packing.item(item)?;
        let haste = self.outflow.count(self.region, &mut frame);
        send(py, self.answers, [frame], haste)
    }
}
