//! Pickles of plain objects: `None`, booleans, numbers, and short texts and bytes, which many messages
//! and answers are. To call the pickler for one takes longer than the rest of its way through the core.
//!
//! What is written here any unpickler can read, and what a pickler of protocol 5 has written for such
//! an object can be read here.

/// A plain object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Plain<'a> {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// Of at most [`Plain::MOST_BYTES`] bytes, like the next.
    Text(&'a str),
    Bytes(&'a [u8]),
}

/// The opcode of the protocol, and its number.
const PROTOCOL: [u8; 2] = [0x80, 5];
const FRAME: u8 = 0x95;
const NONE: u8 = b'N';
const TRUE: u8 = 0x88;
const FALSE: u8 = 0x89;
const INT_1: u8 = b'K';
const INT_2: u8 = b'M';
const INT_4: u8 = b'J';
const LONG: u8 = 0x8a;
const FLOAT: u8 = b'G';
const TEXT: u8 = 0x8c;
const BYTES: u8 = b'C';
const MEMOIZE: u8 = 0x94;
const STOP: u8 = b'.';

impl<'a> Plain<'a> {
    /// How long a text or bytes may be: the length is one byte of the pickle.
    pub const MOST_BYTES: usize = u8::MAX as usize;

    /// At least the length of the pickle.
    #[must_use]
    pub fn most_bytes(self) -> usize {
        const OTHERS: usize = 16;
        match self {
            Self::Text(text) => OTHERS + text.len(),
            Self::Bytes(bytes) => OTHERS + bytes.len(),
            _ => OTHERS,
        }
    }

    /// Appends the pickle.
    pub fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&PROTOCOL);
        match self {
            Self::None => out.push(NONE),
            Self::Bool(true) => out.push(TRUE),
            Self::Bool(false) => out.push(FALSE),
            Self::Int(number) => write_int(number, out),
            Self::Float(number) => {
                out.push(FLOAT);
                out.extend_from_slice(&number.to_be_bytes());
            }
            Self::Text(text) => write_bytes(TEXT, text.as_bytes(), out),
            Self::Bytes(bytes) => write_bytes(BYTES, bytes, out),
        }
        out.push(STOP);
    }

    /// The object of a pickle, if the pickle is of nothing but a plain object.
    #[must_use]
    pub fn read(pickle: &'a [u8]) -> Option<Self> {
        let body = match pickle.strip_prefix(&PROTOCOL)? {
            [FRAME, rest @ ..] => rest.get(size_of::<u64>()..)?,
            body => body,
        };
        let (plain, rest) = match body {
            [NONE, rest @ ..] => (Self::None, rest),
            [TRUE, rest @ ..] => (Self::Bool(true), rest),
            [FALSE, rest @ ..] => (Self::Bool(false), rest),
            [INT_1, one, rest @ ..] => (Self::Int(i64::from(*one)), rest),
            [INT_2, one, two, rest @ ..] => {
                (Self::Int(i64::from(u16::from_le_bytes([*one, *two]))), rest)
            }
            [INT_4, rest @ ..] => {
                let (four, rest) = rest.split_first_chunk()?;
                (Self::Int(i64::from(i32::from_le_bytes(*four))), rest)
            }
            [LONG, len, rest @ ..] => {
                let (bytes, rest) = rest.split_at_checked(usize::from(*len))?;
                (Self::Int(read_long(bytes)?), rest)
            }
            [FLOAT, rest @ ..] => {
                let (eight, rest) = rest.split_first_chunk()?;
                (Self::Float(f64::from_be_bytes(*eight)), rest)
            }
            [TEXT, len, rest @ ..] => {
                let (text, rest) = rest.split_at_checked(usize::from(*len))?;
                (Self::Text(std::str::from_utf8(text).ok()?), rest)
            }
            [BYTES, len, rest @ ..] => {
                let (bytes, rest) = rest.split_at_checked(usize::from(*len))?;
                (Self::Bytes(bytes), rest)
            }
            _ => return None,
        };
        let rest = rest.strip_prefix(&[MEMOIZE]).unwrap_or(rest);
        (rest == [STOP]).then_some(plain)
    }
}

fn write_int(number: i64, out: &mut Vec<u8>) {
    if let Ok(number) = u8::try_from(number) {
        out.extend_from_slice(&[INT_1, number]);
    } else if let Ok(number) = u16::try_from(number) {
        out.push(INT_2);
        out.extend_from_slice(&number.to_le_bytes());
    } else if let Ok(number) = i32::try_from(number) {
        out.push(INT_4);
        out.extend_from_slice(&number.to_le_bytes());
    } else {
        write_bytes(LONG, &number.to_le_bytes(), out);
    }
}

/// At most [`Plain::MOST_BYTES`] are taken.
fn write_bytes(opcode: u8, bytes: &[u8], out: &mut Vec<u8>) {
    let len = u8::try_from(bytes.len()).unwrap_or(u8::MAX);
    out.extend_from_slice(&[opcode, len]);
    out.extend_from_slice(&bytes[..usize::from(len)]);
}

/// A number in two's complement, little endian, of any length up to eight bytes.
fn read_long(bytes: &[u8]) -> Option<i64> {
    let is_negative = bytes.last().is_some_and(|last| *last >= 0x80);
    let mut eight = [if is_negative { 0xff } else { 0 }; size_of::<i64>()];
    eight.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(i64::from_le_bytes(eight))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pickle(plain: Plain<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        plain.write(&mut out);
        out
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(number in any::<i64>(), shift in 0..64, text in ".{0,60}") {
            for plain in [
                Plain::Int(number >> shift),
                Plain::Float(f64::from_bits(number.unsigned_abs() >> 12)),
                Plain::Text(&text),
                Plain::Bytes(text.as_bytes()),
            ] {
                let pickle = pickle(plain);
                prop_assert_eq!(Plain::read(&pickle), Some(plain));
            }
        }

        #[test]
        fn noise_never_panics(noise in proptest::collection::vec(any::<u8>(), 0..20)) {
            _ = Plain::read(&noise);
            _ = Plain::read(&[&PROTOCOL[..], &noise].concat());
        }
    }

    #[test]
    fn they_are_the_pickles_of_python() {
        // As `pickle.dumps(object, 5)` gives them.
        let known: [(&[u8], Plain<'_>); 9] = [
            (b"\x80\x05N.", Plain::None),
            (b"\x80\x05\x88.", Plain::Bool(true)),
            (b"\x80\x05\x89.", Plain::Bool(false)),
            (b"\x80\x05K\xff.", Plain::Int(255)),
            (b"\x80\x05M\x00\x01.", Plain::Int(256)),
            (b"\x80\x05J\xff\xff\xff\xff.", Plain::Int(-1)),
            (
                b"\x80\x05\x95\x0a\0\0\0\0\0\0\0G?\xf8\0\0\0\0\0\0.",
                Plain::Float(1.5),
            ),
            (
                b"\x80\x05\x95\x07\0\0\0\0\0\0\0\x8c\x03abc\x94.",
                Plain::Text("abc"),
            ),
            (
                b"\x80\x05\x95\x07\0\0\0\0\0\0\0C\x03abc\x94.",
                Plain::Bytes(b"abc"),
            ),
        ];
        for (bytes, plain) in known {
            assert_eq!(Plain::read(bytes), Some(plain));
        }
        for (bytes, plain) in &known[..6] {
            assert_eq!(pickle(*plain), *bytes);
        }
        let long = b"\x80\x05\x95\x08\0\0\0\0\0\0\0\x8a\x05\0\0\0\0\xff.";
        assert_eq!(Plain::read(long), Some(Plain::Int(-1 << 32)));
    }

    #[test]
    fn other_pickles_are_left_to_the_unpickler() {
        let others: [&[u8]; 6] = [
            b"",
            b"\x80\x04N.",
            b"\x80\x05N",
            b"\x80\x05N.N",
            b"\x80\x05\x8c\x01\xff.",
            b"\x80\x05\x8a\x09\0\0\0\0\0\0\0\0\x01.",
        ];
        for bytes in others {
            assert_eq!(Plain::read(bytes), None);
        }
    }
}
