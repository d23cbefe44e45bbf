//! Where a message is in its life, as its cell knows it.

/// A message that may already be with the child, which may begin it at any moment.
pub trait Claimable {
    /// Takes it back for good: true if it has not begun and never will.
    fn withdraw(&self) -> bool;

    /// Whether it has begun.
    fn has_begun(&self) -> bool;

    /// Asks it to stop, if it has begun elsewhere and has not ended. Returns whether it did.
    fn ask(&self) -> bool;
}

/// How a message ended.
pub trait Ending {
    /// Whether it was asked to stop, and has done so.
    fn is_cancellation(&self) -> bool;
}

/// What an engine does when a message that runs is asked to stop.
pub(super) type OnRequest = Box<dyn FnOnce() + Send>;

/// Where a message is in its life.
///
/// ```text
/// Pending ──begin──▶ Running ──settle──▶ Finished
///    │ │                                    ▲
///    │ └──────────────settle────────────────┘     (the actor died, or it was never posted)
///    └──cancel──▶ Cancelled ──notify──▶ Notified  (posted: both at once)
/// ```
///
/// A message that runs can be asked to stop. If it then ends as a cancelled one, `settle` leads to
/// `Stopped` instead of `Finished`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Pending,
    Running,
    /// Cancelled, and threads in `concurrent.futures.wait` have not been told.
    Cancelled,
    /// Cancelled, and all waiters have been told.
    Notified,
    /// It had begun, was asked to stop, and did. All waiters have been told.
    Stopped,
    Finished,
}

impl Phase {
    pub fn is_done(self) -> bool {
        !matches!(self, Self::Pending | Self::Running)
    }

    pub fn is_cancelled(self) -> bool {
        matches!(self, Self::Cancelled | Self::Notified | Self::Stopped)
    }
}

/// What a cell holds in each phase.
pub(super) enum State<M, R> {
    /// `None` until a message is posted, if ever.
    Pending(Option<M>),
    /// With what to do when it is asked to stop.
    Running(Option<OnRequest>),
    Cancelled,
    Notified,
    Stopped,
    Finished(R),
}

impl<M: Claimable, R> State<M, R> {
    pub(super) fn phase(&self) -> Phase {
        match self {
            Self::Pending(Some(message)) if message.has_begun() => Phase::Running,
            Self::Pending(_) => Phase::Pending,
            Self::Running(_) => Phase::Running,
            Self::Cancelled => Phase::Cancelled,
            Self::Notified => Phase::Notified,
            Self::Stopped => Phase::Stopped,
            Self::Finished(_) => Phase::Finished,
        }
    }
}

/// What will end a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An engine, whatever happens to the future.
    Posted,
    /// The code that has the future.
    Bare,
}
