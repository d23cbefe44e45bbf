//! What the fuzz targets and the maker of their seeds share: how an input says what is read and in
//! which pieces, and what a stream must decode to.
//!
//! ```text
//! 0        1                            1 + 3 × count
//! ├ count ─┼─ pieces: (u16, u8) each ───┼─ bytes of the stream ──┤     little endian
//! ```
//!
//! A piece takes that many bytes of the stream and adds KiB of zeros, so that a small input makes a
//! large frame. What the pieces leave over comes last, as one more.

use futures_actors::engine::ipc::body::Reference;
use futures_actors::engine::ipc::frame::{
    Decoder, Frame, FrameError, HEADER_BYTES, Kind, MAX_BODY_BYTES, done_sequences, encode,
    encode_done, renumber,
};

/// What a decoder may reserve before anything has come. That a frame is large from here on is no
/// promise of its, but seeds lie on both sides of it.
pub const RESERVE_BYTES: usize = 64 * 1024;

/// What an input's stream is cut off at: room for a large frame's memory to grow a few times.
const LONGEST_STREAM_BYTES: usize = 512 * 1024;

const PIECE_BYTES: usize = 3;
const LAZY: u8 = 1 << 7;

/// What comes in one go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    pub taken_bytes: u16,
    /// Below 128.
    pub zeros_kib: u8,
    /// Whether the first read of it is followed by another before anything is decoded.
    pub lazy: bool,
}

/// The bytes of an input for `pieces` of `stream`.
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

/// What an input says is read.
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

/// What a stream in one piece decodes to: its frames, of which each begins at a multiple of
/// `align_bytes`, and its end. Holds every frame against the bytes that it came from, and the end
/// against those that are left.
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

/// Both when its number is known from the start and when that comes late.
fn assert_encodes_to(frame: &Frame, bytes: &[u8]) {
    assert!(encode(frame.kind, frame.sequence, &frame.body) == bytes);
    let mut late = encode(Kind::Stop, 0, &frame.body);
    renumber(&mut late, frame.kind, frame.sequence);
    assert!(late == bytes);
    // Whatever kind it is: a body is a list of messages if it is one of whole numbers.
    match done_sequences(&frame.body) {
        Ok(listed) => assert!(encode_done(&listed) == encode(Kind::Done, 0, &frame.body)),
        Err(error) => assert!(error == FrameError::CutList && !frame.body.len().is_multiple_of(8)),
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

/// What a error names, and says, is what the bytes say.
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
        FrameError::BadReferences | FrameError::CutList => {
            panic!("what is in a body is not the decoder's business")
        }
    };
    assert!(error.to_string().contains(&named));
}

/// The blocks that the other process has sent: what each is filled with, and where it is.
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
