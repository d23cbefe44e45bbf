//! How quickly a member of a pool handles its messages, and so how many it may have ahead.

use super::sys;

/// A message that is sent ahead should begin within this time.
const AHEAD_NANOS: u64 = 1_000_000;
/// More are never needed to keep a child busy.
const MOST: u64 = 512;

/// How long a message takes, as a running mean over the last few answers.
#[derive(Debug, Default)]
pub struct Pace {
    /// When the member last answered, or was sent a message while it had none. 0: never.
    since: u64,
    /// 0 as long as nothing is known.
    mean_nanos: u64,
}

impl Pace {
    /// A message is sent to a member that has none.
    pub fn begin(&mut self) {
        self.since = sys::now_nanos();
    }

    /// So many messages have ended since the last call. Returns how many the member may have beyond those
    /// that it handles: those that are likely to begin within a millisecond.
    pub fn ended(&mut self, count: usize) -> usize {
        self.ended_at(count, sys::now_nanos())
    }

    fn ended_at(&mut self, count: usize, now: u64) -> usize {
        let each = now.saturating_sub(self.since) / (count.max(1) as u64);
        self.since = now;
        self.mean_nanos = match self.mean_nanos {
            0 => each.max(1),
            mean => ((3 * mean + each) / 4).max(1),
        };
        let ahead = (AHEAD_NANOS / self.mean_nanos).min(MOST - 1);
        usize::try_from(ahead).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_messages_are_not_sent_ahead_and_quick_ones_are() {
        let mut pace = Pace::default();
        let mut now = 1;
        let mut end = |count: u32, each: u64| {
            pace.since = now;
            now += u64::from(count) * each;
            pace.ended_at(count as usize, now)
        };
        assert_eq!(end(1, 50_000_000), 0);
        for _ in 0..100 {
            end(100, 2_000);
        }
        assert!((400..=511).contains(&end(1, 2_000)));
        for _ in 0..3 {
            end(1, 5_000_000);
        }
        assert_eq!(end(1, 5_000_000), 0);
    }
}
