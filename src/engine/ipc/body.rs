//! What a message's or an answer's body is made of: a pickle, and references to the blocks of
//! shared memory that hold its big buffers.
//!
//! ```text
//! ├── pickle ──┼─ buffers ──┼─ references: count × (slot, at, len: u64 each) ─┼─ count: u8 ─┤
//! ```
//!
//! Everything is little endian. If the pickle is empty, it is itself in a block, the last one. A
//! buffer for which there was no block is in the body, behind the pickle.

use std::ops::Range;

use super::frame::{FrameError, Kind, encode_in_two};

/// A part of a block, or of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    /// [`IN_BODY`] if it is in the body.
    pub slot: u64,
    /// Where it begins, in bytes.
    pub at: u64,
    pub len_bytes: u64,
}

/// How many references a body has room for.
pub const MAX_REFERENCES: usize = u8::MAX as usize;

const REFERENCE_BYTES: usize = 24;

const IN_BODY: u64 = u64::MAX;

impl Reference {
    pub fn in_body(at: usize, len_bytes: usize) -> Self {
        Self {
            slot: IN_BODY,
            at: at as u64,
            len_bytes: len_bytes as u64,
        }
    }

    /// The range of the body, if it is there. In a corrupt body it may reach beyond the end.
    pub fn range_in_body(self) -> Option<Range<usize>> {
        if self.slot != IN_BODY {
            return None;
        }
        let number = |number| usize::try_from(number).unwrap_or(usize::MAX);
        let start = number(self.at);
        Some(start..start.saturating_add(number(self.len_bytes)))
    }

    fn to_bytes(self) -> [u8; REFERENCE_BYTES] {
        let mut bytes = [0; REFERENCE_BYTES];
        for (eight, number) in bytes
            .chunks_exact_mut(8)
            .zip([self.slot, self.at, self.len_bytes])
        {
            eight.copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: &[u8; REFERENCE_BYTES]) -> Self {
        let mut numbers = bytes.as_chunks::<8>().0.iter().copied();
        let mut next = || u64::from_le_bytes(numbers.next().unwrap_or_default());
        Self {
            slot: next(),
            at: next(),
            len_bytes: next(),
        }
    }
}

/// The frame of a body. At most [`MAX_REFERENCES`] are taken.
pub fn pack(kind: Kind, sequence: u64, pickle: &[u8], references: &[Reference]) -> Vec<u8> {
    let count = u8::try_from(references.len()).unwrap_or(u8::MAX);
    if count == 0 {
        return encode_in_two(kind, sequence, pickle, &[0]);
    }
    let references = &references[..usize::from(count)];
    let mut tail: Vec<u8> = references.iter().flat_map(|one| one.to_bytes()).collect();
    tail.push(count);
    encode_in_two(kind, sequence, pickle, &tail)
}

/// Whether a body refers to anything.
pub fn has_references(body: &[u8]) -> bool {
    body.last().is_some_and(|count| *count > 0)
}

/// Takes the references off a body and leaves the pickle.
pub fn unpack(body: &mut Vec<u8>) -> Result<Vec<Reference>, FrameError> {
    let count = usize::from(body.pop().ok_or(FrameError::BadReferences)?);
    if count == 0 {
        return Ok(Vec::new());
    }
    let start = body.len().checked_sub(count * REFERENCE_BYTES);
    let start = start.ok_or(FrameError::BadReferences)?;
    let references = body[start..].as_chunks::<REFERENCE_BYTES>().0;
    let references = references.iter().map(Reference::from_bytes).collect();
    body.truncate(start);
    Ok(references)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ipc::frame::Decoder;
    use proptest::prelude::*;

    fn references() -> impl Strategy<Value = Vec<Reference>> {
        let one = any::<[u64; 3]>().prop_map(|[slot, at, len_bytes]| Reference {
            slot,
            at,
            len_bytes,
        });
        proptest::collection::vec(one, 0..=MAX_REFERENCES)
    }

    proptest! {
        #[test]
        fn pickle_and_references_come_back(
            pickle in proptest::collection::vec(any::<u8>(), 0..300),
            references in references(),
        ) {
            let frame = pack(Kind::Message, 7, &pickle, &references);
            let mut frame = Decoder::decode_one(&frame).expect("valid").expect("whole");
            prop_assert_eq!(frame.sequence, 7);
            prop_assert_eq!(unpack(&mut frame.body), Ok(references));
            prop_assert_eq!(frame.body, pickle);
        }

        #[test]
        fn noise_never_panics(mut noise in proptest::collection::vec(any::<u8>(), 0..100)) {
            drop(unpack(&mut noise));
        }
    }

    #[test]
    fn more_references_than_the_body_has_room_for_are_a_fault() {
        assert_eq!(unpack(&mut vec![]), Err(FrameError::BadReferences));
        assert_eq!(
            unpack(&mut vec![1, 2, 3, 1]),
            Err(FrameError::BadReferences)
        );
    }
}
