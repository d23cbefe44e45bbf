//! Decodes a hostile stream that is read in arbitrary pieces. Checks that:
//! - nothing panics;
//! - decoded frames encode to the same bytes;
//! - the pieces make no difference;
//! - memory grows with the bytes that came, not with the lengths that they claim.

#![no_main]

use futures_actors::engine::ipc::decoder::Decoder;
use futures_actors::engine::ipc::frame::{Frame, FrameError};
use fuzz::{End, RESERVE_BYTES, Reads, decode_whole};
use libfuzzer_sys::fuzz_target;

/// A decoder, and the frames that it must still return.
struct Stream<'a> {
    decoder: Decoder,
    expected: &'a [Frame],
    fed_bytes: usize,
}

impl<'a> Stream<'a> {
    fn new(expected: &'a [Frame]) -> Self {
        Self {
            decoder: Decoder::default(),
            expected,
            fed_bytes: 0,
        }
    }

    /// Reads the whole stream in pieces, and returns how it ends.
    fn read(&mut self, stream: &[u8], pieces: &[(usize, bool)]) -> End {
        let read = self.try_read(stream, pieces);
        let end = match read {
            Err(error) => {
                assert_eq!(self.decoder.next_frame(), Err(error), "an error is the end");
                End::Error(error)
            }
            Ok(()) if self.decoder.is_between_frames() => End::BetweenFrames,
            Ok(()) => End::InsideFrame,
        };
        assert!(self.expected.is_empty(), "a frame is lost");
        end
    }

    fn try_read(&mut self, stream: &[u8], pieces: &[(usize, bool)]) -> Result<(), FrameError> {
        let mut start = 0;
        for &(end, mut lazy) in pieces {
            while start < end {
                start += self.fill(&stream[start..end])?;
                if !lazy {
                    self.drain()?;
                }
                lazy = false;
            }
        }
        self.drain()
    }

    /// Reads once, as many bytes as there is room for.
    fn fill(&mut self, bytes: &[u8]) -> Result<usize, FrameError> {
        let space = self.decoder.space()?;
        assert!(space.capacity() <= 2 * self.fed_bytes + 2 * RESERVE_BYTES);
        let room = space.capacity() - space.len();
        assert!(room > 0);
        let read = room.min(bytes.len());
        space.extend_from_slice(&bytes[..read]);
        self.fed_bytes += read;
        Ok(read)
    }

    fn drain(&mut self) -> Result<(), FrameError> {
        while let Some(frame) = self.decoder.next_frame()? {
            let (first, others) = self.expected.split_first().expect("a frame too many");
            assert!(frame == *first);
            self.expected = others;
        }
        Ok(())
    }
}

fuzz_target!(|input: &[u8]| {
    let Reads { stream, pieces } = Reads::of(input);
    let (frames, end) = decode_whole(&stream, 1);
    for pieces in [&pieces[..], &[(stream.len(), false)]] {
        let mut fed_bytes = 0;
        let memory = allocation_counter::measure(|| {
            let mut reader = Stream::new(&frames);
            assert_eq!(reader.read(&stream, pieces), end);
            fed_bytes = reader.fed_bytes;
        });
        // The inbox may take twice the bytes, and so may a large body, once more while it moves.
        let limit = 6 * (fed_bytes + RESERVE_BYTES) as u64;
        assert!(memory.bytes_max <= limit, "{fed_bytes}: {memory:?}");
    }
});
