//! Messages that wait for room by themselves: those posted to a full mailbox by a thread whose event
//! loop runs, and must not wait.
//!
//! Such a message is in its cell, with its seat in the queue for room. The thread that releases a
//! place puts it into the mailbox.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use pyo3::prelude::*;

use super::host::Host;
use super::room::NOT_IN_TIME;
use crate::engine::mailbox::Mailbox;
use crate::engine::room::{Room, Wake};
use crate::py::future;
use crate::py::future::ActorCell;
use crate::py::interpreter::running_loop::call_at;
use crate::py::message::message::Message;
use crate::py::message::request::{Asked, Wants};

/// Puts a message into the mailbox when it has been granted a place.
struct Entering {
    cell: Arc<ActorCell>,
    mailbox: Arc<Mailbox<Arc<ActorCell>>>,
    /// The host has the queue that has this.
    host: Weak<Host>,
    /// Whether the mailbox has accepted it, if `enter` has put it there.
    accepted: OnceLock<bool>,
}

impl Wake for Entering {
    fn enter(&self) {
        // If the message was cancelled, its seat gives up the place.
        if self.cell.exchange(Message::seated) == Some(true) {
            let accepted = self.mailbox.put(Arc::clone(&self.cell)).is_ok();
            _ = self.accepted.set(accepted);
        }
    }

    fn enters(&self) -> bool {
        true
    }

    fn wake(&self) {
        let (Some(accepted), Some(host)) = (self.accepted.get(), self.host.upgrade()) else {
            return;
        };
        Python::attach(|py| {
            if *accepted {
                host.sweep();
                host.transport.rouse(py);
            } else {
                host.fail_one(py, &self.cell, host.refusal(py));
            }
        });
    }
}

impl Host {
    /// Like `accept`, but never waits: the message waits for `room` by itself.
    pub(super) fn accept_later<'py>(
        self: &Arc<Self>,
        asked: Asked<'_, 'py>,
        wants: Wants,
        room: &Arc<Room>,
        deadline: Option<Instant>,
        running: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = asked.py();
        let (future, cell) = future::new_posted(py, &self.tally)?;
        let message = match self.transport.pack(asked, wants) {
            Ok(message) => message,
            Err(error) => return self.fail_packing(py, &cell, error).map(|()| future),
        };
        let entering = Arc::new(Entering {
            cell: Arc::clone(&cell),
            mailbox: Arc::clone(&self.mailbox),
            host: Arc::downgrade(self),
            accepted: OnceLock::new(),
        });
        let mut message = Some(message);
        let queued = self.tally.queue();
        let permit = room.acquire_or_queue(|seat| {
            if let Some(message) = message.take() {
                cell.post(Message::Waiting(Box::new(message), seat, Some(queued)));
            }
            entering
        });
        if let Some(message) = message {
            cell.post(message.bounded(permit));
            self.enter(py, cell)?;
            return Ok(future);
        }
        self.tally.accept();
        // From now on the transport reports each message that begins. This finds those that began
        // before.
        self.release_begun(py);
        if let Some(deadline) = deadline {
            self.limit(&cell, deadline, running)?;
        }
        Ok(future)
    }

    /// Has the event loop that runs here fail the message if it still waits for room at `deadline`.
    fn limit(
        self: &Arc<Self>,
        cell: &Arc<ActorCell>,
        deadline: Instant,
        running: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let (host, cell) = (Arc::downgrade(self), Arc::downgrade(cell));
        call_at(running, deadline, move |py| {
            if let (Some(host), Some(cell)) = (host.upgrade(), cell.upgrade()) {
                host.give_up(py, &cell);
            }
            Ok(())
        })
    }

    fn give_up(&self, py: Python<'_>, cell: &ActorCell) {
        if let Some(message) = cell.exchange(Message::unseated).flatten() {
            message.discard(py);
            self.fail_one(py, cell, self.full(NOT_IN_TIME));
        }
    }
}
