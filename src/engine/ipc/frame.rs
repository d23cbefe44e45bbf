//! Frames: their kinds, and writing them into byte vectors. No I/O.
//!
//! ```text
//! 0               8                      15     16            16 + len
//! ├── len: u64 ───┼── sequence: u56 ─────┼─ kind ┼── body ──────┤     little endian
//! ```
//!
//! [`decoder`](super::decoder) reads them.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::claims::SEQUENCE_BITS;

pub const HEADER_BYTES: usize = 16;

/// The longest body that a length may state: far more than any machine's memory, and far less than a
/// corrupted length is likely to state.
pub const MAX_BODY_BYTES: u64 = 1 << 42;

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
    /// Like `Call`, sent by `tell`.
    ToldCall = 7,
    /// Like `Method`, sent by `tell`.
    ToldMethod = 8,
    /// Like `Message`, for a stream: what the handler yields is sent item by item.
    Stream = 10,
    /// Like `Call`, for a stream.
    StreamCall = 11,
    /// Like `Method`, for a stream.
    StreamMethod = 12,
    /// To the child: nothing, except that a main thread that waits in the middle of `handle` must look
    /// again for what it waits for. It is about no message, so its sequence is 0.
    Wake = 9,
    /// To the child: the answer to its message to another actor. See [`super::relay`] for this and the
    /// next ones.
    Reply = 48,
    /// To the child: its message to another actor failed with this exception.
    Failed = 49,
    /// To the child: its message to another actor was cancelled.
    Cancelled = 50,
    /// To the child: yes or no.
    Said = 51,
    /// To the child: its message to another actor has a place in the mailbox.
    Admitted = 52,
    /// To the child: the actor accepts no messages any more, so this one failed. The body is the
    /// actor's number and the exception.
    Refused = 53,
    /// To the child: the wait of this number would never end, because actors wait for each other.
    Circle = 54,
    /// To the child: it must answer with a `Rests` of the same number when its actor has started, and the
    /// callbacks of the answers that it has got have run.
    Rest = 55,
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
    /// To the parent: the message was asked to stop, and has. Also to the child, of its message to
    /// another actor.
    Stopped = 23,
    /// To the parent: what the handler of a stream has yielded. At its end is its number among the
    /// items of the stream: see [`number_item`]. Also to the child, of its message to another actor, and
    /// without that number.
    Item = 24,
    /// To the parent: a message for another actor.
    Post = 40,
    /// To the parent: a question.
    Ask = 41,
    /// To the parent: a reference to an actor is gone.
    Forget = 42,
    /// To the parent: the main thread has waited for a moment for one of the child's messages.
    Waits = 43,
    /// To the parent: an item of a stream of another actor has been taken.
    Taken = 45,
    /// To the parent: the actor has started, and no callback runs in the child, of the answers that came
    /// before the `Rest` of this number.
    Rests = 44,
}

impl Kind {
    pub const ALL: [Self; 34] = [
        Self::Start,
        Self::Message,
        Self::Call,
        Self::Stop,
        Self::Method,
        Self::Told,
        Self::ToldCall,
        Self::ToldMethod,
        Self::Stream,
        Self::StreamCall,
        Self::StreamMethod,
        Self::Wake,
        Self::Reply,
        Self::Failed,
        Self::Cancelled,
        Self::Said,
        Self::Admitted,
        Self::Refused,
        Self::Circle,
        Self::Rest,
        Self::Post,
        Self::Ask,
        Self::Forget,
        Self::Waits,
        Self::Taken,
        Self::Rests,
        Self::Answer,
        Self::Error,
        Self::Skipped,
        Self::Log,
        Self::Begun,
        Self::Done,
        Self::Stopped,
        Self::Item,
    ];

    /// Whether it is a message that was sent by `tell`.
    pub fn is_told(self) -> bool {
        matches!(self, Self::Told | Self::ToldCall | Self::ToldMethod)
    }

    /// Whether it is a message whose handler yields.
    pub fn is_stream(self) -> bool {
        matches!(self, Self::Stream | Self::StreamCall | Self::StreamMethod)
    }

    /// Whether it is a message for an actor.
    pub fn is_message(self) -> bool {
        matches!(self, Self::Message | Self::Call | Self::Method)
            || self.is_told()
            || self.is_stream()
    }

    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        /// By their bytes: every frame is looked up, and a search would take longer with each kind.
        const BY_BYTE: [Option<Kind>; 256] = {
            let mut table = [None; 256];
            let mut at = 0;
            while at < Kind::ALL.len() {
                table[Kind::ALL[at] as usize] = Some(Kind::ALL[at]);
                at += 1;
            }
            table
        };
        BY_BYTE[usize::from(byte)]
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
    /// An item of a stream that ends before its number.
    NoItemNumber,
    /// A request about another actor that makes no sense.
    BadRelay,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKind(kind) => write!(f, "a frame of unknown kind {kind}"),
            Self::TooLong(len) => write!(f, "a frame that claims to be {len} bytes long"),
            Self::NoMemory(len) => write!(f, "no memory for a frame of {len} bytes"),
            Self::BadReferences => write!(f, "a frame that refers to no block of shared memory"),
            Self::NoItemNumber => write!(f, "an item of a stream without its number"),
            Self::BadRelay => write!(f, "a request about another actor that makes no sense"),
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

/// Appends the number of an item to its frame, which counts the items of its stream from 0. So an item
/// that was both written to the pipe and left in the spill is not taken for two.
pub fn number_item(frame: &mut Vec<u8>, number: u64) {
    frame.extend_from_slice(&number.to_le_bytes());
    finish(frame);
}

/// Takes the number off the body of an item.
pub fn take_item_number(body: &mut Vec<u8>) -> Result<u64, FrameError> {
    let number = body
        .split_last_chunk()
        .map(|(rest, number)| (rest.len(), *number));
    let (len, number) = number.ok_or(FrameError::NoItemNumber)?;
    body.truncate(len);
    Ok(u64::from_le_bytes(number))
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

#[cfg(test)]
mod tests {
    use super::*;

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
            let frame = encode_done(listed);
            let body = &frame[HEADER_BYTES..];
            assert_eq!(done_sequences(body), Ok(listed.to_vec()));
            for cut in (1..body.len()).filter(|cut| cut % 8 != 0) {
                assert_eq!(done_sequences(&body[..cut]), Err(FrameError::CutList));
            }
        }
    }
}
