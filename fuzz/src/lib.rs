//! Shared by the fuzz targets and the program that makes their seeds: how an input describes a
//! stream and the pieces in which it is read, and what a stream must decode to.
//!
//! ```text
//! 0        1                            1 + 3 × count
//! ├ count ─┼─ pieces: (u16, u8) each ───┼─ bytes of the stream ──┤     little endian
//! ```
//!
//! A piece takes a number of bytes (the `u16`) from the stream and appends a number of KiB of zeros
//! (the `u8`), so that a small input can make a large frame. Bytes that no piece takes form a last
//! piece.

use futures_actors::engine::ipc::body::Reference;
use futures_actors::engine::ipc::decoder::Decoder;
use futures_actors::engine::ipc::frame::{
    Frame, FrameError, HEADER_BYTES, Kind, MAX_BODY_BYTES, done_sequences, encode, encode_done,
    number_item, renumber, take_item_number,
};

/// How much memory a decoder may reserve before any bytes have come. The decoder does not promise
/// that frames count as large from this size on, but there are seeds on both sides of it.
pub const RESERVE_BYTES: usize = 64 * 1024;

/// A longer stream is cut off here. This is enough for the memory of a large frame to grow a few
/// times.
const LONGEST_STREAM_BYTES: usize = 512 * 1024;

const PIECE_BYTES: usize = 3;
const LAZY: u8 = 1 << 7;

/// Bytes that arrive together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    pub taken_bytes: u16,
    /// Below 128.
    pub zeros_kib: u8,
    /// Whether the decoder reads once more after the first read of this piece, before it decodes.
    pub lazy: bool,
}

/// Returns the bytes of an input that reads `stream` in `pieces`.
pub fn script(pieces: &[Piece], stream: &[u8]) -> Vec<u8> {
    let count = u8::try_from(pieces.len()).expect("at most 255 pieces");
    let mut bytes = vec![count];
    for piece in pieces {
        bytes.extend_from_slice(&piece.taken_bytes.to_le_bytes());
        bytes.push(piece.zeros_kib | if piece.lazy { LAZY } else { 0 });
    }
    bytes.extend_from_slice(stream);
    bytes
}

/// A stream and its pieces, as an input describes them.
#[derive(Debug, Default)]
pub struct Reads {
    pub stream: Vec<u8>,
    /// Where each piece ends in the stream, and whether it is lazy.
    pub pieces: Vec<(usize, bool)>,
}

impl Reads {
    pub fn of(input: &[u8]) -> Self {
        let mut reads = Self::default();
        let Some((count, rest)) = input.split_first() else {
            return reads;
        };
        let len_bytes = rest.len().min(usize::from(*count) * PIECE_BYTES);
        let (pieces, mut rest) = rest.split_at(len_bytes);
        for piece in pieces.as_chunks::<PIECE_BYTES>().0 {
            let taken = usize::from(u16::from_le_bytes([piece[0], piece[1]]));
            let (now, later) = rest.split_at(taken.min(rest.len()));
            reads.add(
                now,
                usize::from(piece[2] & !LAZY) * 1024,
                piece[2] & LAZY != 0,
            );
            rest = later;
        }
        reads.add(rest, 0, false);
        reads
    }

    fn add(&mut self, bytes: &[u8], zeros_bytes: usize, lazy: bool) {
        self.stream.extend_from_slice(bytes);
        let len_bytes = (self.stream.len() + zeros_bytes).min(LONGEST_STREAM_BYTES);
        self.stream.resize(len_bytes, 0);
        self.pieces.push((len_bytes, lazy));
    }
}

/// How a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    BetweenFrames,
    InsideFrame,
    Error(FrameError),
}

/// Decodes a stream that is read in one piece, and returns its frames and its end. Each frame begins
/// at a multiple of `align_bytes`. Checks every frame against the bytes that it came from, and the
/// end against the bytes that are left.
pub fn decode_whole(stream: &[u8], align_bytes: usize) -> (Vec<Frame>, End) {
    let mut frames = Vec::new();
    let mut rest = stream;
    loop {
        match Decoder::decode_one(rest) {
            Ok(Some(frame)) => {
                let len = frame.len_bytes();
                assert_encodes_to(&frame, &rest[..len]);
                let len = len.next_multiple_of(align_bytes);
                rest = rest.get(len..).unwrap_or(&[]);
                frames.push(frame);
            }
            Ok(None) => {
                assert!(is_less_than_a_frame(rest));
                let end = if rest.is_empty() {
                    End::BetweenFrames
                } else {
                    End::InsideFrame
                };
                return (frames, end);
            }
            Err(error) => {
                assert_is_right(error, rest);
                return (frames, End::Error(error));
            }
        }
    }
}

/// Checks that a frame encodes to these bytes, whether its number is known from the start or set
/// later.
fn assert_encodes_to(frame: &Frame, bytes: &[u8]) {
    assert!(encode(frame.kind, frame.sequence, &frame.body) == bytes);
    let mut late = encode(Kind::Stop, 0, &frame.body);
    renumber(&mut late, frame.kind, frame.sequence);
    assert!(late == bytes);
    // For every kind of frame: a body is a list of messages if it consists of whole numbers.
    match done_sequences(&frame.body) {
        Ok(listed) => assert!(encode_done(&listed) == encode(Kind::Done, 0, &frame.body)),
        Err(error) => assert!(error == FrameError::CutList && !frame.body.len().is_multiple_of(8)),
    }
    // And an item of a stream if it is long enough for a number.
    let mut body = frame.body.clone();
    match take_item_number(&mut body) {
        Ok(number) => {
            let mut item = encode(Kind::Item, 0, &body);
            number_item(&mut item, number);
            assert!(item == encode(Kind::Item, 0, &frame.body));
        }
        Err(error) => assert!(error == FrameError::NoItemNumber && body.len() < 8),
    }
}

fn claimed_bytes(header: &[u8; HEADER_BYTES]) -> u64 {
    u64::from_le_bytes(*header.first_chunk().expect("8 of 16"))
}

fn is_less_than_a_frame(bytes: &[u8]) -> bool {
    let Some((header, body)) = bytes.split_first_chunk() else {
        return true;
    };
    let claimed_bytes = claimed_bytes(header);
    claimed_bytes <= MAX_BODY_BYTES && claimed_bytes > body.len() as u64
}

/// Checks that an error is right for these bytes, and that its text names the value in them.
fn assert_is_right(error: FrameError, bytes: &[u8]) {
    let header = bytes.first_chunk().expect("no error without a header");
    let named = match error {
        FrameError::UnknownKind(kind) => {
            assert_eq!(kind, header[HEADER_BYTES - 1]);
            kind.to_string()
        }
        FrameError::TooLong(len) => {
            assert_eq!(len, claimed_bytes(header));
            assert!(len > MAX_BODY_BYTES);
            len.to_string()
        }
        FrameError::NoMemory(_) => panic!("a slice needs no memory beyond its own length"),
        FrameError::BadReferences
        | FrameError::CutList
        | FrameError::BadRelay
        | FrameError::NoItemNumber => {
            panic!("what is in a body is not the decoder's business")
        }
    };
    assert!(error.to_string().contains(&named));
}

/// The blocks that the other process has sent: the byte that fills each, and a reference to it.
pub fn blocks() -> impl Iterator<Item = (u8, Reference)> {
    (0..4).map(|number: u8| {
        let reference = Reference {
            slot: u64::from(number),
            at: 0,
            len_bytes: 20_000 * (1 + u64::from(number)),
        };
        (number + 1, reference)
    })
}
