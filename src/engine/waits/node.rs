//! What waits, and what is waited for.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::engine::cell::{Cell, Claimable, Ending};
use crate::engine::latch::Latch;

/// An actor, or a pool of actors: a node of the graph of waits.
#[derive(Debug)]
pub struct Node {
    /// No other node of this process has it.
    pub id: u64,
    /// For the user.
    pub name: String,
    /// Of a pool: the actors of which any handles a message. Set once.
    pub(super) members: OnceLock<Vec<Arc<Node>>>,
    /// It has ended, so it handles no message of its pool.
    pub(super) has_ended: AtomicBool,
}

impl Node {
    #[must_use]
    pub fn new(name: String) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            // Relaxed: a number is unique whatever else a thread has seen.
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            name,
            members: OnceLock::new(),
            has_ended: AtomicBool::new(false),
        }
    }

    /// Makes it a pool of these actors, before the first wait for it.
    pub fn set_members(&self, members: Vec<Arc<Node>>) {
        // A second call would be for the same members.
        _ = self.members.set(members);
    }

    /// Whether a wait for it can become one that never ends without another wait.
    #[must_use]
    pub fn is_pool(&self) -> bool {
        self.members.get().is_some()
    }
}

/// What a thread or a handler waits for.
pub trait Pending: Send + Sync {
    /// Whether it has happened. Must not block.
    fn is_over(&self) -> bool;
}

impl Pending for Latch {
    fn is_over(&self) -> bool {
        self.is_set()
    }
}

impl<M: Claimable, R: Ending, W> Pending for Cell<M, R, W>
where
    Self: Send + Sync,
{
    fn is_over(&self) -> bool {
        self.done().is_set()
    }
}

/// What a wait may end by.
#[derive(Clone)]
pub struct Target {
    /// Only this actor can bring it about.
    pub node: Arc<Node>,
    pub pending: Arc<dyn Pending>,
}

/// How many of its messages an actor waits with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// With all that run: it does nothing else meanwhile.
    Blocked(usize),
    /// With so many. Others go on, or there is a place for the next one.
    Beside(usize),
}

impl How {
    pub(super) fn messages(self) -> usize {
        match self {
            Self::Blocked(messages) | Self::Beside(messages) => messages,
        }
    }

    pub(super) fn is_blocked(self) -> bool {
        matches!(self, Self::Blocked(_))
    }
}

/// Hears that a wait that has been entered would never end.
pub trait Refuse: Send + Sync {
    /// Called without a lock. The wait is entered no more.
    fn refuse(&self, refused: Refused);
}

/// A circle of actors that wait for each other: their names, each before the one that it waits for,
/// and the last before the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Circle(pub Vec<String>);

/// Why a wait would never end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The place among the targets of the wait of the one by which it is in the circle.
    pub target: usize,
    pub circle: Circle,
}
