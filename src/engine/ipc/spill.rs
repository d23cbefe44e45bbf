//! Answers that have not left a child yet, in memory that outlives it.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};

use super::decoder::Decoder;
use super::frame::Frame;

const WORD_BYTES: usize = size_of::<AtomicU64>();
pub const SPILL_BYTES: usize = 32 * 1024;

/// Answers that the child has given and not yet written to its pipe. They survive its death.
///
/// Invariant: the first word is the length of what follows, and is stored after what follows. Only
/// the child's writer stores; the parent reads when the child is dead.
#[derive(Debug)]
pub struct Spill<W>(W);

impl<W: Deref<Target = [AtomicU64]>> Spill<W> {
    /// `words` has one for the length and those of [`SPILL_BYTES`].
    pub(super) fn new(words: W) -> Self {
        Self(words)
    }

    fn len_bytes(&self) -> usize {
        let len = usize::try_from(self.0[0].load(Ordering::SeqCst));
        len.unwrap_or(0).min(SPILL_BYTES)
    }

    /// Whether `more` bytes would fit.
    pub fn has_room(&self, more: usize) -> bool {
        self.len_bytes() + more.next_multiple_of(WORD_BYTES) <= SPILL_BYTES
    }

    /// Appends an encoded frame, which must fit.
    pub fn push(&self, frame: &[u8]) {
        let len = self.len_bytes();
        let words = &self.0[1 + len / WORD_BYTES..];
        for (word, bytes) in words.iter().zip(frame.chunks(WORD_BYTES)) {
            let mut eight = [0; WORD_BYTES];
            eight[..bytes.len()].copy_from_slice(bytes);
            // Relaxed: the reader loads the length first, which is stored below.
            word.store(u64::from_le_bytes(eight), Ordering::Relaxed);
        }
        // Frames start at words; `frames` skips the padding between them.
        let len = len + frame.len().next_multiple_of(WORD_BYTES);
        self.0[0].store(len as u64, Ordering::SeqCst);
    }

    /// Empties it: what was pushed has left the child.
    pub fn clear(&self) {
        self.0[0].store(0, Ordering::SeqCst);
    }

    /// The frames inside. Bytes that make no sense are taken for the end.
    pub fn frames(&self) -> Vec<Frame> {
        let words = &self.0[1..=self.len_bytes() / WORD_BYTES];
        let bytes = words
            .iter()
            .flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes());
        let bytes: Vec<u8> = bytes.collect();
        let mut frames = Vec::new();
        let mut rest = &bytes[..];
        while let Ok(Some(frame)) = Decoder::decode_one(rest) {
            let len = frame.len_bytes().next_multiple_of(WORD_BYTES);
            rest = rest.get(len..).unwrap_or(&[]);
            frames.push(frame);
        }
        frames
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ipc::frame::{Kind, encode};

    fn spill() -> Spill<Vec<AtomicU64>> {
        let words = 1 + SPILL_BYTES / WORD_BYTES;
        Spill::new((0..words).map(|_| AtomicU64::new(0)).collect())
    }

    #[test]
    fn spilled_frames_come_back_until_they_are_cleared() {
        let spill = spill();
        let bodies: [&[u8]; 4] = [b"", b"1", b"12345678", b"a longer body than the others"];
        for (sequence, body) in (1..).zip(bodies) {
            spill.push(&encode(Kind::Answer, sequence, body));
        }
        let frames = spill.frames();
        assert_eq!(frames.len(), bodies.len());
        for (frame, body) in frames.iter().zip(bodies) {
            assert_eq!(frame.body, body);
        }
        spill.clear();
        assert!(spill.frames().is_empty());
    }

    #[test]
    fn a_spill_takes_frames_while_it_has_room() {
        let spill = spill();
        let frame = encode(Kind::Answer, 1, &[7; 101]);
        let mut count = 0;
        while spill.has_room(frame.len()) {
            spill.push(&frame);
            count += 1;
        }
        assert_eq!(spill.frames().len(), count);
        assert!(count > SPILL_BYTES / 128 - 1);
    }
}
