//! The state and the counts of an actor, read without asking the actor.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::host::Host;
use crate::engine::cell::Phase;
use crate::engine::sys;
use crate::py::future::ActorCell;
use crate::py::interpreter::daemon_threads::outlasting;
use crate::py::interpreter::imports;

/// The states of an actor, from its start to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::py) enum State {
    /// It accepts messages.
    Running,
    /// Its process has died and is being started again. It accepts messages.
    Restarting,
    /// It accepts no messages, and ends when it has handled those that it has.
    Stopping,
    /// It has ended, as it was told to.
    Stopped,
    /// It could not start or has died, or this is its copy in a forked process.
    Broken,
}

impl State {
    pub(in crate::py) fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Restarting => "restarting",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Broken => "broken",
        }
    }
}

impl Host {
    /// Whether the actor accepts messages.
    pub(in crate::py) fn is_alive(&self) -> bool {
        matches!(self.state(), State::Running | State::Restarting)
    }

    pub(in crate::py) fn state(&self) -> State {
        let is_forced = self.force.get().is_some();
        if self.is_forked() || (self.fault.get().is_some() && !is_forced) {
            State::Broken
        } else if self.ended.is_set() {
            State::Stopped
        } else if self.mailbox.is_closed() {
            State::Stopping
        } else if self.transport.is_restarting() {
            State::Restarting
        } else {
            State::Running
        }
    }

    pub(in crate::py) fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let counts = self.counts(py);
        let depth = match self.place.get() {
            // What it handles may have been accepted by its pool.
            Some(_) if !self.is_forked() => py.detach(|| self.unbegun()),
            _ => counts.accepted.saturating_sub(counts.gone()),
        };
        let members = self.members().iter().map(|member| member.stats(py));
        let members = members.collect::<PyResult<Vec<_>>>()?;
        #[allow(clippy::cast_precision_loss)]
        let age =
            (counts.since > 0).then(|| sys::now_nanos().saturating_sub(counts.since) as f64 / 1e9);
        let make = imports::stats(py)?;
        let fields = (
            &self.name,
            self.state().name(),
            self.pid(),
            depth,
            counts.running,
            age,
            counts.handled,
            counts.failed,
            counts.cancelled,
            counts.told,
            counts.restarts,
            PyTuple::new(py, members)?,
        );
        outlasting(make, fields, None)
    }

    /// The counts of this actor; those of a pool are the sums over its members and its own mailbox.
    fn counts(&self, py: Python<'_>) -> Sums {
        let mut sums = self.own_counts(py);
        match self.members() {
            [] => {}
            // It has the mailbox and the tally of its pool.
            [only] => return only.own_counts(py),
            members => members
                .iter()
                .for_each(|member| sums.add(&member.own_counts(py))),
        }
        sums
    }

    fn own_counts(&self, py: Python<'_>) -> Sums {
        let counts = if self.is_forked() {
            self.tally.counts()
        } else {
            py.detach(|| self.transport.counts(&self.tally))
        };
        // A dead child may have left a time in shared memory, but no message runs there any more.
        let since = match self.state() {
            State::Running | State::Stopping => counts.since,
            _ => 0,
        };
        // A sync actor does not count its one message.
        let running = match since {
            0 => 0,
            _ => counts.running.max(1),
        };
        Sums {
            accepted: counts.accepted.saturating_sub(counts.queued),
            running,
            begun: counts.begun.max(running),
            since,
            handled: counts.handled,
            failed: counts.failed,
            cancelled: counts.cancelled,
            told: counts.told,
            restarts: counts.restarts,
        }
    }

    /// How many messages this member has that have not begun.
    fn unbegun(&self) -> u64 {
        let is_unbegun = |cell: &Arc<ActorCell>| cell.phase() == Phase::Pending;
        let in_flight = self.transport.in_flight();
        let in_flight = in_flight.into_iter().filter(is_unbegun).count();
        (self.mailbox.count(is_unbegun) + in_flight) as u64
    }
}

/// The counts of an actor, or of several.
struct Sums {
    /// Without those that wait for room.
    accepted: u64,
    running: u64,
    /// How many have begun, and are not counted among those that have ended.
    begun: u64,
    /// When the message began that has run longest. 0 if none runs.
    since: u64,
    handled: u64,
    failed: u64,
    cancelled: u64,
    told: u64,
    restarts: u64,
}

impl Sums {
    fn add(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.running += other.running;
        self.begun += other.begun;
        self.since = match (self.since, other.since) {
            (0, since) | (since, 0) => since,
            (one, other) => one.min(other),
        };
        self.handled += other.handled;
        self.failed += other.failed;
        self.cancelled += other.cancelled;
        self.told += other.told;
        self.restarts += other.restarts;
    }

    /// How many have begun or ended.
    fn gone(&self) -> u64 {
        self.begun + self.handled + self.failed + self.cancelled
    }
}
