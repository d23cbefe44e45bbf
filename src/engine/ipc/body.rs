//! What a message's or an answer's body is made of: a pickle, and references to the blocks of
//! shared memory that hold its big buffers. The actors that the object refers to are listed, too, so
//! that each process knows which actors another one can reach, whatever becomes of the pickle.
//!
//! ```text
//! ├─ pickle ─┼─ buffers ─┼─ actors: u64 each ─┼─ references: count × (slot, at, len: u64 each) ─┼─ count: u8 ─┤
//! ```
//!
//! Everything is little endian. If the pickle is empty, it is itself in a block, the last one. A
//! buffer for which there was no block is in the body, behind the pickle. If there are actors, the last
//! reference is to their list.

use std::ops::Range;

use super::frame::{FrameError, HEADER_BYTES, Kind, begin, encode_in_two, finish};
use crate::engine::plain::Plain;

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
/// The slot of the reference to the list of actors.
const ACTORS: u64 = u64::MAX - 1;
const ACTOR_BYTES: usize = size_of::<u64>();

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

/// Builds a frame from the pieces of its body. Each piece is copied once.
#[derive(Debug)]
pub struct Builder {
    frame: Vec<u8>,
    references: Vec<Reference>,
    /// The reference to the list of actors.
    actors: Option<Reference>,
}

impl Builder {
    /// Reserves room for pieces of `len_bytes` together, and for `references` references.
    pub fn new(kind: Kind, len_bytes: usize, references: usize) -> Self {
        Self {
            frame: begin(kind, len_bytes + references * REFERENCE_BYTES + 1),
            references: Vec::with_capacity(references),
            actors: None,
        }
    }

    /// Appends a pickle that travels in the body. It comes first.
    pub fn pickle(&mut self, pickle: &[u8]) {
        debug_assert!(self.references.is_empty());
        self.frame.extend_from_slice(pickle);
    }

    /// Appends the pickle of a plain object, in the place of a pickle.
    pub fn plain(&mut self, plain: Plain<'_>) {
        plain.write(&mut self.frame);
    }

    /// Appends a buffer that travels in the body.
    pub fn buffer(&mut self, bytes: &[u8]) {
        let at = self.frame.len() - HEADER_BYTES;
        self.references.push(Reference::in_body(at, bytes.len()));
        self.frame.extend_from_slice(bytes);
    }

    /// Refers to a buffer in a block; or, last, to a pickle in a block.
    pub fn block(&mut self, reference: Reference) {
        self.references.push(reference);
    }

    /// Lists the actors that the pickle refers to, by their numbers. The list comes after every buffer.
    pub fn actors(&mut self, numbers: impl IntoIterator<Item = u64>) {
        let at = self.frame.len() - HEADER_BYTES;
        let bytes = numbers.into_iter().flat_map(u64::to_le_bytes);
        self.frame.extend(bytes);
        let len_bytes = self.frame.len() - HEADER_BYTES - at;
        if len_bytes > 0 {
            self.actors = Some(Reference {
                slot: ACTORS,
                ..Reference::in_body(at, len_bytes)
            });
        }
    }

    /// The frame, of sequence 0. At most [`MAX_REFERENCES`] are taken, one less if there are actors.
    pub fn finish(mut self) -> Vec<u8> {
        let most = MAX_REFERENCES - usize::from(self.actors.is_some());
        self.references.truncate(most);
        self.references.extend(self.actors);
        let count = u8::try_from(self.references.len()).unwrap_or(u8::MAX);
        let tail = self.references.iter().flat_map(|one| one.to_bytes());
        self.frame.extend(tail);
        self.frame.push(count);
        finish(&mut self.frame);
        self.frame
    }
}

/// The pieces of a body.
#[derive(Debug)]
pub struct Pieces<'a> {
    /// Empty if the pickle is in a block, to which the last reference refers.
    pub pickle: &'a [u8],
    /// The pickle and the buffers. Ranges of references count in this.
    pub content: &'a [u8],
    pub references: Vec<Reference>,
    /// The numbers of the actors that the pickle refers to.
    pub actors: Vec<u64>,
}

/// Takes a body apart.
pub fn pieces(body: &[u8]) -> Result<Pieces<'_>, FrameError> {
    let Tail {
        len_bytes,
        references,
        actors,
    } = Tail::of(body)?;
    let content = &body[..len_bytes];
    let first = references.iter().find_map(|one| one.range_in_body());
    let end = first.map_or(content.len(), |range| range.start);
    let pickle = content.get(..end).ok_or(FrameError::BadReferences)?;
    Ok(Pieces {
        pickle,
        content,
        references,
        actors,
    })
}

/// Whether a body refers to anything.
pub fn has_references(body: &[u8]) -> bool {
    body.last().is_some_and(|count| *count > 0)
}

/// Takes the references and the numbers of actors off a body, and leaves the pickle and the buffers.
pub fn unpack(body: &mut Vec<u8>) -> Result<(Vec<Reference>, Vec<u64>), FrameError> {
    let tail = Tail::of(body)?;
    body.truncate(tail.len_bytes);
    Ok((tail.references, tail.actors))
}

/// What follows the pickle and the buffers, which are this long together.
struct Tail {
    len_bytes: usize,
    references: Vec<Reference>,
    actors: Vec<u64>,
}

impl Tail {
    fn of(body: &[u8]) -> Result<Self, FrameError> {
        let (count, rest) = body.split_last().ok_or(FrameError::BadReferences)?;
        let tail_bytes = usize::from(*count) * REFERENCE_BYTES;
        let start = rest.len().checked_sub(tail_bytes);
        let start = start.ok_or(FrameError::BadReferences)?;
        let references = rest[start..].as_chunks::<REFERENCE_BYTES>().0;
        let mut tail = Self {
            len_bytes: start,
            references: references.iter().map(Reference::from_bytes).collect(),
            actors: Vec::new(),
        };
        if let Some(list) = tail.references.pop_if(|one| one.slot == ACTORS) {
            tail.take_actors(&rest[..start], list)?;
        }
        Ok(tail)
    }

    fn take_actors(&mut self, body: &[u8], list: Reference) -> Result<(), FrameError> {
        let number = |number| usize::try_from(number).ok();
        let list = number(list.at)
            .filter(|at| number(list.len_bytes) == body.len().checked_sub(*at))
            .map(|at| (at, body[at..].as_chunks::<ACTOR_BYTES>()));
        let Some((at, (numbers, []))) = list else {
            return Err(FrameError::BadReferences);
        };
        self.len_bytes = at;
        self.actors = numbers.iter().map(|one| u64::from_le_bytes(*one)).collect();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ipc::decoder::Decoder;
    use proptest::prelude::*;

    fn references() -> impl Strategy<Value = Vec<Reference>> {
        let one = any::<[u64; 3]>().prop_map(|[slot, at, len_bytes]| Reference {
            // Not the list of actors.
            slot: slot.min(ACTORS - 1),
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
            prop_assert_eq!(unpack(&mut frame.body), Ok((references, vec![])));
            prop_assert_eq!(frame.body, pickle);
        }

        #[test]
        fn noise_never_panics(mut noise in proptest::collection::vec(any::<u8>(), 0..100)) {
            drop(unpack(&mut noise));
        }
    }

    #[test]
    fn a_body_built_of_pieces_comes_apart_into_them() {
        let block = Reference {
            slot: 3,
            at: 0,
            len_bytes: 70_000,
        };
        let mut builder = Builder::new(Kind::Call, 16, 3);
        builder.pickle(b"pickle");
        builder.buffer(b"first");
        builder.block(block);
        builder.buffer(b"");
        builder.actors([7, u64::MAX]);
        let frame = builder.finish();
        let mut frame = Decoder::decode_one(&frame).expect("valid").expect("whole");
        assert_eq!((frame.kind, frame.sequence), (Kind::Call, 0));
        let found = pieces(&frame.body).expect("valid");
        assert_eq!(found.pickle, b"pickle");
        assert_eq!(found.content, b"picklefirst");
        let ranges: Vec<_> = found
            .references
            .iter()
            .map(|one| one.range_in_body())
            .collect();
        assert_eq!(ranges, [Some(6..11), None, Some(11..11)]);
        let (references, actors) = (found.references, found.actors);
        assert_eq!(actors, [7, u64::MAX]);
        assert_eq!(unpack(&mut frame.body), Ok((references, actors)));
        assert_eq!(frame.body, b"picklefirst");
    }

    #[test]
    fn a_list_of_actors_that_is_cut_or_not_the_last_part_is_a_fault() {
        let mut builder = Builder::new(Kind::Call, 16, 3);
        builder.pickle(b"pickle");
        builder.actors([7]);
        let frame = builder.finish();
        let body = &frame[HEADER_BYTES..];
        assert_eq!(pieces(body).map(|found| found.actors), Ok(vec![7]));
        let at = body.len() - 1 - REFERENCE_BYTES;
        for (position, number) in [(8, 5_u64), (8, 7), (16, 7), (16, 16), (8, u64::MAX)] {
            let mut bad = body.to_vec();
            bad[at + position..at + position + 8].copy_from_slice(&number.to_le_bytes());
            let found = unpack(&mut bad);
            assert_eq!(found.err(), Some(FrameError::BadReferences), "{number}");
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
