//! Limits how often an actor may be started again within a window of time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

#[derive(Debug)]
pub struct Budget {
    most: usize,
    /// `None` means the actor's whole life.
    window: Option<Duration>,
    /// The times of the restarts that still count.
    spent: VecDeque<Instant>,
}

impl Budget {
    pub fn new(most: usize, window: Option<Duration>) -> Self {
        Self {
            most,
            window,
            spent: VecDeque::new(),
        }
    }

    /// Spends one restart at the time `now`, if there is one left.
    #[must_use]
    pub fn spend(&mut self, now: Instant) -> bool {
        if let Some(window) = self.window {
            let is_past = |at: &Instant| now.saturating_duration_since(*at) >= window;
            while self.spent.front().is_some_and(is_past) {
                self.spent.pop_front();
            }
        }
        let is_left = self.spent.len() < self.most;
        if is_left {
            self.spent.push_back(now);
        }
        is_left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_window_it_is_spent_once() {
        let mut budget = Budget::new(2, None);
        let now = Instant::now();
        let years = now + Duration::from_secs(1 << 28);
        assert_eq!(
            [now, years, years].map(|at| budget.spend(at)),
            [true, true, false]
        );
        assert!(!Budget::new(0, None).spend(now));
    }

    #[test]
    fn in_a_window_it_comes_back_as_time_passes() {
        let mut budget = Budget::new(2, Some(Duration::from_secs(10)));
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let spent = [0, 4, 9, 10, 13, 14, 15].map(|seconds| budget.spend(at(seconds)));
        assert_eq!(spent, [true, true, false, true, false, true, false]);
    }
}
