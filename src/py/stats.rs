//! What can be told of an actor from outside, without asking it.

use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::prelude::*;

use super::host::Host;
use super::imports;
use crate::engine::sys;

/// Counts of one actor. Invariant, but for a moment: each message that was accepted is waiting,
/// running, or in one of `handled`, `failed` and `cancelled`.
///
/// Relaxed throughout: nobody concludes anything from one count about another thread's memory.
#[derive(Default)]
pub(super) struct Tally {
    accepted: AtomicU64,
    told: AtomicU64,
    handled: AtomicU64,
    failed: AtomicU64,
    cancelled: AtomicU64,
    restarts: AtomicU64,
    /// When a thread actor began on the message that it has, by `sys::now_nanos`; 0: it has none.
    since: AtomicU64,
}

/// How a message ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Handled,
    Failed,
    Cancelled,
}

impl Tally {
    pub(super) fn accept(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn tell(&self) {
        self.told.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn end(&self, end: End) {
        let count = match end {
            End::Handled => &self.handled,
            End::Failed => &self.failed,
            End::Cancelled => &self.cancelled,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn restart(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn begin(&self) {
        self.since.store(sys::now_nanos(), Ordering::Relaxed);
    }

    pub(super) fn rest(&self) {
        self.since.store(0, Ordering::Relaxed);
    }
}

/// What a transport knows that the tally does not.
#[derive(Default)]
pub(super) struct Progress {
    /// As `Tally::since`.
    pub(super) since: u64,
    /// Of those counted as handled, on how many `handle` has raised.
    pub(super) failed: u64,
}

/// Where an actor is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It accepts messages.
    Running,
    /// Its process has died, and is started again. It accepts messages.
    Restarting,
    /// It accepts none, and goes on to end.
    Stopping,
    /// It has ended, as it was told to.
    Stopped,
    /// It could not start, or has died; or it is a forked process's copy.
    Broken,
}

impl State {
    pub(super) fn name(self) -> &'static str {
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
    pub(super) fn state(&self) -> State {
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

    pub(super) fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let progress = if self.is_forked() {
            Progress::default()
        } else {
            py.detach(|| self.transport.progress())
        };
        let tally = &self.tally;
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let state = self.state();
        // What a dead child has left does not run any more.
        let since = match state {
            State::Running | State::Stopping => progress.since.max(count(&tally.since)),
            _ => 0,
        };
        let ended = [&tally.handled, &tally.failed, &tally.cancelled];
        let gone: u64 = ended.into_iter().map(count).sum::<u64>() + u64::from(since > 0);
        #[allow(clippy::cast_precision_loss)]
        let age = (since > 0).then(|| sys::now_nanos().saturating_sub(since) as f64 / 1e9);
        imports::stats(py)?.call1((
            &self.name,
            state.name(),
            self.pid(),
            count(&tally.accepted).saturating_sub(gone),
            age,
            count(&tally.handled).saturating_sub(progress.failed),
            count(&tally.failed) + progress.failed,
            count(&tally.cancelled),
            count(&tally.told),
            count(&tally.restarts),
        ))
    }
}
