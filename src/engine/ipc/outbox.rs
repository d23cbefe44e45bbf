//! The child's way out: answers leave in few writes, and none waits for the `handle` after it.
//!
//! While it has messages to go on with, the main thread lets answers gather; else it sends them.
//! While answers are due a second thread looks every [`TICK`] and flushes what it finds, so an
//! answer leaves within two ticks whatever the main thread does. That thread starts with the first
//! answer that has to wait for it. What waits is in the spill as well, where the parent finds it
//! should this process die.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::pipe::{Flush, Writer};
use super::region::Region;
use crate::engine::sys::{self, Error, Interest};

/// How long an answer may wait for company.
const TICK: Duration = Duration::from_micros(200);

struct Due {
    writer: Writer,
    shared: Arc<Region>,
    ticker: Ticker,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ticker {
    NotStarted,
    /// Waits to be rung.
    Asleep,
    Ticking,
}

impl Due {
    /// Blocks until the pipe has taken everything.
    fn flush(&mut self) -> Result<(), Error> {
        while self.writer.flush()? == Flush::Blocked {
            // Somebody who has the same pipe has set it non-blocking.
            self.wait_for_room()?;
        }
        self.shared.spill().clear();
        Ok(())
    }

    fn wait_for_room(&self) -> Result<(), Error> {
        let room = Some(Interest::Writable(self.writer.handle()));
        sys::retry(|| sys::poll([room], None)).map(drop)
    }
}

/// What the main thread and the ticking one have in common.
struct Desk {
    due: Mutex<Due>,
    bell: Condvar,
}

impl Desk {
    fn due(&self) -> MutexGuard<'_, Due> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When an answer is to leave.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Haste {
    /// With those that were to leave soon.
    Now,
    /// With those that follow it, but within two ticks.
    Soon,
}

#[derive(Clone)]
pub struct Outbox(Arc<Desk>);

impl Outbox {
    /// `writer`'s end of the pipe is set blocking.
    pub fn new(writer: Writer, shared: Arc<Region>) -> Self {
        let due = Due {
            writer,
            shared,
            ticker: Ticker::NotStarted,
        };
        Self(Arc::new(Desk {
            due: Mutex::new(due),
            bell: Condvar::new(),
        }))
    }

    /// Sends `frame`. Blocks while much is due and the parent does not read.
    pub fn send(&self, frame: Vec<u8>, haste: Haste) -> Result<(), Error> {
        let mut due = self.0.due();
        let spills = haste == Haste::Soon && due.shared.spill().has_room(frame.len());
        if spills {
            due.shared.spill().push(&frame);
        }
        due.writer.push(frame);
        if !spills {
            return due.flush();
        }
        if due.ticker == Ticker::NotStarted {
            let desk = Arc::clone(&self.0);
            if sys::spawn("answers".to_owned(), 64 << 10, move || tick(&desk)).is_err() {
                // No thread to be had: then nothing is held back.
                return due.flush();
            }
        }
        if due.ticker != Ticker::Ticking {
            due.ticker = Ticker::Ticking;
            drop(due);
            self.0.bell.notify_one();
        }
        Ok(())
    }
}

/// Asleep until there is something due, then a look each tick until a look finds nothing.
fn tick(desk: &Desk) {
    loop {
        let mut due = desk.due();
        while due.ticker != Ticker::Ticking {
            due = desk.bell.wait(due).unwrap_or_else(PoisonError::into_inner);
        }
        drop(due);
        std::thread::sleep(TICK);
        let mut due = desk.due();
        if due.writer.is_empty() {
            due.ticker = Ticker::Asleep;
        } else if due.flush() == Err(Error::BROKEN_PIPE) {
            // The parent is gone, which is for the thread that watches it. After any other error
            // the next tick tries again.
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ipc::frame::{Kind, encode};
    use crate::engine::ipc::pipe::{Fill, Reader};
    use crate::engine::ipc::spill::SPILL_BYTES;

    fn answers() -> (Reader, Outbox) {
        let (read, write) = sys::pipe().expect("a pipe");
        let (memory, _file) = Region::create().expect("memory");
        let answers = Outbox::new(Writer::new(write), Arc::new(memory));
        (Reader::new(read), answers)
    }

    #[test]
    fn an_answer_leaves_without_its_pusher() {
        let (mut reader, answers) = answers();
        for sequence in 1..=3 {
            let frame = encode(Kind::Answer, sequence, b"x");
            answers.send(frame, Haste::Soon).expect("open");
            // Blocks until the other thread has flushed.
            assert_eq!(reader.fill(), Ok(Fill::Some));
            let frame = reader.next_frame().expect("valid").expect("whole");
            assert_eq!(frame.sequence, sequence);
        }
    }

    #[test]
    fn a_burst_leaves_in_few_writes() {
        let (mut reader, answers) = answers();
        for sequence in 1..=100 {
            let haste = if sequence < 100 {
                Haste::Soon
            } else {
                Haste::Now
            };
            let frame = encode(Kind::Answer, sequence, b"x");
            answers.send(frame, haste).expect("open");
        }
        let (mut seen, mut reads) = (0, 0);
        while seen < 100 {
            assert_eq!(reader.fill(), Ok(Fill::Some));
            reads += 1;
            while let Some(frame) = reader.next_frame().expect("valid") {
                seen += 1;
                assert_eq!(frame.sequence, seen);
            }
        }
        assert!(reads < 50);
    }

    #[test]
    fn much_is_not_held_back() {
        let (mut reader, answers) = answers();
        let frame = encode(Kind::Answer, 1, &vec![0; SPILL_BYTES]);
        answers.send(frame, Haste::Soon).expect("open");
        assert_eq!(reader.fill(), Ok(Fill::Some));
    }
}
