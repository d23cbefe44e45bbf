//! Where the other side of a conversation runs: on this CPU, or on another.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::engine::sys;

/// The CPU on which one side was last seen, for the other side to read: its number plus 1, or 0 if it
/// is unknown.
///
/// Relaxed throughout: it is a hint.
#[derive(Clone, Copy, Debug)]
pub struct LastCpu<'a>(pub &'a AtomicU64);

impl LastCpu<'_> {
    /// Stores and returns the CPU on which the calling thread runs; 0 if the system does not tell.
    pub(super) fn publish(self) -> u64 {
        let here = sys::current_cpu().map_or(0, |cpu| u64::from(cpu) + 1);
        // Usually it is there already. Then nothing is written, since the other side reads this cache
        // line.
        if self.0.load(Ordering::Relaxed) != here {
            self.0.store(here, Ordering::Relaxed);
        }
        here
    }

    /// Where that side was last seen, for a thread that runs on CPU `here`.
    pub(super) fn seen_from(self, here: u64) -> Place {
        match self.0.load(Ordering::Relaxed) {
            0 => Place::Unknown,
            _ if here == 0 => Place::Unknown,
            there if there == here => Place::Here,
            _ => Place::Elsewhere,
        }
    }

    pub(super) fn is_elsewhere(self, here: u64) -> bool {
        self.seen_from(here) == Place::Elsewhere
    }
}

/// Where a side was last seen.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// On the CPU of the thread that waits for it.
    Here,
    Elsewhere,
    Unknown,
}
