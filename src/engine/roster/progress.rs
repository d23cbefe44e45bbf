//! How quickly the members of a pool handle messages.

use crate::engine::sync::{AtomicU64, Ordering};

/// A message that takes less than this is not worth the wake-up of another member, which costs 5 to 40
/// us and needs the GIL. No handler that sleeps is so quick.
const QUICK_NANOS: u64 = 20_000;
/// Longer ones count as this: the mean forgets one within ten quick ones.
const MOST_NANOS: u64 = 16 * QUICK_NANOS;

/// Relaxed throughout: only hints. Stale, they let a member be woken that need not be, or let a message
/// wait for the lookout.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// How many messages have ended.
    count: AtomicU64,
    /// How long a message takes, as a running mean over the last few. 0 as long as nothing is known.
    mean_nanos: AtomicU64,
}

impl Progress {
    /// A message has ended, and took so long.
    pub(super) fn ended(&self, nanos: u64) {
        self.count.fetch_add(1, Ordering::Relaxed);
        let nanos = nanos.min(MOST_NANOS);
        let mean = match self.mean_nanos.load(Ordering::Relaxed) {
            0 => nanos,
            mean => (3 * mean + nanos) / 4,
        };
        self.mean_nanos.store(mean.max(1), Ordering::Relaxed);
    }

    /// Messages have not ended for so long that the running ones are not quick.
    pub(super) fn stalled(&self) {
        self.mean_nanos.store(MOST_NANOS, Ordering::Relaxed);
    }

    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether the last messages were quick.
    pub(super) fn is_quick(&self) -> bool {
        (1..QUICK_NANOS).contains(&self.mean_nanos.load(Ordering::Relaxed))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn messages_are_quick_if_the_last_ones_were() {
        let progress = Progress::default();
        assert!(!progress.is_quick(), "nothing is known");
        progress.ended(0);
        assert!(progress.is_quick());
        for nanos in [QUICK_NANOS * 4, u64::MAX] {
            progress.ended(nanos);
            assert!(!progress.is_quick());
            (0..10).for_each(|_| progress.ended(500));
            assert!(progress.is_quick());
        }
        progress.stalled();
        assert!(!progress.is_quick());
        assert_eq!(progress.count(), 23);
    }
}
