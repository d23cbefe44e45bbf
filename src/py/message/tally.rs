//! Counts what became of an actor's messages. `host/stats.rs` turns the counts into Python objects.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::items::Streams;
use crate::engine::handoff::{Apart, Handoff};
use crate::engine::waits::Node;

/// The counts of one actor. Invariant, except for brief moments: each message that was accepted is
/// waiting, running, or counted in one of `handled`, `failed` and `cancelled`.
///
/// # Memory ordering
/// Relaxed throughout: no thread infers from a count what another thread has written.
pub(in crate::py) struct Tally {
    /// The actor as one that waits and is waited for. It is here because every future has the tally.
    pub(in crate::py) node: Arc<Node>,
    by_senders: Apart<BySenders>,
    by_engine: Apart<ByEngine>,
    restarts: AtomicU64,
    /// Whether the actor is async. Every future has the tally.
    is_async: AtomicBool,
    /// The actor's open streams. They are here for the same reason.
    pub(in crate::py) streams: Streams,
    /// Set when the actor is made, if its messages cannot be asked to stop.
    refuses_requests: bool,
    /// How callers and the actor's thread wait for each other. It is here for the same reason.
    pub(in crate::py) handoff: Handoff,
}

/// What threads that send messages write.
#[derive(Default)]
struct BySenders {
    accepted: AtomicU64,
    told: AtomicU64,
    cancelled: AtomicU64,
    /// How many of the accepted messages wait for room by themselves.
    queued: AtomicU64,
}

/// What the thread writes that ends the messages.
#[derive(Default)]
struct ByEngine {
    handled: AtomicU64,
    failed: AtomicU64,
    /// How many messages an async thread actor has begun.
    running: AtomicU64,
    /// When a thread actor began its current message, by `sys::now_nanos`. 0 if there is none.
    since: AtomicU64,
}

/// Counts one message that waits for room by itself.
pub(in crate::py) struct Queued(Arc<Tally>);

impl Drop for Queued {
    fn drop(&mut self) {
        self.0.by_senders.0.queued.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How a message ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::py) enum Completion {
    Handled,
    Failed,
    Cancelled,
}

impl Tally {
    pub(in crate::py) fn new(name: String) -> Self {
        Self {
            node: Arc::new(Node::new(name)),
            by_senders: Apart::default(),
            by_engine: Apart::default(),
            restarts: AtomicU64::new(0),
            is_async: AtomicBool::new(false),
            streams: Streams::default(),
            refuses_requests: false,
            handoff: Handoff::default(),
        }
    }

    /// The counts of an actor whose messages cannot be asked to stop once they run.
    pub(in crate::py) fn without_requests(name: String) -> Self {
        Self {
            refuses_requests: true,
            ..Self::new(name)
        }
    }

    /// The counts of a member of the pool that has these, and that member's index.
    pub(in crate::py) fn of_member(&self, name: String, index: usize) -> Self {
        Self {
            streams: self.streams.of_member(index),
            ..Self::new(name)
        }
    }

    pub(in crate::py) fn refuses_requests(&self) -> bool {
        self.refuses_requests
    }

    pub(in crate::py) fn accept(&self) {
        self.by_senders.0.accepted.fetch_add(1, Ordering::Relaxed);
    }

    /// A message waits for room by itself as long as what this returns is there.
    pub(in crate::py) fn queue(self: &Arc<Self>) -> Queued {
        self.by_senders.0.queued.fetch_add(1, Ordering::Relaxed);
        Queued(Arc::clone(self))
    }

    pub(in crate::py) fn set_async(&self, is_async: bool) {
        self.is_async.store(is_async, Ordering::Relaxed);
    }

    pub(in crate::py) fn is_async(&self) -> bool {
        self.is_async.load(Ordering::Relaxed)
    }

    pub(in crate::py) fn tell(&self) {
        self.by_senders.0.told.fetch_add(1, Ordering::Relaxed);
    }

    pub(in crate::py) fn end(&self, completion: Completion) {
        let count = match completion {
            Completion::Handled => &self.by_engine.0.handled,
            Completion::Failed => &self.by_engine.0.failed,
            Completion::Cancelled => &self.by_senders.0.cancelled,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(in crate::py) fn cancelled(&self) -> u64 {
        self.by_senders.0.cancelled.load(Ordering::Relaxed)
    }

    pub(in crate::py) fn restart(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
    }

    /// `handle` begins on a message, at the time `now` by `sys::now_nanos`.
    pub(in crate::py) fn begin(&self, now: u64) {
        self.by_engine.0.since.store(now, Ordering::Relaxed);
    }

    pub(in crate::py) fn idle(&self) {
        self.by_engine.0.since.store(0, Ordering::Relaxed);
    }

    /// For an async actor: how many messages run, and when the oldest began.
    pub(in crate::py) fn show(&self, running: usize, since: u64) {
        self.by_engine
            .0
            .running
            .store(running as u64, Ordering::Relaxed);
        self.by_engine.0.since.store(since, Ordering::Relaxed);
    }

    /// Of an async thread actor: how many messages run.
    pub(in crate::py) fn running(&self) -> usize {
        let running = self.by_engine.0.running.load(Ordering::Relaxed);
        usize::try_from(running).unwrap_or(usize::MAX)
    }

    pub(in crate::py) fn counts(&self) -> Counts {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts {
            accepted: count(&self.by_senders.0.accepted),
            told: count(&self.by_senders.0.told),
            handled: count(&self.by_engine.0.handled),
            failed: count(&self.by_engine.0.failed),
            cancelled: count(&self.by_senders.0.cancelled),
            restarts: count(&self.restarts),
            queued: count(&self.by_senders.0.queued),
            running: count(&self.by_engine.0.running),
            since: count(&self.by_engine.0.since),
            begun: 0,
        }
    }
}

/// What a tally held when it was read, field by field, with what the transport knows.
pub(in crate::py) struct Counts {
    pub(in crate::py) accepted: u64,
    pub(in crate::py) told: u64,
    pub(in crate::py) handled: u64,
    pub(in crate::py) failed: u64,
    pub(in crate::py) cancelled: u64,
    pub(in crate::py) restarts: u64,
    pub(in crate::py) queued: u64,
    pub(in crate::py) running: u64,
    pub(in crate::py) since: u64,
    /// How many messages a process has begun whose ends are not counted yet: they run, or their answers
    /// are on the way. But for those whose futures have been ended by hand.
    pub(in crate::py) begun: u64,
}
