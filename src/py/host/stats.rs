//! The state and the counts of an actor, read without asking the actor.

use pyo3::prelude::*;

use super::host::Host;
use crate::engine::sys;
use crate::py::interpreter::daemon_threads::outlasting;
use crate::py::interpreter::imports;
use crate::py::message::tally::Progress;

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
        let progress = if self.is_forked() {
            Progress::default()
        } else {
            py.detach(|| self.transport.progress())
        };
        let counts = self.tally.counts();
        let state = self.state();
        // A dead child may have left a time in shared memory, but no message runs there any more.
        let since = match state {
            State::Running | State::Stopping => progress.since.max(counts.since),
            _ => 0,
        };
        let ended = counts.handled + counts.failed + counts.cancelled;
        let gone = ended + counts.queued + u64::from(since > 0);
        #[allow(clippy::cast_precision_loss)]
        let age = (since > 0).then(|| sys::now_nanos().saturating_sub(since) as f64 / 1e9);
        let make = imports::stats(py)?;
        let fields = (
            &self.name,
            state.name(),
            self.pid(),
            counts.accepted.saturating_sub(gone),
            age,
            counts.handled.saturating_sub(progress.failed),
            counts.failed + progress.failed,
            counts.cancelled,
            counts.told,
            counts.restarts,
        );
        outlasting(make, fields, None)
    }
}
