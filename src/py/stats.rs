//! What can be told of an actor from outside, without asking it.

use super::host::Host;

/// Where an actor is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It accepts messages.
    Running,
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
        } else {
            State::Running
        }
    }
}
