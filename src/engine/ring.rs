//! A pipe in memory that two processes share, for systems whose own pipes cannot be waited for together
//! with other handles: how much each side has read and written, and which side must be woken. The bytes
//! themselves and the events are the system's: see `sys/windows/end.rs`.
//!
//! One process writes and one reads. Any number of their threads may wait, each for one of two events:
//! there is something to read, or there is room to write. An event stays set until it is reset.
//!
//! # Why no wake-up is lost
//! Invariant: while there is something to read, a thread that waits for that either finds the event
//! set, or another thread is about to set it. A thread that will wait resets the event, says that it
//! waits, and then looks once more. If it finds something, it sets the event again, for other threads
//! that wait, too. The writer first says how much it has written, and then takes back the word that
//! says that a thread waits: if it was there, it sets the event. Both change that
//! word by a swap, so the one that comes second sees what the other did before. The same holds for
//! room, with the sides exchanged.

#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, Ordering};
use std::ops::Deref;
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU64, Ordering};

/// How many words a ring takes. Each side writes to cache lines of its own.
pub const RING_WORDS: usize = 32;

const WRITTEN: usize = 0;
const WRITERS: usize = 1;
const WRITER_WAITS: usize = 8;
const READ: usize = 16;
const READERS: usize = 17;
const READER_WAITS: usize = 24;

/// Wakes the threads that wait for it, until it is reset.
pub trait Event {
    fn set(&self);
    fn reset(&self);
}

/// Which end of the ring a thread uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Reader,
    Writer,
}

impl Side {
    fn handles(self) -> usize {
        match self {
            Self::Reader => READERS,
            Self::Writer => WRITERS,
        }
    }

    fn waits(self) -> usize {
        match self {
            Self::Reader => READER_WAITS,
            Self::Writer => WRITER_WAITS,
        }
    }

    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Reader => Self::Writer,
            Self::Writer => Self::Reader,
        }
    }
}

/// A part of the ring's bytes, which one side may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    pub at: usize,
    pub len: usize,
}

#[derive(Clone, Copy, Debug)]
pub struct Ring<W> {
    words: W,
    capacity: u64,
}

impl<W: Deref<Target = [AtomicU64]>> Ring<W> {
    /// The words start as zeros; the capacity is in bytes.
    pub fn new(words: W, capacity: usize) -> Self {
        assert!(words.len() >= RING_WORDS && capacity > 0);
        Self {
            words,
            capacity: capacity as u64,
        }
    }

    fn load(&self, word: usize) -> u64 {
        self.words[word].load(Ordering::SeqCst)
    }

    /// One more handle of this side.
    pub fn open(&self, side: Side) {
        self.words[side.handles()].fetch_add(1, Ordering::SeqCst);
    }

    /// One handle of this side less. True if that was the last: then the caller must set both events.
    pub fn close(&self, side: Side) -> bool {
        self.words[side.handles()].fetch_sub(1, Ordering::SeqCst) == 1
    }

    pub fn is_closed(&self, side: Side) -> bool {
        self.load(side.handles()) == 0
    }

    /// How many bytes there are to read, or more if another thread reads at this moment. More than the
    /// capacity would be nonsense of the other process.
    fn filled(&self) -> u64 {
        // Subtle: in this order. A thread that will wait for room may find less than there is, but only
        // if the reader has gone on after the first line, and that wakes the thread.
        let read = self.load(READ);
        let filled = self.load(WRITTEN).wrapping_sub(read);
        filled.min(self.capacity)
    }

    fn part(&self, from: u64, most: u64) -> Part {
        let at = from % self.capacity;
        let len = most.min(self.capacity - at);
        // Both are at most the capacity, which was a `usize`.
        let small = |bytes| usize::try_from(bytes).unwrap_or_default();
        Part {
            at: small(at),
            len: small(len),
        }
    }

    /// What the reader may read: up to the end of the memory, so there may be more after it.
    pub fn to_read(&self) -> Part {
        self.part(self.load(READ), self.filled())
    }

    /// Where the writer may write, likewise, after `bytes` that it has written and not told of yet.
    pub fn to_write(&self, bytes: usize) -> Part {
        let from = self.load(WRITTEN).wrapping_add(bytes as u64);
        let room = self.capacity - self.filled();
        self.part(from, room.saturating_sub(bytes as u64))
    }

    /// The bytes of `to_read` that were read are room now. True: the caller must set the event of room.
    pub fn read(&self, bytes: usize) -> bool {
        self.advance(READ, bytes, Side::Writer)
    }

    /// The bytes of `to_write` that were written can be read now. True: the caller must set the event
    /// of something to read.
    pub fn wrote(&self, bytes: usize) -> bool {
        self.advance(WRITTEN, bytes, Side::Reader)
    }

    fn advance(&self, word: usize, bytes: usize, other: Side) -> bool {
        self.words[word].fetch_add(bytes as u64, Ordering::SeqCst);
        self.words[other.waits()].swap(0, Ordering::SeqCst) != 0
    }

    /// Whether this side need not wait: there is something to read, or room, or the other side is closed.
    pub fn is_ready(&self, side: Side) -> bool {
        let filled = self.filled();
        let has_some = match side {
            Side::Reader => filled > 0,
            Side::Writer => filled < self.capacity,
        };
        has_some || self.is_closed(side.other())
    }

    /// For a thread that will wait for `event`, which is that of this side. True if it must not wait,
    /// because the side is ready.
    pub fn prepare_to_wait(&self, side: Side, event: &impl Event) -> bool {
        if self.is_ready(side) {
            return true;
        }
        event.reset();
        self.words[side.waits()].swap(1, Ordering::SeqCst);
        let is_ready = self.is_ready(side);
        if is_ready {
            event.set();
        }
        is_ready
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn words() -> Vec<AtomicU64> {
        (0..RING_WORDS).map(|_| AtomicU64::new(0)).collect()
    }

    fn ring(words: &[AtomicU64], capacity: usize) -> Ring<&[AtomicU64]> {
        let ring = Ring::new(words, capacity);
        ring.open(Side::Reader);
        ring.open(Side::Writer);
        ring
    }

    #[test]
    fn parts_go_round() {
        let words = words();
        let ring = ring(&words, 10);
        assert_eq!(ring.to_write(0), Part { at: 0, len: 10 });
        assert_eq!(ring.to_read().len, 0);
        ring.wrote(7);
        assert_eq!(ring.to_read(), Part { at: 0, len: 7 });
        assert_eq!(ring.to_write(0), Part { at: 7, len: 3 });
        assert_eq!(ring.to_write(2), Part { at: 9, len: 1 });
        assert_eq!(ring.to_write(3).len, 0);
        ring.read(5);
        ring.wrote(3);
        assert_eq!(ring.to_write(0), Part { at: 0, len: 5 });
        assert_eq!(ring.to_read(), Part { at: 5, len: 5 });
        ring.wrote(5);
        assert!(!ring.is_ready(Side::Writer));
        assert_eq!(ring.to_write(0).len, 0);
        ring.read(5);
        assert_eq!(ring.to_read(), Part { at: 0, len: 5 });
    }

    #[test]
    fn nonsense_of_the_other_side_stays_inside_the_memory() {
        let words = words();
        let ring = ring(&words, 10);
        for written in [11, u64::MAX, 1 << 40] {
            words[WRITTEN].store(written, Ordering::SeqCst);
            for part in [ring.to_read(), ring.to_write(0)] {
                assert!(part.at + part.len <= 10);
            }
        }
    }

    #[test]
    fn a_side_is_closed_with_its_last_handle() {
        let words = words();
        let ring = ring(&words, 10);
        ring.open(Side::Writer);
        assert!(!ring.close(Side::Writer));
        assert!(!ring.is_ready(Side::Reader));
        assert!(ring.close(Side::Writer));
        assert!(ring.is_ready(Side::Reader));
        assert!(!ring.is_closed(Side::Reader));
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::sync::{Arc, Condvar, Mutex};
    use loom::thread;

    #[derive(Default)]
    struct Flag(Mutex<bool>, Condvar);

    impl Event for Flag {
        fn set(&self) {
            *self.0.lock().unwrap() = true;
            self.1.notify_all();
        }

        fn reset(&self) {
            *self.0.lock().unwrap() = false;
        }
    }

    impl Flag {
        fn wait(&self) {
            let mut set = self.0.lock().unwrap();
            while !*set {
                set = self.1.wait(set).unwrap();
            }
        }
    }

    struct Shared {
        words: Vec<AtomicU64>,
        something: Flag,
        room: Flag,
    }

    impl Shared {
        fn new() -> Arc<Self> {
            let shared = Arc::new(Self {
                words: (0..RING_WORDS).map(|_| AtomicU64::new(0)).collect(),
                something: Flag::default(),
                room: Flag::default(),
            });
            shared.ring().open(Side::Reader);
            shared.ring().open(Side::Writer);
            shared
        }

        fn ring(&self) -> Ring<&[AtomicU64]> {
            Ring::new(&self.words, 1)
        }

        fn write(&self) {
            while !self.ring().prepare_to_wait(Side::Writer, &self.room) {
                self.room.wait();
            }
            assert_eq!(self.ring().to_write(0).len, 1);
            if self.ring().wrote(1) {
                self.something.set();
            }
        }

        /// Whether there was something.
        fn read(&self) -> bool {
            let len = self.ring().to_read().len;
            if len > 0 && self.ring().read(len) {
                self.room.set();
            }
            len > 0
        }

        fn wait(&self) {
            while !self.ring().prepare_to_wait(Side::Reader, &self.something) {
                self.something.wait();
            }
        }

        fn close(&self) {
            if self.ring().close(Side::Writer) {
                self.something.set();
                self.room.set();
            }
        }
    }

    fn model(run: impl Fn() + Sync + Send + 'static) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(2);
        model.check(run);
    }

    #[test]
    fn loom_each_side_wakes_the_other() {
        model(|| {
            let shared = Shared::new();
            let theirs = Arc::clone(&shared);
            let writer = thread::spawn(move || {
                theirs.write();
                theirs.write();
            });
            for _ in 0..2 {
                shared.wait();
                assert!(shared.read());
            }
            writer.join().unwrap();
        });
    }

    /// As a thread that posts and the I/O thread: one writes, and both wait.
    #[test]
    fn loom_a_thread_that_waits_for_room_is_woken_while_another_writes() {
        model(|| {
            let shared = Shared::new();
            shared.write();
            let (writers, waiters) = (Arc::clone(&shared), Arc::clone(&shared));
            let writer = thread::spawn(move || writers.write());
            let waiter = thread::spawn(move || {
                while !waiters.ring().prepare_to_wait(Side::Writer, &waiters.room) {
                    waiters.room.wait();
                }
            });
            assert!(shared.read());
            shared.wait();
            assert!(shared.read());
            waiter.join().unwrap();
            writer.join().unwrap();
        });
    }

    /// As the I/O thread and a thread that waits in `result()`: one reads, and both wait.
    #[test]
    fn loom_two_threads_that_wait_are_both_woken() {
        model(|| {
            let shared = Shared::new();
            let (writers, waiters) = (Arc::clone(&shared), Arc::clone(&shared));
            let writer = thread::spawn(move || {
                writers.write();
                writers.close();
            });
            let waiter = thread::spawn(move || waiters.wait());
            shared.wait();
            shared.read();
            waiter.join().unwrap();
            writer.join().unwrap();
        });
    }
}
