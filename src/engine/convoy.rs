//! Whether those who post lose the interpreter to other threads each time that they let go of it.
//!
//! A system call is made without the GIL, and a thread that computes takes it then and keeps it for
//! the switch interval, 5 ms. A child that is quicker than that waits for every message, so that
//! every `post` writes, and costs 5 ms. Who posts into such a convoy does not let go any more: the
//! I/O thread, which needs no GIL, looks into the mailbox at short ticks for a while.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How often the I/O thread looks into the mailbox in a convoy.
pub const TICK: Duration = Duration::from_micros(500);
/// After so long a poster tries again whether there is a convoy still.
const WHILE: Duration = Duration::from_millis(100);
/// To wait so long for the interpreter, so many times in a row, is no accident of scheduling.
const SLOW: Duration = Duration::from_millis(1);
const SLOW_IN_A_ROW: u32 = 4;

#[derive(Debug, Default)]
pub struct Convoy {
    /// How many posters in a row have waited for the interpreter.
    slow: AtomicU32,
    /// The I/O thread looks into the mailbox by itself. It alone clears this, and looks once more
    /// after that: so who has put a message there and then reads true knows that it will be found.
    is_served: AtomicBool,
}

impl Convoy {
    /// A poster has waited so long for the interpreter after it had sent.
    pub fn waited(&self, wait: Duration) {
        if wait < SLOW {
            self.slow.store(0, Ordering::Relaxed);
        } else {
            self.slow.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether posters have waited too often to go on like that.
    pub fn is_there(&self) -> bool {
        self.slow.load(Ordering::Relaxed) >= SLOW_IN_A_ROW
    }

    /// From now on the I/O thread, which is to be woken now, looks into the mailbox.
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
    /// Whether to look into the mailbox, to be asked at each turn, at the time `now`.
    #[must_use]
    pub fn turn(&mut self, convoy: &Convoy, now: impl FnOnce() -> Instant) -> bool {
        if !convoy.is_served() {
            return false;
        }
        let now = now();
        if now >= *self.until.get_or_insert(now + WHILE) {
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
    fn it_takes_several_long_waits_in_a_row() {
        let convoy = Convoy::default();
        for _ in 0..3 {
            for _ in 1..SLOW_IN_A_ROW {
                convoy.waited(SLOW);
            }
            assert!(!convoy.is_there());
            convoy.waited(Duration::ZERO);
        }
        for _ in 0..SLOW_IN_A_ROW {
            convoy.waited(SLOW);
        }
        assert!(convoy.is_there());
        convoy.waited(Duration::ZERO);
        assert!(!convoy.is_there());
    }

    #[test]
    fn it_is_served_for_a_while() {
        let (convoy, mut server) = (Convoy::default(), Server::default());
        let start = Instant::now();
        assert!(!server.turn(&convoy, || start));
        for begin in [start, start + 7 * WHILE] {
            convoy.serve();
            assert!(server.turn(&convoy, || begin));
            assert!(server.turn(&convoy, || begin + WHILE / 2));
            assert!(convoy.is_served());
            assert!(server.turn(&convoy, || begin + WHILE), "once more");
            assert!(!convoy.is_served());
            assert!(!server.turn(&convoy, || begin + WHILE));
        }
    }
}
