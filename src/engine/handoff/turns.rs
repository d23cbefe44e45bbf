//! Two sides on one CPU that yield it to each other instead of going to sleep.

use std::sync::atomic::{AtomicU32, Ordering};

use super::last_cpu::{LastCpu, Place};
use crate::engine::sys;

/// A wait that takes longer has lost its turn.
const LONG_NANOS: u64 = 50_000;
/// How much time such waits may cost per wait, on average.
const LOST_NANOS: u64 = 64;

/// Decides whether a side yields the CPU to the other, which was last seen on the same one. Then that
/// need not be woken: two threads that yield to each other take turns in 0.9 us, those that sleep and
/// wake each other in 1.4.
///
/// But a thread that computes may get the CPU instead, for milliseconds. Then so many of the next waits
/// do not yield that this has cost little in each. Both sides count in the same place: if only one of
/// them yielded, the other would need two wake-ups for each message.
///
/// Relaxed: a lost count costs one yield. The sides are on one CPU, so this cache line stays there.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// How many of the next waits do not yield.
    unpaid: AtomicU32,
}

impl Turns {
    /// Whether to yield in this wait. Counts the wait.
    pub(super) fn is_due(&self) -> bool {
        let unpaid = self.unpaid.load(Ordering::Relaxed);
        if unpaid > 0 {
            self.unpaid.store(unpaid - 1, Ordering::Relaxed);
        }
        unpaid == 0
    }

    /// Yields until `look` finds something, until the other side is not seen on this CPU any more, or
    /// until the wait is long.
    pub(super) fn take<T>(
        &self,
        [mine, theirs]: [LastCpu<'_>; 2],
        mut look: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        // The system may have let the other side run when that was woken.
        if let Some(found) = look() {
            return Some(found);
        }
        let begun = sys::now_nanos();
        loop {
            std::thread::yield_now();
            let found = look();
            let is_long = self.count(sys::now_nanos() - begun);
            let is_here = theirs.seen_from(mine.publish()) == Place::Here;
            if found.is_some() || is_long || !is_here {
                return found;
            }
        }
    }

    /// Counts the time that a wait has taken so far. Returns whether it is long.
    fn count(&self, spent: u64) -> bool {
        let is_long = spent >= LONG_NANOS;
        if is_long {
            let unpaid = u32::try_from(spent / LOST_NANOS).unwrap_or(u32::MAX);
            self.unpaid.store(unpaid, Ordering::Relaxed);
        }
        is_long
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    /// Waits for what look number `at` finds. Returns whether it was found, and how often the wait has
    /// looked.
    fn take(there: Place, at: u32) -> (bool, u32) {
        let mine = AtomicU64::new(0);
        let here = LastCpu(&mine).publish();
        let theirs = AtomicU64::new(if there == Place::Here { here } else { u64::MAX });
        let mut looks = 0;
        let look = || {
            looks += 1;
            (looks >= at).then_some(())
        };
        let found = Turns::default().take([LastCpu(&mine), LastCpu(&theirs)], look);
        (found.is_some(), looks)
    }

    #[test]
    fn a_side_looks_before_it_yields_and_after() {
        assert_eq!(take(Place::Here, 1), (true, 1));
        assert_eq!(take(Place::Here, 2), (true, 2));
    }

    #[test]
    fn a_side_stops_yielding_where_the_other_is_on_another_cpu() {
        assert_eq!(take(Place::Elsewhere, 9), (false, 2));
    }

    #[test]
    fn a_side_yields_for_a_moment_only() {
        let (found, looks) = take(Place::Here, u32::MAX);
        assert!(!found && looks >= 2);
    }

    #[test]
    fn a_long_wait_is_made_good_for_by_waits_that_do_not_yield() {
        let turns = Turns::default();
        assert!(!turns.count(LONG_NANOS - 1));
        assert!(turns.is_due());
        assert!(turns.count(100 * LOST_NANOS + LONG_NANOS));
        let skipped = (0..2_000).take_while(|_| !turns.is_due()).count() as u64;
        assert_eq!(skipped, 100 + LONG_NANOS / LOST_NANOS);
        assert!(turns.is_due());
    }
}
