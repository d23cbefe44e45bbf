//! Posting: a message gets a place in the mailbox, a future and a cell, and is put there, or it is
//! refused. Also how a message ends that an actor of this process has handled.

use std::sync::Arc;
use std::time::Instant;

use pyo3::exceptions::{PyException, PyRuntimeError};
use pyo3::prelude::*;

use crate::engine::ipc::frame::Kind;
use crate::engine::room::Permit;
use crate::engine::waits;
use crate::py::codec::actors::Receiver;
use crate::py::codec::body;
use crate::py::codec::body::{Body, Source};
use crate::py::codec::pickle::What;
use crate::py::current;
use crate::py::future;
use crate::py::future::{ActorCell, settle};
use crate::py::interpreter::lifecycle;
use crate::py::interpreter::lifecycle::Exit;
use crate::py::interpreter::running_loop::running_loop;
use crate::py::message::fault::{Started, dump_error, log_told, shut_down, to_error};
use crate::py::message::items::{Item, Items};
use crate::py::message::outcome::{Outcome, Sealed};
use crate::py::message::request::{Asked, Sender, Wants};
use crate::py::message::tally::Completion;
use crate::py::stream;

use super::host::Host;
use super::room::has_passed;

impl Host {
    /// Puts a message into the mailbox and returns its future. Waits for room until `deadline`; where
    /// an event loop runs, the future waits for it instead.
    pub(in crate::py) fn accept<'py>(
        self: &Arc<Self>,
        asked: Asked<'_, 'py>,
        deadline: Option<Instant>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.accept_as(asked, Wants::Answer, deadline)
    }

    #[expect(clippy::inline_always, reason = "every message is posted through it")]
    #[inline(always)]
    fn accept_as<'py>(
        self: &Arc<Self>,
        asked: Asked<'_, 'py>,
        wants: Wants,
        deadline: Option<Instant>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = asked.py();
        self.admit(py)?;
        let permit = match self.try_acquire(py) {
            Ok(permit) => permit,
            Err(room) => match running_loop(py)? {
                Some(running) if !has_passed(deadline) => {
                    return self.accept_later(asked, wants, room, deadline, &running);
                }
                _ => Some(self.block_for_room(py, room, deadline)?),
            },
        };
        self.accept_into(asked, wants, permit)
    }

    /// Like `accept` where the event loop `running` runs, but the future waits for room also if
    /// `deadline` has passed meanwhile, and then fails.
    pub(in crate::py) fn accept_in_loop<'py>(
        self: &Arc<Self>,
        asked: Asked<'_, 'py>,
        deadline: Option<Instant>,
        running: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.admit(asked.py())?;
        match self.try_acquire(asked.py()) {
            Ok(permit) => self.accept_with(asked, permit),
            Err(room) => self.accept_later(asked, Wants::Answer, room, deadline, running),
        }
    }

    /// Like `accept`, if there is room; otherwise nothing is sent.
    pub(in crate::py) fn try_accept<'py>(
        &self,
        asked: Asked<'_, 'py>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.admit(asked.py())?;
        match self.try_acquire(asked.py()) {
            Ok(permit) => self.accept_with(asked, permit).map(Some),
            Err(_) => Ok(None),
        }
    }

    /// Like `accept`, but the caller has acquired the place in the mailbox, if that has a bound.
    pub(in crate::py) fn accept_with<'py>(
        &self,
        asked: Asked<'_, 'py>,
        permit: Option<Permit>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.accept_into(asked, Wants::Answer, permit)
    }

    #[expect(clippy::inline_always, reason = "every message is posted through it")]
    #[inline(always)]
    fn accept_into<'py>(
        &self,
        asked: Asked<'_, 'py>,
        wants: Wants,
        permit: Option<Permit>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = asked.py();
        let (future, cell) = future::new_posted(py, &self.tally)?;
        match self.transport.pack_into(&cell, asked, wants, permit) {
            Ok(()) => self.enter(py, cell)?,
            Err(error) => self.fail_packing(py, &cell, error)?,
        }
        Ok(future)
    }

    /// Fails the future of a message that could not be packed, or returns the error.
    pub(super) fn fail_packing(
        &self,
        py: Python<'_>,
        cell: &ActorCell,
        error: PyErr,
    ) -> PyResult<()> {
        // Such as Ctrl-C, which the caller must see.
        if !error.is_instance_of::<PyException>(py) {
            return Err(error);
        }
        self.tally.accept();
        self.fail_one(py, cell, error);
        Ok(())
    }

    /// Puts a posted cell into the mailbox.
    #[expect(clippy::inline_always, reason = "every message is posted through it")]
    #[inline(always)]
    pub(super) fn enter(&self, py: Python<'_>, cell: Arc<ActorCell>) -> PyResult<()> {
        if self.put(cell).is_err() {
            return Err(self.refusal(py));
        }
        self.tally.accept();
        self.transport.rouse(py);
        Ok(())
    }

    /// Ends an accepted message that will never begin.
    pub(super) fn fail_one(&self, py: Python<'_>, cell: &ActorCell, error: PyErr) {
        self.tally.end(Completion::Failed);
        let error = error.into_value(py).into_any();
        settle::settle_attached(py, cell, Outcome::Raised(error));
    }

    /// Puts a message into the mailbox and returns the stream of what its handler yields. Waits as
    /// `accept` does.
    pub(in crate::py) fn stream<'py>(
        self: &Arc<Self>,
        asked: Asked<'_, 'py>,
        ahead: usize,
        deadline: Option<Instant>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let items = Arc::new(Items::new(ahead));
        let future = self.accept_as(asked, Wants::Items(Arc::clone(&items)), deadline)?;
        let future = future.cast_into()?;
        stream::core::new_stream(future, items, &self.tally, &self.name, |taker| taker.wake())
    }

    /// Puts a message that has no future into the mailbox. Waits for room until `deadline`.
    pub(in crate::py) fn tell(
        &self,
        asked: Asked<'_, '_>,
        deadline: Option<Instant>,
    ) -> PyResult<()> {
        let py = asked.py();
        self.admit(py)?;
        let permit = self.acquire(py, deadline)?;
        self.tell_with(asked, permit)
    }

    /// Like `tell`, if there is room; otherwise nothing is sent. Returns whether there was.
    pub(in crate::py) fn try_tell(&self, asked: Asked<'_, '_>) -> PyResult<bool> {
        self.admit(asked.py())?;
        match self.try_acquire(asked.py()) {
            Ok(permit) => self.tell_with(asked, permit).map(|()| true),
            Err(_) => Ok(false),
        }
    }

    /// Like `tell`, but the caller has acquired the place in the mailbox, if that has a bound.
    pub(in crate::py) fn tell_with(
        &self,
        asked: Asked<'_, '_>,
        permit: Option<Permit>,
    ) -> PyResult<()> {
        let py = asked.py();
        let cell = Arc::new(ActorCell::default());
        self.transport
            .pack_into(&cell, asked, Wants::Nothing, permit)?;
        self.enter(py, cell)?;
        self.tally.tell();
        Ok(())
    }

    /// After a message of another process was put into the mailbox. Never blocks; call it detached,
    /// without a lock.
    pub(in crate::py) fn accept_relayed(&self, is_told: bool) {
        self.sweep();
        self.tally.accept();
        if is_told {
            self.tally.tell();
        }
        self.transport.rouse_detached();
    }

    /// Puts a message into the mailbox, after a sweep if many messages there are cancelled. Returns
    /// the cell if the mailbox is closed.
    #[expect(clippy::inline_always, reason = "every message is posted through it")]
    #[inline(always)]
    fn put(&self, cell: Arc<ActorCell>) -> Result<(), Arc<ActorCell>> {
        self.sweep();
        self.mailbox.put(cell)
    }

    /// Drops the cancelled messages in the mailbox, if they are many. The caller must not hold a lock.
    #[inline]
    pub(super) fn sweep(&self) {
        let cancelled = self.tally.cancelled();
        drop(self.mailbox.sweep(cancelled, |cell| cell.done().is_set()));
    }

    /// Makes the actor's thread look whether only the actor refers to itself. Does nothing in that
    /// thread, which looks before it waits, and again if one went meanwhile.
    pub(in crate::py) fn look_at_references(&self) {
        if !self.is_own_thread() {
            // Without a message it is skipped. A mailbox that is closed needs none.
            drop(self.mailbox.put(Arc::<ActorCell>::default()));
        }
        // An event loop also looks if the reference was dropped in its own thread.
        Python::attach(|py| self.transport.rouse(py));
    }

    /// Ends a message with what `handle` returned or raised. `wants` is what its caller wants.
    pub(in crate::py) fn finish(
        &self,
        py: Python<'_>,
        cell: &ActorCell,
        wants: &Wants,
        ended: PyResult<Bound<'_, PyAny>>,
    ) {
        let outcome = self.outcome(py, cell, wants, Sender::Here, ended);
        settle::settle_attached(py, cell, outcome);
    }

    /// Counts a message that ends with what `handle` returned or raised, and returns what to settle
    /// it with. `wants` is what its caller wants. For a caller in another process the answer is packed
    /// here, attached, so that any thread can pass it on.
    pub(in crate::py) fn outcome(
        &self,
        py: Python<'_>,
        cell: &ActorCell,
        wants: &Wants,
        sender: Sender,
        ended: PyResult<Bound<'_, PyAny>>,
    ) -> Outcome {
        if cell.was_asked()
            && let Err(error) = &ended
            && current::is_cancellation(py, error)
        {
            return self.stopped(cell);
        }
        let is_told = wants.is_nothing();
        let made = ended.and_then(|answer| match sender {
            _ if is_told => Ok(Outcome::Nothing),
            Sender::Here => Ok(Outcome::Value(answer.unbind())),
            Sender::Elsewhere => self.seal(answer),
        });
        let completion = match &made {
            Ok(_) => Completion::Handled,
            Err(_) => Completion::Failed,
        };
        let outcome = made.unwrap_or_else(|error| {
            if is_told {
                log_told(py, &self.name, error);
                return Outcome::Nothing;
            }
            let dumped = match sender {
                Sender::Here => Err(error),
                Sender::Elsewhere => dump_error(py, error),
            };
            match dumped {
                Ok(body) => Outcome::Sealed(Sealed::Error(Arc::new(body))),
                Err(error) => Outcome::Raised(error.into_value(py).into_any()),
            }
        });
        settle::count(&self.tally, cell, completion);
        outcome
    }

    /// Packs an answer for a caller in another process.
    fn seal(&self, answer: Bound<'_, PyAny>) -> PyResult<Outcome> {
        let (body, _) = pack_for_others(Kind::Answer, answer, &What::Answer(&self.name))?;
        Ok(Outcome::Sealed(Sealed::Answer(Arc::new(body))))
    }

    /// Puts an item of a stream where it goes, if one is still wanted. For a taker in another process it
    /// is packed here, as an answer is.
    pub(in crate::py) fn put_item(
        &self,
        items: &Items,
        sender: Sender,
        item: Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = item.py();
        // If it is not wanted any more, it is dropped.
        match sender {
            Sender::Here => drop(items.put(Item::Object(item.unbind()))),
            Sender::Elsewhere => {
                let (body, weight) = pack_for_others(Kind::Item, item, &What::Item(&self.name))?;
                // The relay takes locks and may copy much.
                py.detach(|| drop(items.put_weighing(Item::Body(body, None), weight)));
            }
        }
        Ok(())
    }

    /// Counts a message that was asked to stop and has, and returns what to settle it with.
    pub(in crate::py) fn stopped(&self, cell: &ActorCell) -> Outcome {
        settle::count(&self.tally, cell, Completion::Cancelled);
        Outcome::Stopped
    }

    /// Returns an error if messages are refused.
    #[inline]
    pub(in crate::py) fn admit(&self, py: Python<'_>) -> PyResult<()> {
        if self.is_forked() {
            return Err(lifecycle::forked_error());
        }
        let is_refused = match lifecycle::exit() {
            Exit::Not => false,
            // Its own code and callbacks may still send messages to others: see `drain`.
            Exit::Draining => waits::served_here().is_none_or(|node| node.id == self.tally.node.id),
            Exit::Refusing => true,
        };
        if is_refused || self.mailbox.is_closed() {
            return Err(self.refusal(py));
        }
        Ok(())
    }

    pub(in crate::py) fn refusal(&self, py: Python<'_>) -> PyErr {
        match self.fault.get() {
            // After `terminate()` or `kill()` the actor counts as shut down, not as broken.
            Some(fault) if self.force.get().is_none() => {
                to_error(py, &self.name, fault, Started::No)
            }
            _ => shut_down(),
        }
    }
}

/// Packs an answer or an item for a caller in another process. Returns it with how much of it goes
/// through that one's pipe.
fn pack_for_others(
    kind: Kind,
    object: Bound<'_, PyAny>,
    what: &What<'_>,
) -> PyResult<(Body, usize)> {
    let (source, receiver) = (Source::Consumed, Receiver::Child);
    let packed = body::pack(None, kind, object, what, source, receiver)?;
    let in_pipe = packed.len_in_pipe();
    let body = Body::of_packed(packed);
    let body = body.map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
    Ok((body, in_pipe))
}
