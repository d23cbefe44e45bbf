//! Frames over pipes: a reader, and a writer that buffers what a non-blocking pipe does not take.

use std::collections::VecDeque;
use std::fmt;
use std::io::IoSlice;
use std::sync::Arc;

use super::decoder::Decoder;
use super::frame::{Encoded, Frame, FrameError, Kind};
use crate::engine::sys::{self, Error, Handle, retry};

/// Why a link is broken. An end of the stream between two frames is none of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The stream ended inside a frame.
    Cut,
    Frame(FrameError),
    /// A frame of a kind that this side does not expect.
    Unexpected(Kind),
    /// A frame that cannot be true: its message is not in flight, or not in the state that it
    /// implies.
    NoSuchMessage(u64),
    Io(Error),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut => write!(f, "the stream ended inside a frame"),
            Self::Frame(error) => error.fmt(f),
            Self::Unexpected(kind) => write!(f, "an unexpected frame of kind {kind:?}"),
            Self::NoSuchMessage(sequence) => {
                write!(f, "a frame about message {sequence} that cannot be true")
            }
            Self::Io(error) => write!(f, "a system call failed: {error}"),
        }
    }
}

impl std::error::Error for Broken {}

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        Self::Io(error)
    }
}

impl From<FrameError> for Broken {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    Done,
    /// The pipe is full: poll for room, then flush again.
    Blocked,
}

/// How many frames one `writev` writes: enough to make the cost of the system call small for each.
const FRAMES_PER_WRITE: usize = 64;

/// Writes frames in the order they are pushed.
#[derive(Debug)]
pub struct Writer {
    handle: Arc<Handle>,
    frames: VecDeque<Encoded>,
    /// How many bytes of the first frame are written.
    written: usize,
}

impl Writer {
    pub fn new(handle: Handle) -> Self {
        Self {
            handle: Arc::new(handle),
            frames: VecDeque::new(),
            written: 0,
        }
    }

    /// The handle, so that a thread can poll it without the writer.
    pub fn handle(&self) -> &Arc<Handle> {
        &self.handle
    }

    pub fn push(&mut self, frame: impl Into<Encoded>) {
        self.frames.push_back(frame.into());
    }

    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Writes what the pipe takes. Blocks only on an end that is set blocking.
    pub fn flush(&mut self) -> Result<Flush, Error> {
        while !self.frames.is_empty() {
            match retry(|| self.write()) {
                Ok(written) => self.forget(written),
                Err(Error::WOULD_BLOCK) => return Ok(Flush::Blocked),
                Err(error) => return Err(error),
            }
        }
        Ok(Flush::Done)
    }

    /// One system call, for as many frames as it takes.
    fn write(&self) -> Result<usize, Error> {
        // Usually there is one frame, and filling an array for many takes time.
        if let [frame] = self.frames.as_slices().0
            && self.frames.len() == 1
        {
            return sys::write(&self.handle, &[IoSlice::new(&frame[self.written..])]);
        }
        let mut slices = [IoSlice::new(&[]); FRAMES_PER_WRITE];
        let mut count = 0;
        for (slice, frame) in slices.iter_mut().zip(&self.frames) {
            let skip = if count == 0 { self.written } else { 0 };
            *slice = IoSlice::new(&frame[skip..]);
            count += 1;
        }
        sys::write(&self.handle, &slices[..count])
    }

    fn forget(&mut self, written: usize) {
        self.written += written;
        while let Some(first) = self.frames.front().map(|frame| frame.len()) {
            if self.written < first {
                break;
            }
            self.written -= first;
            self.frames.pop_front();
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Fill {
    /// Everything that was there.
    Some,
    /// As much as there was room for: there may be more.
    Full,
    /// Nothing to read now, on an end that is set non-blocking.
    Nothing,
    /// The stream has ended, between two frames.
    Eof,
}

/// Reads frames.
#[derive(Debug)]
pub struct Reader {
    handle: Arc<Handle>,
    decoder: Decoder,
}

impl Reader {
    pub fn new(handle: Handle) -> Self {
        Self {
            handle: Arc::new(handle),
            decoder: Decoder::default(),
        }
    }

    /// The handle, so that a thread can poll it without the reader.
    pub fn handle(&self) -> &Arc<Handle> {
        &self.handle
    }

    /// Reads once what is there. Blocks only on an end that is set blocking.
    pub fn fill(&mut self) -> Result<Fill, Broken> {
        let space = self.decoder.space()?;
        let room = space.capacity() - space.len();
        match sys::read(&self.handle, space) {
            Ok(0) if self.decoder.is_between_frames() => Ok(Fill::Eof),
            Ok(0) => Err(Broken::Cut),
            Ok(read) if read < room => Ok(Fill::Some),
            Ok(_) => Ok(Fill::Full),
            // Not repeated: the caller may have to handle a signal.
            Err(Error::WOULD_BLOCK | Error::INTERRUPTED) => Ok(Fill::Nothing),
            Err(error) => Err(error.into()),
        }
    }

    /// The next frame that has been read already.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, Broken> {
        Ok(self.decoder.next_frame()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ipc::frame::{Kind, encode};

    fn link() -> (Reader, Writer) {
        let (read, write) = sys::pipe().expect("a pipe");
        sys::set_nonblocking(&read).expect("a flag");
        sys::set_nonblocking(&write).expect("a flag");
        (Reader::new(read), Writer::new(write))
    }

    #[test]
    fn frames_larger_than_the_pipe_cross_in_pieces() {
        let (mut reader, mut writer) = link();
        let bodies: Vec<Vec<u8>> = vec![vec![1; 10], vec![2; 1 << 20], vec![], vec![3; 70_000]];
        for (sequence, body) in (1..).zip(&bodies) {
            writer.push(encode(Kind::Message, sequence, body));
        }
        let mut blocked = 0;
        let mut seen = Vec::new();
        while seen.len() < bodies.len() {
            blocked += u32::from(writer.flush().expect("open") == Flush::Blocked);
            while reader.fill().expect("valid") != Fill::Nothing {}
            while let Some(frame) = reader.next_frame().expect("valid") {
                seen.push(frame.body);
            }
        }
        assert_eq!(seen, bodies);
        assert!(blocked > 2);
        assert!(writer.is_empty());
    }

    #[test]
    fn the_end_of_the_stream_is_told_from_a_cut() {
        let (mut reader, mut writer) = link();
        let frame = encode(Kind::Message, 1, b"whole");
        writer.push(frame.clone());
        assert_eq!(writer.flush(), Ok(Flush::Done));
        drop(writer);
        assert_eq!(reader.fill(), Ok(Fill::Some));
        assert!(reader.next_frame().expect("valid").is_some());
        assert_eq!(reader.fill(), Ok(Fill::Eof));

        let (mut reader, mut writer) = link();
        writer.push(frame[..9].to_vec());
        assert_eq!(writer.flush(), Ok(Flush::Done));
        drop(writer);
        assert_eq!(reader.fill(), Ok(Fill::Some));
        assert_eq!(reader.next_frame(), Ok(None));
        assert_eq!(reader.fill(), Err(Broken::Cut));
    }

    #[test]
    fn many_small_frames_go_out_in_few_writes() {
        let (mut reader, mut writer) = link();
        for sequence in 1..=1_000 {
            writer.push(encode(Kind::Message, sequence, b"0123456789"));
        }
        assert_eq!(writer.flush(), Ok(Flush::Done));
        assert_eq!(reader.fill(), Ok(Fill::Some));
        for sequence in 1..=1_000 {
            let frame = reader.next_frame().expect("valid").expect("whole");
            assert_eq!(frame.sequence, sequence);
        }
    }

    #[test]
    fn writing_without_a_reader_is_an_error() {
        let (reader, mut writer) = link();
        drop(reader);
        writer.push(encode(Kind::Message, 1, b""));
        assert_eq!(writer.flush(), Err(Error::BROKEN_PIPE));
    }
}
