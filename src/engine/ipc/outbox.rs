//! Batches a child's answers: the main thread writes them when it runs out of messages, a ticker at
//! the latest 400 us later. So they leave in few writes, and no answer waits for the next `handle`.
//!
//! While there are answers to send, the ticker looks every [`FLUSH_INTERVAL`] and flushes what it
//! finds: an answer leaves within two intervals whatever the main thread does. That thread starts
//! with the first answer that is held back. Answers that are held back are also in the spill, where
//! the parent finds them if this process dies.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::pipe::{Flush, Writer};
use super::region::Region;
use crate::engine::sys::{self, Error, Interest};

/// How often the ticker looks for answers that are held back.
const FLUSH_INTERVAL: Duration = Duration::from_micros(200);

struct Due {
    writer: Writer,
    region: Arc<Region>,
    ticker: Ticker,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ticker {
    NotStarted,
    /// Sleeps until it is notified.
    Asleep,
    Ticking,
}

impl Due {
    /// Blocks until the pipe has taken everything.
    fn flush(&mut self) -> Result<(), Error> {
        if self.writer.is_empty() {
            return Ok(());
        }
        while self.writer.flush()? == Flush::Blocked {
            // Another process that has the same pipe has set it non-blocking.
            self.wait_for_room()?;
        }
        self.region.spill().clear();
        // Relaxed, as `Region::written` says. Only this process adds to it, with `due` locked.
        let written = self.region.written();
        written.store(written.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        Ok(())
    }

    fn wait_for_room(&self) -> Result<(), Error> {
        let room = Some(Interest::Writable(self.writer.handle()));
        sys::retry(|| sys::poll([room], None)).map(drop)
    }
}

/// The state that the main thread and the ticker share.
struct Shared {
    due: Mutex<Due>,
    changed: Condvar,
}

impl Shared {
    fn due(&self) -> MutexGuard<'_, Due> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When an answer must leave.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Haste {
    /// Now, together with those that are held back.
    Now,
    /// Together with those that follow it, but within two intervals.
    Soon,
}

#[derive(Clone)]
pub struct Outbox(Arc<Shared>);

impl Outbox {
    /// `writer`'s end of the pipe is set blocking.
    pub fn new(writer: Writer, region: Arc<Region>) -> Self {
        let due = Due {
            writer,
            region,
            ticker: Ticker::NotStarted,
        };
        Self(Arc::new(Shared {
            due: Mutex::new(due),
            changed: Condvar::new(),
        }))
    }

    /// Sends `frames` together. Blocks while the pipe is full and the parent does not read.
    pub fn send(
        &self,
        frames: impl IntoIterator<Item = Vec<u8>>,
        haste: Haste,
    ) -> Result<(), Error> {
        let mut due = self.0.due();
        let mut spills = haste == Haste::Soon;
        for frame in frames {
            spills = spills && due.region.spill().has_room(frame.len());
            if spills {
                due.region.spill().push(&frame);
            }
            due.writer.push(frame);
        }
        if !spills {
            return due.flush();
        }
        if due.ticker == Ticker::NotStarted {
            let state = Arc::clone(&self.0);
            if sys::spawn("answers".to_owned(), 64 << 10, move || tick(&state)).is_err() {
                // There can be no ticker, so nothing is held back.
                return due.flush();
            }
        }
        if due.ticker != Ticker::Ticking {
            due.ticker = Ticker::Ticking;
            drop(due);
            self.0.changed.notify_one();
        }
        Ok(())
    }
}

/// Sleeps until an answer is held back, then looks at each interval until it finds nothing.
fn tick(state: &Shared) {
    loop {
        let mut due = state.due();
        while due.ticker != Ticker::Ticking {
            due = state
                .changed
                .wait(due)
                .unwrap_or_else(PoisonError::into_inner);
        }
        drop(due);
        std::thread::sleep(FLUSH_INTERVAL);
        let mut due = state.due();
        if due.writer.is_empty() {
            due.ticker = Ticker::Asleep;
        } else if due.flush() == Err(Error::BROKEN_PIPE) {
            // The parent is gone: the thread that watches it ends this process. After any other
            // error the next interval tries again.
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
            answers.send([frame], Haste::Soon).expect("open");
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
            answers.send([frame], haste).expect("open");
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
        answers.send([frame], Haste::Soon).expect("open");
        assert_eq!(reader.fill(), Ok(Fill::Some));
    }
}
