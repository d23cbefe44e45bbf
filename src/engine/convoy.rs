//! Detects the GIL convoy: releasing the GIL around a `write` costs a whole switch interval (5 ms)
//! when another thread computes.
//!
//! A child that is quicker than that waits for every message, so every `post` writes, and every
//! `post` costs 5 ms. In a convoy, posting threads no longer write: for a while the I/O thread, which
//! needs no GIL, looks into the mailbox at short intervals.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How often the I/O thread looks into the mailbox in a convoy.
pub const MAILBOX_INTERVAL: Duration = Duration::from_micros(500);
/// After this time a posting thread tries again whether the convoy is still there.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);
/// Waiting this long for the GIL, this many times in a row, is no accident of scheduling.
const LONG_WAIT: Duration = Duration::from_millis(1);
const LONG_WAITS_IN_A_ROW: u32 = 4;

#[derive(Debug, Default)]
pub struct Convoy {
    /// How many posting threads in a row have waited long for the GIL.
    long_waits: AtomicU32,
    /// The I/O thread looks into the mailbox by itself. Only the I/O thread clears this, and it
    /// looks once more afterwards: a thread that puts a message there and then reads true knows
    /// that the message will be found.
    is_served: AtomicBool,
}

impl Convoy {
    /// A posting thread has waited `wait` for the GIL after it had sent.
    pub fn waited(&self, wait: Duration) {
        if wait < LONG_WAIT {
            self.long_waits.store(0, Ordering::Relaxed);
        } else {
            self.long_waits.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether posting threads have waited too often to go on like that.
    pub fn is_there(&self) -> bool {
        self.long_waits.load(Ordering::Relaxed) >= LONG_WAITS_IN_A_ROW
    }

    /// From now on the I/O thread looks into the mailbox. The caller must wake it.
    pub fn serve(&self) {
        self.is_served.store(true, Ordering::SeqCst);
    }

    pub fn is_served(&self) -> bool {
        self.is_served.load(Ordering::SeqCst)
    }
}

/// How the I/O thread serves a convoy.
#[derive(Debug, Default)]
pub struct Server {
    until: Option<Instant>,
}

impl Server {
    /// Whether to look into the mailbox. The I/O thread asks at each turn, with the time `now`.
    #[must_use]
    pub fn turn(&mut self, convoy: &Convoy, now: impl FnOnce() -> Instant) -> bool {
        if !convoy.is_served() {
            return false;
        }
        let now = now();
        if now >= *self.until.get_or_insert(now + RETRY_INTERVAL) {
            self.until = None;
            convoy.is_served.store(false, Ordering::SeqCst);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_convoy_takes_several_long_waits_in_a_row() {
        let convoy = Convoy::default();
        for _ in 0..3 {
            for _ in 1..LONG_WAITS_IN_A_ROW {
                convoy.waited(LONG_WAIT);
            }
            assert!(!convoy.is_there());
            convoy.waited(Duration::ZERO);
        }
        for _ in 0..LONG_WAITS_IN_A_ROW {
            convoy.waited(LONG_WAIT);
        }
        assert!(convoy.is_there());
        convoy.waited(Duration::ZERO);
        assert!(!convoy.is_there());
    }

    #[test]
    fn a_convoy_is_served_for_a_while() {
        let (convoy, mut server) = (Convoy::default(), Server::default());
        let start = Instant::now();
        assert!(!server.turn(&convoy, || start));
        for begin in [start, start + 7 * RETRY_INTERVAL] {
            convoy.serve();
            assert!(server.turn(&convoy, || begin));
            assert!(server.turn(&convoy, || begin + RETRY_INTERVAL / 2));
            assert!(convoy.is_served());
            assert!(server.turn(&convoy, || begin + RETRY_INTERVAL), "once more");
            assert!(!convoy.is_served());
            assert!(!server.turn(&convoy, || begin + RETRY_INTERVAL));
        }
    }
}
