//! The transport of a process actor: how a host uses its link.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use pyo3::exceptions::PyNotImplementedError;
use pyo3::prelude::*;

use super::crew::{Mate, Seat};
use super::link::Link;
use super::outbound::Outbound;
use super::sending::SentBy;
use crate::engine::arena::Arena;
use crate::engine::ipc::frame::Kind;
use crate::engine::ipc::traceback::Traceback;
use crate::engine::mailbox::Mailbox;
use crate::engine::room::Granted;
use crate::engine::sys::{self, Signal};
use crate::py::codec::actors::Receiver;
use crate::py::codec::body;
use crate::py::codec::body::{Body, Source};
use crate::py::codec::pickle::What;
use crate::py::future::ActorCell;
use crate::py::host::streams::{RunningStream, Stalled};
use crate::py::host::transport::{Dump, Signalled, Transport};
use crate::py::message::fault::Force;
use crate::py::message::items::Items;
use crate::py::message::message::Message;
use crate::py::message::request::{Asked, Wants};
use crate::py::message::tally::{Counts, Tally};
use crate::py::message::ticket::Carrier;

/// Packs a message for the actor `name`, and for the child that `arena` is shared with. Without an
/// arena it is for no particular child.
pub(in crate::py) fn pack(
    name: &str,
    arena: Option<&Arc<Arena>>,
    asked: Asked<'_, '_>,
    wants: Wants,
) -> PyResult<Message> {
    let (kind, object) = asked.to_object(&wants)?;
    let what = What::Message(name);
    let packed = body::pack(
        arena,
        kind,
        object,
        &what,
        Source::Borrowed,
        Receiver::Child,
    )?;
    Ok(Message::Frame(packed, wants.into_items()))
}

impl Mate for Link {
    fn serve(self: Arc<Self>, limit: usize) {
        if self.messages_in_flight() > 0 {
            // Messages no longer go one by one.
            self.resume_reading();
        }
        _ = self.pump(limit, SentBy::Poster);
    }

    fn give_back(&self) -> bool {
        let Some(Seat { crew, .. }) = &self.seat else {
            return false;
        };
        let mut outbound = self.outbound();
        let Some(outbound) = outbound.as_mut() else {
            return false;
        };
        let taken = outbound.take_half();
        let is_some = !taken.is_empty();
        crew.team.give_back(taken);
        self.count_in_flight(outbound);
        is_some
    }
}

impl Transport for Arc<Link> {
    fn pack(&self, asked: Asked<'_, '_>, wants: Wants) -> PyResult<Message> {
        pack(&self.name, Some(&self.arena()), asked, wants)
    }

    fn adopt(
        &self,
        kind: Kind,
        body: Body,
        items: Option<Arc<Items>>,
    ) -> Result<Message, &'static str> {
        let repacked = body.repack(kind);
        let packed = repacked.map_err(|_| "its shared memory cannot be mapped");
        packed.map(|packed| Message::Frame(packed, items))
    }

    fn rouse_detached(&self) {
        // No thread waits in `result()` for such a message.
        self.resume_reading();
        if self.messages_in_flight() < self.in_flight_by_posting {
            _ = self.pump(self.in_flight_by_posting, SentBy::Poster);
        }
    }

    fn rouse(&self, py: Python<'_>) {
        if self.seat.is_some() {
            return py.detach(|| Mate::serve(Arc::clone(self), usize::MAX));
        }
        let in_flight = self.messages_in_flight();
        if in_flight > 0 {
            // Messages no longer go one by one.
            self.resume_io_thread(py);
        }
        // With this many in flight an answer will come, after which the mailbox is searched. There
        // is nothing to do here, so there is no reason to give the GIL to another thread.
        if in_flight >= self.in_flight_by_posting || self.convoy.is_served() {
            return;
        }
        let sent = py.detach(|| {
            _ = self.pump(self.in_flight_by_posting, SentBy::Poster);
            if self.convoy.is_there() {
                self.serve_convoy();
            }
            Instant::now()
        });
        self.convoy.waited(sent.elapsed());
    }

    fn in_flight(&self) -> Vec<Arc<ActorCell>> {
        let outbound = self.outbound();
        let Some(outbound) = outbound.as_ref() else {
            return Vec::new();
        };
        let in_flight = outbound.in_flight.iter().map(|(_, sent)| &sent.cell);
        in_flight
            .chain(outbound.returned.iter().map(|waiting| &waiting.cell))
            .map(Arc::clone)
            .collect()
    }

    fn release_begun(&self) -> Vec<Granted> {
        // A thread waits for room without reading, so the I/O thread must read.
        self.resume_reading();
        let outbound = self.outbound();
        let Some(outbound) = outbound.as_ref() else {
            return Vec::new();
        };
        if self.mailbox.room().is_some_and(|room| room.has_waiters())
            && let Some(connection) = &outbound.connection
        {
            connection.region.set_notify_begun(true);
        }
        outbound.release_begun()
    }

    fn is_own_thread(&self) -> bool {
        self.logs.is_own_thread()
    }

    fn dump_traceback(&self, py: Python<'_>, deadline: Option<Instant>) -> PyResult<Dump> {
        const TRACEBACK_POLL: Duration = Duration::from_millis(2);
        let mut request = None;
        loop {
            let (polled, may_start_again) = py.detach(|| {
                let mut tracebacks = self.tracebacks();
                let polled = tracebacks
                    .as_mut()
                    .map(|tracebacks| tracebacks.poll(&self.region(), &mut request));
                drop(tracebacks);
                (polled.transpose(), self.keeps && self.outbound().is_some())
            });
            let why = match polled {
                Ok(Some(Traceback::Text(text))) => return Ok(Dump::Text(text)),
                Ok(Some(Traceback::NotReady)) => "its process has not started yet",
                Ok(Some(Traceback::Pending)) => "its process does not react, not even to a signal",
                Ok(None) if !self.has_tracebacks => {
                    let text = "this system has no way to ask a process for a traceback";
                    return Err(PyNotImplementedError::new_err(text));
                }
                Ok(None) | Err(sys::Error::NO_PROCESS) if may_start_again => {
                    "its process has died, and may be started again"
                }
                // The child is gone. The I/O thread knows that, or will soon.
                Ok(None) | Err(sys::Error::NO_PROCESS) => return Ok(Dump::Ended),
                Err(error) => return Err(std::io::Error::from(error).into()),
            };
            if deadline.is_some_and(|at| Instant::now() >= at) {
                return Ok(Dump::TimedOut(why));
            }
            // Nothing can wake this thread when it is done: a signal handler writes it.
            py.detach(|| std::thread::sleep(TRACEBACK_POLL));
            py.check_signals()?;
        }
    }

    fn signal(&self, force: Force) -> sys::Result<Signalled> {
        drop(self.revoke_all());
        if let Some(process) = self.process().as_ref() {
            let signal = match force {
                Force::Terminate => Signal::Terminate,
                Force::Kill => Signal::Kill,
            };
            let pid = i32::try_from(process.pid).unwrap_or_default();
            sys::signal_process(process.watch.as_deref(), pid, signal)?;
        }
        // After the signal: otherwise the child might take this for a graceful end.
        if let Some(outbound) = self.outbound().as_mut() {
            outbound.stop();
        }
        self.ring();
        Ok(Signalled::Yes)
    }

    fn counts(&self, tally: &Tally) -> Counts {
        let region = self.region();
        let outbound = self.outbound();
        // With the lock: a message leaves what is in flight and is counted in one step.
        let mut counts = tally.counts();
        let begun = outbound.as_ref().map_or(0, Outbound::started);
        drop(outbound);
        counts.begun = begun as u64;
        let mut failed = self.failed_before.load(Ordering::Relaxed);
        if !self.is_restarting() {
            failed += region.failed().load(Ordering::Relaxed);
            counts.since = region.since().load(Ordering::Relaxed);
            counts.running = region.running().load(Ordering::Relaxed);
        }
        // The child has reported them as handled.
        counts.handled = counts.handled.saturating_sub(failed);
        counts.failed += failed;
        counts
    }

    fn streams(&self) -> Vec<RunningStream> {
        self.streams_in_flight()
    }

    fn is_at_rest(&self, mailbox: &Mailbox<Arc<ActorCell>>, stalled: Stalled) -> bool {
        // In this order: a message goes from the mailbox to the child, and its answer to the I/O
        // thread, which settles it and runs callbacks before it waits again. A thread that reads in its
        // place leaves it what has callbacks.
        let shared = self.seat.as_ref().map(|seat| &seat.crew.team.mailbox);
        let is_empty = shared.is_none_or(|shared| shared.is_empty()) && mailbox.is_empty();
        (stalled.fills_places() || is_empty)
            && self.has_only(stalled)
            && self.has_nothing_left()
            && self.is_io_thread_waiting.load(Ordering::SeqCst)
            && self.has_child_at_rest()
    }

    fn is_restarting(&self) -> bool {
        self.is_restarting.load(Ordering::SeqCst)
    }

    fn pid(&self) -> Option<u32> {
        Some(self.process().as_ref()?.pid)
    }
}
