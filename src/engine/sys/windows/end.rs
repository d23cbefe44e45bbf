//! The ends of pipes.
//!
//! The system's pipes cannot be waited for together with other handles, except by reads and writes that
//! are under way, which end with the thread that began them. So a pipe is a section: the words of a
//! ring, and its bytes. Three events belong to it: something to read, room to write, and that the writer
//! is gone.
//!
//! A process that is killed leaves its end open. Whoever waits for that end must also wait for the
//! process. What it has written stays, because it is in memory that the other process has, too.

use std::io::IoSlice;
use std::os::windows::io::OwnedHandle;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use windows_sys::Win32::Foundation::HANDLE;

use super::event::Event;
use super::mapping::Mapping;
use super::object::{HandleNumber, wait_for_any};
use crate::engine::ring::{Event as _, Part, RING_WORDS, Ring, Side};
use crate::engine::sync::Mutex;
use crate::engine::sys::error::{Error, Result};

const EVENTS: usize = 3;
const BYTES: usize = 4096;
const CAPACITY: usize = 256 << 10;

#[derive(Debug)]
struct Pipe {
    memory: Mapping,
    something: Event,
    room: Event,
    /// The writer is gone.
    hung_up: Event,
    /// Held by the thread that copies bytes out, and by the one that copies bytes in.
    reading: Mutex<()>,
    writing: Mutex<()>,
}

impl Pipe {
    fn create() -> Result<(Self, OwnedHandle)> {
        let (memory, section) = Mapping::create(BYTES + CAPACITY)?;
        let pipe = Self::of(memory, [Event::new()?, Event::new()?, Event::new()?]);
        Ok((pipe, section))
    }

    /// A pipe that this process was given: its section, and the numbers of its events.
    fn join(
        section: &OwnedHandle,
        numbers: &mut impl Iterator<Item = HandleNumber>,
    ) -> Result<Self> {
        let memory = Mapping::map(section, BYTES + CAPACITY)?;
        let mut event = || Event::take_over(numbers);
        let events = [event()?, event()?, event()?];
        Ok(Self::of(memory, events))
    }

    fn of(memory: Mapping, [something, room, hung_up]: [Event; EVENTS]) -> Self {
        Self {
            memory,
            something,
            room,
            hung_up,
            reading: Mutex::default(),
            writing: Mutex::default(),
        }
    }

    fn events(&self) -> [&Event; EVENTS] {
        [&self.something, &self.room, &self.hung_up]
    }

    fn ring(&self) -> Ring<&[AtomicU64]> {
        Ring::new(self.memory.words(RING_WORDS), CAPACITY)
    }

    fn event(&self, side: Side) -> &Event {
        match side {
            Side::Reader => &self.something,
            Side::Writer => &self.room,
        }
    }

    /// Copies out what is there, and appends it to `buffer`, up to its spare capacity. `None` if there
    /// is nothing, zero if there never will be.
    fn read(&self, buffer: &mut Vec<u8>) -> Option<usize> {
        let _reading = self.reading.lock();
        let ring = self.ring();
        // Asked first: what was written before the end is read before the end.
        let is_over = ring.is_closed(Side::Writer);
        let before = buffer.len();
        let mut wakes = false;
        loop {
            let Part { at, len } = ring.to_read();
            let len = len.min(buffer.capacity() - buffer.len());
            if len == 0 {
                break;
            }
            // SAFETY: `to_read` is inside the ring's bytes, and the writer does not write to it until
            // `Ring::read`. No other thread reads, because of the lock. The buffer has that much room,
            // and is not in the mapping.
            #[expect(unsafe_code)]
            unsafe {
                let end = buffer.as_mut_ptr().add(buffer.len());
                let from = self.memory.at(BYTES + at).as_ptr();
                std::ptr::copy_nonoverlapping(from, end, len);
                buffer.set_len(buffer.len() + len);
            }
            wakes |= ring.read(len);
        }
        if wakes {
            self.room.set();
        }
        let read = buffer.len() - before;
        (read > 0 || is_over).then_some(read)
    }

    /// Copies in as much as there is room for. `None` if there is none.
    fn write(&self, slices: &[IoSlice<'_>]) -> Result<Option<usize>> {
        let _writing = self.writing.lock();
        let ring = self.ring();
        if ring.is_closed(Side::Reader) {
            return Err(Error::BROKEN_PIPE);
        }
        let mut written = 0;
        'all: for slice in slices {
            let mut rest = &slice[..];
            while !rest.is_empty() {
                // Not published yet: what is written to the ring is seen once for all slices.
                let Part { at, len } = ring.to_write(written);
                let len = len.min(rest.len());
                if len == 0 {
                    break 'all;
                }
                // SAFETY: `to_write` is inside the ring's bytes, and the reader does not read it
                // until `Ring::wrote`. No other thread writes, because of the lock.
                #[expect(unsafe_code)]
                unsafe {
                    let to = self.memory.at(BYTES + at).as_ptr();
                    std::ptr::copy_nonoverlapping(rest.as_ptr(), to, len);
                }
                written += len;
                rest = &rest[len..];
            }
        }
        if written > 0 && ring.wrote(written) {
            self.something.set();
        }
        let is_nothing = written == 0 && slices.iter().any(|slice| !slice.is_empty());
        Ok((!is_nothing).then_some(written))
    }
}

/// One end of a pipe.
#[derive(Debug)]
pub(super) struct End {
    pipe: Arc<Pipe>,
    side: Side,
    is_nonblocking: AtomicBool,
}

impl End {
    /// A pipe: its section, the end to read from, the end to write to.
    pub(super) fn pair() -> Result<(OwnedHandle, [Self; 2])> {
        let (pipe, section) = Pipe::create()?;
        let pipe = Arc::new(pipe);
        let ends = [Side::Reader, Side::Writer].map(|side| Self::new(&pipe, side));
        Ok((section, ends))
    }

    fn new(pipe: &Arc<Pipe>, side: Side) -> Self {
        pipe.ring().open(side);
        Self::inherited(pipe, side)
    }

    /// One that counts as open already.
    fn inherited(pipe: &Arc<Pipe>, side: Side) -> Self {
        Self {
            pipe: Arc::clone(pipe),
            side,
            is_nonblocking: AtomicBool::new(false),
        }
    }

    pub(super) fn join(
        section: &OwnedHandle,
        numbers: &mut impl Iterator<Item = HandleNumber>,
        side: Side,
    ) -> Result<Self> {
        let pipe = Arc::new(Pipe::join(section, numbers)?);
        Ok(Self::inherited(&pipe, side))
    }

    pub(super) fn duplicate(&self) -> Self {
        let new = Self::new(&self.pipe, self.side);
        let is_nonblocking = self.is_nonblocking.load(Ordering::Relaxed);
        new.is_nonblocking.store(is_nonblocking, Ordering::Relaxed);
        new
    }

    /// Counts one more end for a child, and returns the numbers of what the child needs besides the
    /// section.
    pub(super) fn hand_over(&self) -> [HandleNumber; EVENTS] {
        self.pipe.ring().open(self.side);
        self.pipe.events().map(Event::number)
    }

    /// From now on reading and writing return at once.
    pub(super) fn set_nonblocking(&self) {
        self.is_nonblocking.store(true, Ordering::Relaxed);
    }

    /// Reads once what is there, and appends it to `buffer`. Zero: there never will be anything.
    pub(super) fn read(&self, buffer: &mut Vec<u8>) -> Result<usize> {
        self.repeat(|| Ok(self.pipe.read(buffer)))
    }

    /// Writes once, as much as there is room for.
    pub(super) fn write(&self, slices: &[IoSlice<'_>]) -> Result<usize> {
        self.repeat(|| self.pipe.write(slices))
    }

    fn repeat(&self, mut attempt: impl FnMut() -> Result<Option<usize>>) -> Result<usize> {
        loop {
            if let Some(done) = attempt()? {
                return Ok(done);
            }
            if self.is_nonblocking.load(Ordering::Relaxed) {
                return Err(Error::WOULD_BLOCK);
            }
            let (event, ready) = self.prepare_to_wait();
            if !ready {
                wait_for_any(&[event], None)?;
            }
        }
    }

    /// The event by which this end becomes ready, and whether it is.
    pub(super) fn prepare_to_wait(&self) -> (HANDLE, bool) {
        let event = self.pipe.event(self.side);
        let is_ready = self.pipe.ring().prepare_to_wait(self.side, event);
        (event.raw(), is_ready)
    }

    /// Whether writing fails, because the reader is gone.
    pub(super) fn is_broken(&self) -> bool {
        self.side == Side::Writer && self.pipe.ring().is_closed(Side::Reader)
    }

    /// Signaled when the writer is gone.
    pub(super) fn hung_up(&self) -> HANDLE {
        self.pipe.hung_up.raw()
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if self.pipe.ring().close(self.side) {
            self.pipe.something.set();
            self.pipe.room.set();
            if self.side == Side::Writer {
                self.pipe.hung_up.set();
            }
        }
    }
}
