//! Messages that wait for room by themselves: those posted to a full mailbox by a thread whose event
//! loop runs, and must not wait.
//!
//! Such a message is in its cell, with its seat in the queue for room. The thread that releases a
//! place puts it into the mailbox.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Weak};
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
    /// What `enter` did, for `wake`.
    entered: AtomicU8,
}

impl Entering {
    const NOT: u8 = 0;
    const ENTERED: u8 = 1;
    /// The mailbox has been closed in the meantime.
    const REFUSED: u8 = 2;
}

impl Wake for Entering {
    fn enter(&self) {
        // If the message was cancelled, its seat gives up the place.
        let waited = self.cell.exchange(|message| (message.seated(), ()));
        if waited.is_some() {
            let entered = match self.mailbox.put(Arc::clone(&self.cell)) {
                Ok(()) => Self::ENTERED,
                Err(_) => Self::REFUSED,
            };
            self.entered.store(entered, Ordering::SeqCst);
        }
    }

    fn enters(&self) -> bool {
        true
    }

    fn wake(&self) {
        let entered = self.entered.load(Ordering::SeqCst);
        let Some(host) = self.host.upgrade().filter(|_| entered != Self::NOT) else {
            return;
        };
        Python::attach(|py| {
            if entered == Self::ENTERED {
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
            entered: AtomicU8::new(Entering::NOT),
        });
        let mut message = Some(message);
        let queued = self.tally.queue();
        let permit = room.acquire_or_queue(|seat| {
            if let Some(message) = message.take() {
                cell.post(Message::Waiting(Box::new(message), seat, queued));
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
        let waiting = cell.exchange(|message| match message {
            Message::Waiting(..) => (Message::Revoked, Some(message)),
            message => (message, None),
        });
        if let Some(Some(message)) = waiting {
            message.discard(py);
            self.fail_one(py, cell, self.full(NOT_IN_TIME));
        }
    }
}
