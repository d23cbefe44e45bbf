//! Frames on byte slices: encode and decode, no I/O.
//!
//! ```text
//! 0               8                      15     16            16 + len
//! ├── len: u64 ───┼── sequence: u56 ─────┼─ kind ┼── body ──────┤     little endian
//! ```
//!
//! A length is checked before memory is reserved for it, and memory grows only with the bytes that
//! have come. Bytes that make no sense cause an error, never a panic.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::claims::SEQUENCE_BITS;

pub const HEADER_BYTES: usize = 16;

/// The longest body that a length may state: far more than any machine's memory, and far less than a
/// corrupted length is likely to state.
pub const MAX_BODY_BYTES: u64 = 1 << 42;

/// A body of at least this many bytes is read into its own memory, not copied out of the buffer.
const LARGE_BYTES: usize = 64 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// To the child, first: its actor's name and surroundings. A `Call` follows, of the class with
    /// the arguments for its constructor.
    Start = 1,
    /// To the child: a message for `handle`.
    Message = 2,
    /// To the child: a function and its arguments.
    Call = 3,
    /// To the child, last: no more messages come.
    Stop = 4,
    /// To the child: the name of a method of the actor, and its arguments.
    Method = 5,
    /// To the child: a message for `handle` that was sent by `tell`, so its answer is dropped.
    Told = 6,
    /// To the parent: what `handle` returned.
    Answer = 17,
    /// To the parent: the message was cancelled and has not begun.
    Skipped = 19,
    /// To the parent: what `handle`, or for sequence 0 the constructor, raised.
    Error = 18,
    /// To the parent: a log record. It is about no message, so its sequence is 0.
    Log = 20,
    /// To the parent, if it has asked for such notices: the message has begun.
    Begun = 21,
    /// To the parent, now and then: these messages of `tell` have been handled. The body lists their
    /// numbers; the frame's own is 0. See [`encode_done`].
    Done = 22,
}

impl Kind {
    pub const ALL: [Self; 12] = [
        Self::Start,
        Self::Message,
        Self::Call,
        Self::Stop,
        Self::Method,
        Self::Told,
        Self::Answer,
        Self::Error,
        Self::Skipped,
        Self::Log,
        Self::Begun,
        Self::Done,
    ];

    fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// A frame without its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub kind: Kind,
    /// Which message it is about, or 0: see `claims`. An answer has its message's.
    pub sequence: u64,
    pub len_bytes: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: Kind,
    pub sequence: u64,
    pub body: Vec<u8>,
}

impl Frame {
    /// Its length when encoded.
    pub fn len_bytes(&self) -> usize {
        HEADER_BYTES + self.body.len()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    UnknownKind(u8),
    TooLong(u64),
    NoMemory(usize),
    /// A body's references to shared memory are cut, or refer to no block.
    BadReferences,
    /// A list of messages that ends inside a number.
    CutList,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKind(kind) => write!(f, "a frame of unknown kind {kind}"),
            Self::TooLong(len) => write!(f, "a frame that claims to be {len} bytes long"),
            Self::NoMemory(len) => write!(f, "no memory for a frame of {len} bytes"),
            Self::BadReferences => write!(f, "a frame that refers to no block of shared memory"),
            Self::CutList => write!(f, "a list of messages that ends inside a number"),
        }
    }
}

impl std::error::Error for FrameError {}

/// The bytes of one frame.
pub fn encode(kind: Kind, sequence: u64, body: &[u8]) -> Vec<u8> {
    encode_in_two(kind, sequence, body, &[])
}

/// Like [`encode`], for a body that is in two pieces.
pub fn encode_in_two(kind: Kind, sequence: u64, body: &[u8], tail: &[u8]) -> Vec<u8> {
    let len = body.len() + tail.len();
    let mut bytes = Vec::with_capacity(HEADER_BYTES + len);
    bytes.extend_from_slice(&(len as u64).to_le_bytes());
    bytes.extend_from_slice(&word(kind, sequence).to_le_bytes());
    bytes.extend_from_slice(body);
    bytes.extend_from_slice(tail);
    bytes
}

/// Begins a frame of sequence 0. The caller appends the body, of about `len_bytes`, and then calls
/// [`finish`].
pub fn begin(kind: Kind, len_bytes: usize) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEADER_BYTES + len_bytes);
    frame.extend_from_slice(&[0; 8]);
    frame.extend_from_slice(&word(kind, 0).to_le_bytes());
    frame
}

/// Writes the length of its body into a frame.
pub fn finish(frame: &mut [u8]) {
    let len = (frame.len() - HEADER_BYTES) as u64;
    frame[..8].copy_from_slice(&len.to_le_bytes());
}

/// A frame of kind [`Kind::Done`], about these messages.
pub fn encode_done(sequences: &[u64]) -> Vec<u8> {
    let body: Vec<u8> = sequences.iter().flat_map(|n| n.to_le_bytes()).collect();
    encode(Kind::Done, 0, &body)
}

/// The messages that the body of a frame of kind [`Kind::Done`] lists.
pub fn done_sequences(body: &[u8]) -> Result<Vec<u64>, FrameError> {
    let (numbers, rest) = body.as_chunks();
    if !rest.is_empty() {
        return Err(FrameError::CutList);
    }
    Ok(numbers.iter().map(|n| u64::from_le_bytes(*n)).collect())
}

/// Writes the sequence number into a frame that was encoded before its number was known.
pub fn renumber(frame: &mut [u8], kind: Kind, sequence: u64) {
    frame[8..HEADER_BYTES].copy_from_slice(&word(kind, sequence).to_le_bytes());
}

fn word(kind: Kind, sequence: u64) -> u64 {
    debug_assert!(sequence >> SEQUENCE_BITS == 0);
    u64::from(kind as u8) << SEQUENCE_BITS | sequence
}

/// The bytes of a frame to send. They can also be kept here, without a copy.
#[derive(Debug)]
pub enum Encoded {
    Own(Vec<u8>),
    Shared(Arc<Vec<u8>>),
}

impl Encoded {
    /// The same bytes for another owner.
    #[must_use]
    pub fn share(&mut self) -> Self {
        let shared = match self {
            Self::Own(bytes) => Arc::new(std::mem::take(bytes)),
            Self::Shared(bytes) => Arc::clone(bytes),
        };
        *self = Self::Shared(Arc::clone(&shared));
        Self::Shared(shared)
    }

    /// The bytes, to be changed. They are copied first if they have another owner.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(bytes) => Arc::<Vec<u8>>::make_mut(bytes),
        }
    }

    pub fn into_vec(self) -> Vec<u8> {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(bytes) => Arc::unwrap_or_clone(bytes),
        }
    }
}

impl Deref for Encoded {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

impl From<Vec<u8>> for Encoded {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Own(bytes)
    }
}

/// `None` if more bytes are needed.
fn decode_header(bytes: &[u8]) -> Result<Option<Header>, FrameError> {
    let Some((header, _)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Ok(None);
    };
    let number = |at: usize| {
        let mut eight = [0; 8];
        eight.copy_from_slice(&header[at..at + 8]);
        u64::from_le_bytes(eight)
    };
    let (len, word) = (number(0), number(8));
    let byte = header[HEADER_BYTES - 1];
    let kind = Kind::from_byte(byte).ok_or(FrameError::UnknownKind(byte))?;
    let len_bytes = usize::try_from(len)
        .ok()
        .filter(|_| len <= MAX_BODY_BYTES)
        .ok_or(FrameError::TooLong(len))?;
    Ok(Some(Header {
        kind,
        sequence: word & ((1 << SEQUENCE_BITS) - 1),
        len_bytes,
    }))
}

/// Turns bytes, as they come, into whole frames.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The bytes from `at` on are not yet decoded.
    inbox: Vec<u8>,
    at: usize,
    /// A large frame whose body is being collected.
    large: Option<(Header, Vec<u8>)>,
}

impl Decoder {
    /// The vector to which the caller appends what it reads next, at most as much as its spare
    /// capacity before the next call.
    pub fn space(&mut self) -> Result<&mut Vec<u8>, FrameError> {
        let (vec, wanted) = if let Some((header, body)) = &mut self.large {
            let missing = header.len_bytes.saturating_sub(body.len());
            // There is room for a read: otherwise each read would move the memory again.
            if body.capacity() - body.len() >= missing.clamp(1, LARGE_BYTES) {
                return Ok(body);
            }
            // At most doubles what has come, even if the length states more.
            let wanted = missing.min(body.len().max(LARGE_BYTES)).max(1);
            (body, wanted)
        } else {
            self.inbox.drain(..self.at);
            self.at = 0;
            (&mut self.inbox, LARGE_BYTES)
        };
        vec.try_reserve_exact(wanted)
            .map_err(|_| FrameError::NoMemory(vec.len() + wanted))?;
        Ok(vec)
    }

    /// The next whole frame. `None` if more bytes are needed.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        if let Some((header, mut body)) = self.large.take() {
            if body.len() < header.len_bytes {
                self.large = Some((header, body));
                return Ok(None);
            }
            // The kernel may have filled spare capacity with the start of the next frame.
            self.inbox.extend_from_slice(&body[header.len_bytes..]);
            body.truncate(header.len_bytes);
            return Ok(Some(frame(header, body)));
        }
        let bytes = &self.inbox[self.at..];
        if let Some(frame) = Self::decode_one(bytes)? {
            self.at += frame.len_bytes();
            return Ok(Some(frame));
        }
        if let Some(header) = decode_header(bytes)?
            && header.len_bytes >= LARGE_BYTES
        {
            self.large = Some((header, bytes[HEADER_BYTES..].to_vec()));
            self.inbox.clear();
            self.at = 0;
        }
        Ok(None)
    }

    /// The first frame of a slice. `None` if the slice ends before the frame does.
    pub fn decode_one(bytes: &[u8]) -> Result<Option<Frame>, FrameError> {
        let Some(header) = decode_header(bytes)? else {
            return Ok(None);
        };
        let body = bytes[HEADER_BYTES..].get(..header.len_bytes);
        Ok(body.map(|body| frame(header, body.to_vec())))
    }

    /// Whether the bytes so far end between two frames.
    pub fn is_between_frames(&self) -> bool {
        self.large.is_none() && self.at == self.inbox.len()
    }
}

fn frame(header: Header, body: Vec<u8>) -> Frame {
    Frame {
        kind: header.kind,
        sequence: header.sequence,
        body,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kinds() -> impl Strategy<Value = Kind> {
        proptest::sample::select(Kind::ALL.to_vec())
    }

    fn frames() -> impl Strategy<Value = Vec<Frame>> {
        let body = prop_oneof![
            9 => proptest::collection::vec(any::<u8>(), 0..300),
            1 => (LARGE_BYTES - 20..LARGE_BYTES * 3).prop_map(|len| vec![7; len]),
        ];
        let one = (kinds(), 0..1_u64 << SEQUENCE_BITS, body);
        let one = one.prop_map(|(kind, sequence, body)| Frame {
            kind,
            sequence,
            body,
        });
        proptest::collection::vec(one, 0..8)
    }

    /// Feeds `stream` as reads of at most `step` bytes.
    fn decode(stream: &[u8], step: usize) -> Result<(Vec<Frame>, Decoder), FrameError> {
        let mut decoder = Decoder::default();
        let mut frames = Vec::new();
        let mut rest = stream;
        while !rest.is_empty() {
            let space = decoder.space()?;
            let room = space.capacity() - space.len();
            let (now, later) = rest.split_at(step.min(room).min(rest.len()));
            space.extend_from_slice(now);
            rest = later;
            while let Some(frame) = decoder.next_frame()? {
                frames.push(frame);
            }
        }
        Ok((frames, decoder))
    }

    fn encode_all(frames: &[Frame]) -> Vec<u8> {
        let encode = |f: &Frame| encode(f.kind, f.sequence, &f.body);
        frames.iter().flat_map(encode).collect()
    }

    proptest! {
        #[test]
        fn frames_come_back_however_they_are_cut(frames in frames(), step in 1..100_000_usize) {
            let stream = encode_all(&frames);
            let (decoded, decoder) = decode(&stream, step).expect("a valid stream");
            prop_assert_eq!(decoded, frames);
            prop_assert!(decoder.is_between_frames());
        }

        #[test]
        fn a_prefix_is_incomplete_and_never_an_error(frames in frames(), cut in 0.0..1.0_f64) {
            let stream = encode_all(&frames);
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
            let cut = (stream.len() as f64 * cut) as usize;
            let (decoded, decoder) = decode(&stream[..cut], 8192).expect("a valid prefix");
            prop_assert!(decoded.len() <= frames.len());
            prop_assert_eq!(&decoded[..], &frames[..decoded.len()]);
            let whole: usize = decoded.iter().map(|f| HEADER_BYTES + f.body.len()).sum();
            prop_assert_eq!(decoder.is_between_frames(), whole == cut);
        }

        #[test]
        fn noise_never_panics(noise in proptest::collection::vec(any::<u8>(), 0..4000), step in 1..64_usize) {
            drop(decode(&noise, step));
        }
    }

    #[test]
    fn an_absurd_length_is_refused_before_memory_is_reserved() {
        let mut bytes = encode(Kind::Answer, 1, b"");
        bytes[..8].copy_from_slice(&(MAX_BODY_BYTES + 1).to_le_bytes());
        assert_eq!(
            decode(&bytes, 64).err(),
            Some(FrameError::TooLong(MAX_BODY_BYTES + 1))
        );
    }

    #[test]
    fn memory_grows_with_the_bytes_that_came_not_with_the_length_claimed() {
        let mut bytes = encode(Kind::Answer, 1, &[0; 1000]);
        bytes[..8].copy_from_slice(&MAX_BODY_BYTES.to_le_bytes());
        let (frames, mut decoder) = decode(&bytes, 64).expect("incomplete");
        assert!(frames.is_empty());
        assert!(decoder.space().expect("little memory").capacity() < 4 * LARGE_BYTES);
    }

    #[test]
    fn a_kind_is_known_by_its_byte_and_any_other_byte_is_named() {
        for byte in 0..=u8::MAX {
            let mut bytes = encode(Kind::Answer, 1, b"");
            bytes[HEADER_BYTES - 1] = byte;
            match decode(&bytes, 64) {
                Ok((frames, _)) => assert!(Kind::ALL.contains(&frames[0].kind)),
                Err(error) => assert_eq!(error, FrameError::UnknownKind(byte)),
            }
            let is_known = Kind::ALL.iter().any(|kind| *kind as u8 == byte);
            assert_eq!(decode(&bytes, 64).is_ok(), is_known);
        }
    }

    #[test]
    fn a_frame_can_be_numbered_late() {
        let mut bytes = encode(Kind::Message, 0, b"body");
        renumber(&mut bytes, Kind::Message, 12);
        let (frames, _) = decode(&bytes, 64).expect("valid");
        assert_eq!(frames[0].sequence, 12);
        assert_eq!(frames[0].body, b"body");
    }

    #[test]
    fn a_frame_that_is_kept_is_not_copied() {
        let mut sent = Encoded::from(encode(Kind::Message, 1, b"body"));
        let mut kept = sent.share();
        assert_eq!(sent.as_ptr(), kept.as_ptr());
        let again = kept.share();
        assert_eq!(again.as_ptr(), kept.as_ptr());
        // As when the child has died: only the keeper has the frame, which gets another number.
        drop((sent, again));
        let address = kept.as_ptr();
        renumber(kept.bytes_mut(), Kind::Message, 2);
        assert_eq!(kept.as_ptr(), address);
        assert_eq!(kept.into_vec(), encode(Kind::Message, 2, b"body"));
    }

    #[test]
    fn a_list_of_messages_comes_back_and_a_cut_one_is_refused() {
        for listed in [&[][..], &[1], &[1 << 16, u64::MAX, 0]] {
            let frame = Decoder::decode_one(&encode_done(listed)).expect("valid");
            let body = frame.expect("whole").body;
            assert_eq!(done_sequences(&body), Ok(listed.to_vec()));
            for cut in (1..body.len()).filter(|cut| cut % 8 != 0) {
                assert_eq!(done_sequences(&body[..cut]), Err(FrameError::CutList));
            }
        }
    }
}
