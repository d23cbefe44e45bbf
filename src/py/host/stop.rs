//! How an actor ends: when it has handled its messages, at once by force, or by a fault.

use std::collections::HashSet;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use pyo3::prelude::*;

use super::host::Host;
use super::streams::{RunningStream, Stalled};
use super::transport::Signalled;
use crate::engine::waits::WAITS;
use crate::py::future::{ActorCell, settle};
use crate::py::interpreter::daemon_threads::outlast;
use crate::py::interpreter::lifecycle::{CancelFutures, Ended, Live};
use crate::py::interpreter::rest::{Activity, Rest};
use crate::py::interpreter::wait::{Attached, raising, wait_for};
use crate::py::message::fault::{Fault, Force, Started, log_lost};
use crate::py::message::outcome::{Outcome, Sealed};
use crate::py::message::tally::Completion;

impl Live for Host {
    /// Refuses new messages. Those in the mailbox are still handled.
    fn close(&self, py: Python<'_>) {
        self.close_mailbox();
        self.transport.rouse(py);
    }

    fn begin_exit(&self, py: Python<'_>, daemons: &HashSet<u64>) {
        self.tally.streams.abandon(py, daemons);
    }

    fn activity(&self) -> Activity {
        // Before it is known whether the actor is at rest: what comes later is in the next count.
        let counts = self.tally.counts();
        let streams = self.waiting_streams();
        Activity {
            accepted: counts.accepted + self.accepted_by_pool(),
            ended: counts.handled + counts.failed + counts.cancelled,
            taken: streams.iter().map(RunningStream::taken).sum(),
            rest: self.rest(streams.len()),
        }
    }

    fn stop_streams(&self, py: Python<'_>) -> bool {
        let streams = self.waiting_streams();
        for stream in &streams {
            stream.stop(py, &self.tally);
        }
        !streams.is_empty()
    }

    fn shutdown(&self, py: Python<'_>, cancel: CancelFutures) -> PyResult<()> {
        if self.is_forked() {
            return Ok(());
        }
        self.close_mailbox();
        let cancelled = match cancel {
            CancelFutures::Yes => raising(|| self.cancel_all(py)),
            CancelFutures::No => Ok(()),
        };
        self.transport.rouse(py);
        cancelled
    }

    /// Waits until the actor and its thread have ended, or until `deadline`. The actor's own thread
    /// does not wait for itself.
    fn wait(&self, py: Python<'_>, deadline: Option<Instant>) -> PyResult<Ended> {
        if self.is_own_thread() || self.is_forked() {
            return Ok(Ended::Yes);
        }
        if !wait_for(py, &self.ended, deadline)? {
            return Ok(Ended::No);
        }
        let thread = self.thread().take();
        // The thread is about to return, and cannot panic any more.
        py.detach(|| thread.map(JoinHandle::join).map(drop));
        Ok(Ended::Yes)
    }
}

impl Host {
    /// The streams that it runs and that wait until an item is taken.
    fn waiting_streams(&self) -> Vec<RunningStream> {
        let mut streams = self.transport.streams();
        streams.retain(RunningStream::waits_for_taker);
        streams
    }

    /// Whether it goes on by itself, if so many of its streams wait for a taker.
    fn rest(&self, streams: usize) -> Rest {
        let stalled = Stalled {
            count: streams + WAITS.count(&self.tally.node),
            places: self.tally.streams.places(),
        };
        // Once its mailbox is closed it has `on_stop` to call, unless it is a pool.
        let ends = stalled.count == 0 && self.mailbox.is_closed() && self.members().is_empty();
        match self.ended.is_set() || (!ends && self.transport.is_at_rest(&self.mailbox, stalled)) {
            false => Rest::No,
            true if stalled.count > 0 => Rest::Waits,
            true => Rest::Yes,
        }
    }

    /// How many messages this member of a pool may have got by the pool, at most.
    fn accepted_by_pool(&self) -> u64 {
        let Some((place, pool)) = self.place.get().zip(self.pool()) else {
            return 0;
        };
        pool.tally.counts().accepted + place.team.given_back()
    }

    /// Refuses new messages. Those that wait for room by themselves were accepted: they get in. The
    /// caller must not hold a lock.
    pub(in crate::py) fn close_mailbox(&self) {
        if let Some(room) = self.mailbox.room() {
            room.let_in();
        }
        self.mailbox.close();
        if let Some(place) = self.place.get() {
            place.team.roster.call(place.index);
        }
        for member in self.members() {
            member.close_mailbox();
        }
    }

    /// Cancels all messages that have not begun. If one raises, the others are cancelled all the
    /// same: nothing else has the messages that are taken out of the mailbox here.
    fn cancel_all(&self, py: Python<'_>) -> PyResult<()> {
        // The mailbox first: messages that left it before this are in flight.
        let waiting = self.mailbox.drain();
        let in_flight = py.detach(|| self.transport.in_flight());
        let mut cancelled = Ok(());
        let mut attached = Attached::begin();
        // The latest first: otherwise the actor could skip an early one and begin the next.
        for cell in in_flight.into_iter().chain(waiting).rev() {
            attached.give_way(py);
            let one = settle::cancel(py, &cell, Some(&self.tally));
            cancelled = cancelled.and(one.map(drop));
        }
        cancelled
    }

    /// Shuts the actor down without waiting for its messages. A process gets a signal, and its
    /// messages fail when it has ended. A thread cannot be ended from outside: the messages that it
    /// has not begun fail now, and it ends when it has handled the current one.
    pub(in crate::py) fn end_by(&self, py: Python<'_>, force: Force) -> PyResult<()> {
        // A member of a pool may have ended since `force` was raised, and left its messages to this.
        if self.is_forked() || self.ended.is_set() && self.mailbox.is_empty() {
            return Ok(());
        }
        self.force.raise(force);
        let members_ended = self.end_members(py, force);
        // The signal first: after the mailbox is closed, the child is told that it may end.
        let signalled = py.detach(|| self.transport.signal(force));
        self.close_mailbox();
        raising(|| {
            if signalled.map_err(std::io::Error::from)? == Signalled::No {
                self.fail_attached(py, Fault::Forced(force), Vec::new());
                // An event loop does not notice by itself that the mailbox is closed.
                self.transport.rouse(py);
            }
            members_ended
        })
    }

    /// Like `fail`, for a thread that is attached.
    pub(in crate::py) fn fail_attached(
        &self,
        py: Python<'_>,
        fault: Fault,
        taken: Vec<(Arc<ActorCell>, Started)>,
    ) {
        outlast();
        let mut attached = Attached::begin();
        self.fail_and(fault, taken, || attached.give_way(py));
    }

    /// Ends the actor: refuses new messages, and fails those that it has begun or been sent
    /// (`taken`) and those in the mailbox.
    pub(in crate::py) fn fail(&self, fault: Fault, taken: Vec<(Arc<ActorCell>, Started)>) {
        self.fail_and(fault, taken, || ());
    }

    fn fail_and(
        &self,
        fault: Fault,
        taken: Vec<(Arc<ActorCell>, Started)>,
        mut before_each: impl FnMut(),
    ) {
        // The first fault is the cause of the others.
        let fault = self.fault.get_or_init(|| fault).clone();
        self.close_mailbox();
        let waiting = self
            .mailbox
            .drain()
            .into_iter()
            .map(|cell| (cell, Started::No));
        let cells = taken.into_iter().chain(waiting);
        self.fail_each(&fault, cells.inspect(|_| before_each()));
    }

    /// Fails messages by `fault`. Those sent by `tell` are logged as lost.
    pub(in crate::py) fn fail_each(
        &self,
        fault: &Fault,
        cells: impl Iterator<Item = (Arc<ActorCell>, Started)>,
    ) {
        let (mut lost, mut begun) = (0, 0);
        for (cell, started) in cells {
            let is_told = cell.message(|message| message.wants().is_nothing()) == Some(true);
            let outcome = if is_told {
                Outcome::Nothing
            } else {
                let fault = Arc::new((self.name.clone(), fault.clone(), started));
                Outcome::Sealed(Sealed::Fault(fault))
            };
            if !cell.phase().is_done() {
                settle::count(&self.tally, &cell, Completion::Failed);
            }
            let settled = settle::settle(&cell, outcome);
            if is_told && settled {
                lost += 1;
                begun += u32::from(matches!(started, Started::Yes));
            }
        }
        if lost > 0 {
            Python::attach(|py| log_lost(py, &self.name, (lost, begun), fault));
        }
    }
}
