//! Turns bytes, as they come, into frames. No I/O.
//!
//! A length is checked before memory is reserved for it, and memory grows only with the bytes that
//! have come. Bytes that make no sense cause an error, never a panic.

use super::claims::SEQUENCE_BITS;
use super::frame::{Frame, FrameError, HEADER_BYTES, Header, Kind, MAX_BODY_BYTES};

/// A body of at least this many bytes is read into its own memory, not copied out of the buffer.
const LARGE_BYTES: usize = 64 * 1024;

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
    use crate::engine::ipc::frame::{encode, renumber};
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
}
