//! How messages reach the actor's thread: they stay Python objects, and the mailbox wakes it.

use std::sync::Arc;
use std::time::Instant;

use once_cell::sync::OnceCell;
use pyo3::prelude::*;

use super::source::Seat;
use crate::engine::ipc::frame::Kind;
use crate::engine::mailbox::Mailbox;
use crate::engine::sys;
use crate::py::asynchronous::waker::Waker;
use crate::py::codec::body::Body;
use crate::py::future::ActorCell;
use crate::py::host::streams::{RunningStream, RunningStreams, Stalled};
use crate::py::host::transport::{Dump, Signalled, Transport};
use crate::py::interpreter::daemon_threads::outlasting;
use crate::py::interpreter::imports;
use crate::py::message::fault::Force;
use crate::py::message::items::Items;
use crate::py::message::message::Message;
use crate::py::message::request::{Asked, Wants};

/// The transport of a thread actor. Messages stay Python objects, and the mailbox wakes the thread.
pub(super) struct SameProcess {
    pub(super) seat: Option<Seat>,
    /// What `threading.get_ident()` returns in the actor's thread. Set when that has started.
    pub(super) ident: Arc<OnceCell<u64>>,
    /// Of an async actor.
    pub(super) waker: Option<Arc<Waker>>,
    pub(super) streams: Arc<RunningStreams>,
}

impl Transport for SameProcess {
    fn pack(&self, asked: Asked<'_, '_>, wants: Wants) -> PyResult<Message> {
        Ok(Message::Call(asked.to_call(), wants))
    }

    fn adopt(
        &self,
        kind: Kind,
        body: Body,
        items: Option<Arc<Items>>,
    ) -> Result<Message, &'static str> {
        Ok(Message::Received(kind, Box::new(body), items))
    }

    fn rouse(&self, py: Python<'_>) {
        if let Some(waker) = &self.waker {
            waker.wake(py);
        }
        if let Some(Seat { team, index }) = &self.seat {
            team.roster.call(*index);
        }
    }

    fn rouse_detached(&self) {
        if let Some(waker) = &self.waker {
            Python::attach(|py| waker.wake(py));
        }
        if let Some(Seat { team, index }) = &self.seat {
            team.roster.call(*index);
        }
    }

    fn in_flight(&self) -> Vec<Arc<ActorCell>> {
        Vec::new()
    }

    fn dump_traceback(&self, py: Python<'_>, _deadline: Option<Instant>) -> PyResult<Dump> {
        let dump = outlasting(imports::dump_thread(py)?, (self.ident.get(),), None)?;
        Ok(Dump::Text(dump.extract()?))
    }

    fn signal(&self, _force: Force) -> sys::Result<Signalled> {
        if let Some(waker) = &self.waker {
            Python::attach(|py| waker.terminate(py));
        }
        Ok(Signalled::No)
    }

    fn streams(&self) -> Vec<RunningStream> {
        self.streams.all()
    }

    fn is_at_rest(&self, mailbox: &Mailbox<Arc<ActorCell>>, stalled: Stalled) -> bool {
        // A thread has called `on_start`, and has run callbacks, before it sleeps. An event loop does not
        // sleep in the mailbox.
        let shared = self.seat.as_ref().map(|seat| &seat.team.mailbox);
        let is_empty = || mailbox.is_empty() && shared.is_none_or(|shared| shared.is_empty());
        match (&self.waker, &self.seat) {
            (Some(waker), _) => {
                (stalled.fills_places() || is_empty()) && waker.runs_only(stalled.count)
            }
            // It is all that the thread does.
            _ if stalled.count > 0 => true,
            (None, None) => mailbox.is_asleep(),
            (None, Some(Seat { team, index })) => is_empty() && team.roster.is_asleep(*index),
        }
    }

    fn pid(&self) -> Option<u32> {
        None
    }
}
