//! What a child has its parent do with other actors, as bodies of frames.
//!
//! One counter of the child numbers its messages to other actors, its questions and its waits. What the
//! parent says of one has its number as the frame's sequence.

use super::frame::{FrameError, Kind, encode, encode_in_two, finish, renumber};

/// The bits of an actor's number that say which member of a pool it is.
const MEMBER_SHIFT: u32 = 40;

/// The number by which processes refer to a member of the pool of this number. So a process that knows
/// a pool can also refer to its members, and the other way round.
pub fn member_number(pool: u64, index: usize) -> u64 {
    pool | (index as u64 + 1) << MEMBER_SHIFT
}

/// The number of an actor or a pool, and if a member of the pool is meant, its index.
pub fn split_number(number: u64) -> (u64, Option<usize>) {
    let member = number >> MEMBER_SHIFT;
    let index = usize::try_from(member)
        .ok()
        .and_then(|member| member.checked_sub(1));
    (number & ((1 << MEMBER_SHIFT) - 1), index)
}

/// Where a message goes: the end of the body of a [`Kind::Post`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The number of the actor.
    pub target: u64,
    /// What kind of message it is for that actor.
    pub kind: Kind,
    /// How it gets into the mailbox.
    pub place: Place,
    /// If it is a stream, how many items may wait in the child.
    pub ahead: u32,
}

const ADDRESS_BYTES: usize = 14;

/// How a message of a child gets a place in a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Place {
    /// The mailbox has no bound.
    Unneeded = 0,
    /// It waits for one, and the child hears when it has one.
    Awaited = 1,
    /// The child has reserved one under the number of the message: see [`Question::Place`].
    Reserved = 2,
}

impl Place {
    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Unneeded),
            1 => Some(Self::Awaited),
            2 => Some(Self::Reserved),
            _ => None,
        }
    }
}

impl Address {
    /// Makes the frame of a message, as it would go to the actor, a post with this number.
    pub fn write(self, frame: &mut Vec<u8>, number: u64) {
        frame.extend_from_slice(&self.target.to_le_bytes());
        frame.extend_from_slice(&self.ahead.to_le_bytes());
        frame.extend_from_slice(&[self.kind as u8, self.place as u8]);
        finish(frame);
        renumber(frame, Kind::Post, number);
    }

    /// Takes the address off the body of a post, and leaves the body of the message.
    pub fn take(body: &mut Vec<u8>) -> Result<Self, FrameError> {
        let Some((_, address)) = body.split_last_chunk::<ADDRESS_BYTES>() else {
            return Err(FrameError::BadRelay);
        };
        let [t0, t1, t2, t3, t4, t5, t6, t7, ahead @ .., kind, place] = *address;
        let kind = Kind::from_byte(kind).filter(|kind| kind.is_message());
        let address = Self {
            target: u64::from_le_bytes([t0, t1, t2, t3, t4, t5, t6, t7]),
            kind: kind.ok_or(FrameError::BadRelay)?,
            place: Place::from_byte(place).ok_or(FrameError::BadRelay)?,
            ahead: u32::from_le_bytes(ahead),
        };
        body.truncate(body.len() - ADDRESS_BYTES);
        Ok(address)
    }
}

const WHAT_BYTES: usize = 9;

/// A body that is a byte, which says what is meant, and the number that this is about.
fn what_about(body: &[u8]) -> Result<(u8, u64), FrameError> {
    let [what, about @ ..] =
        *<&[u8; WHAT_BYTES]>::try_from(body).map_err(|_| FrameError::BadRelay)?;
    Ok((what, u64::from_le_bytes(about)))
}

/// What a child asks: the body of a [`Kind::Ask`]. The answer is yes or no, a [`Kind::Said`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Whether the actor of this number accepts messages.
    IsAlive(u64),
    /// Cancel the message of this number: whether it never begins.
    Cancel(u64),
    /// Whether the message of this number has begun.
    HasBegun(u64),
    /// Cancel the message of this number, or if it has begun, ask it to stop: whether one of the two
    /// was done.
    Stop(u64),
    /// Nothing awaits the message of this number any more: cancel it, or if the actor is async, ask it
    /// to stop.
    Abandon(u64),
    /// A place in the mailbox of the actor of this number, for a message that will have the number of
    /// this question. The answer is a [`Kind::Admitted`], or says why there will be none.
    Place(u64),
    /// Likewise, in the thread of that actor: it cannot wait for a place.
    PlaceNow(u64),
    /// The message of this number, or the one for which a place was asked, waits for a place no more:
    /// whether it had none.
    Leave(u64),
}

impl Question {
    pub fn encode(self, number: u64) -> Vec<u8> {
        let (what, about) = match self {
            Self::IsAlive(actor) => (0, actor),
            Self::Cancel(message) => (1, message),
            Self::HasBegun(message) => (2, message),
            Self::Stop(message) => (3, message),
            Self::Abandon(message) => (4, message),
            Self::Place(actor) => (5, actor),
            Self::Leave(message) => (6, message),
            Self::PlaceNow(actor) => (7, actor),
        };
        encode_in_two(Kind::Ask, number, &[what], &about.to_le_bytes())
    }

    pub fn decode(body: &[u8]) -> Result<Self, FrameError> {
        let (what, about) = what_about(body)?;
        match what {
            0 => Ok(Self::IsAlive(about)),
            1 => Ok(Self::Cancel(about)),
            2 => Ok(Self::HasBegun(about)),
            3 => Ok(Self::Stop(about)),
            4 => Ok(Self::Abandon(about)),
            5 => Ok(Self::Place(about)),
            6 => Ok(Self::Leave(about)),
            7 => Ok(Self::PlaceNow(about)),
            _ => Err(FrameError::BadRelay),
        }
    }
}

/// The answer to a question.
pub fn encode_said(number: u64, said: bool) -> Vec<u8> {
    encode(Kind::Said, number, &[u8::from(said)])
}

/// Whether the answer to a question is yes: the body of a [`Kind::Said`].
pub fn is_yes(body: &[u8]) -> bool {
    body == [1]
}

/// The actor of number `target` accepts no messages any more, for the reason `error`: a frame of kind
/// [`Kind::Refused`].
pub fn encode_refused(number: u64, target: u64, error: &[u8]) -> Vec<u8> {
    encode_in_two(Kind::Refused, number, &target.to_le_bytes(), error)
}

/// The actor and the reason of a [`Kind::Refused`].
pub fn refused(body: &[u8]) -> Result<(u64, &[u8]), FrameError> {
    let (target, error) = body.split_first_chunk().ok_or(FrameError::BadRelay)?;
    Ok((u64::from_le_bytes(*target), error))
}

/// The child has dropped a reference that it had received `count` times: a frame of kind
/// [`Kind::Forget`].
pub fn encode_forget(actor: u64, count: u64) -> Vec<u8> {
    let mut body = [0; 16];
    body[..8].copy_from_slice(&actor.to_le_bytes());
    body[8..].copy_from_slice(&count.to_le_bytes());
    encode(Kind::Forget, 0, &body)
}

/// The actor and the count of a [`Kind::Forget`].
pub fn forgotten(body: &[u8]) -> Result<(u64, u64), FrameError> {
    match body.as_chunks() {
        ([actor, count], []) => Ok((u64::from_le_bytes(*actor), u64::from_le_bytes(*count))),
        _ => Err(FrameError::BadRelay),
    }
}

/// What a thread of the child waits for. The body of a [`Kind::Waits`], whose sequence is the number of
/// the wait, has one or more of these: the wait ends by the first that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// The answer to the message of this number.
    Answer(u64),
    /// A place in a mailbox for the message of this number.
    Room(u64),
    /// The next item of the stream of this number.
    Item(u64),
}

impl Awaited {
    /// The number of the message.
    pub fn message(self) -> u64 {
        match self {
            Self::Answer(message) | Self::Room(message) | Self::Item(message) => message,
        }
    }

    pub fn encode(number: u64, awaited: &[Self]) -> Vec<u8> {
        let mut body = Vec::with_capacity(WHAT_BYTES * awaited.len());
        for one in awaited {
            let (what, message) = match *one {
                Self::Answer(message) => (0, message),
                Self::Room(message) => (1, message),
                Self::Item(message) => (2, message),
            };
            body.push(what);
            body.extend_from_slice(&u64::to_le_bytes(message));
        }
        encode(Kind::Waits, number, &body)
    }

    pub fn decode(body: &[u8]) -> Result<Vec<Self>, FrameError> {
        body.chunks(WHAT_BYTES).map(Self::decode_one).collect()
    }

    fn decode_one(body: &[u8]) -> Result<Self, FrameError> {
        let (what, message) = what_about(body)?;
        match what {
            0 => Ok(Self::Answer(message)),
            1 => Ok(Self::Room(message)),
            2 => Ok(Self::Item(message)),
            _ => Err(FrameError::BadRelay),
        }
    }
}

/// The wait of this number would never end, because of a circle of these actors, to which it belongs by
/// what stands at place `at` of what it waits for: a frame of kind [`Kind::Circle`].
pub fn encode_circle(number: u64, at: usize, names: &[String]) -> Vec<u8> {
    let mut body = (at as u64).to_le_bytes().to_vec();
    for name in names {
        // As in the length of a frame.
        body.extend_from_slice(&(name.len() as u64).to_le_bytes());
        body.extend_from_slice(name.as_bytes());
    }
    encode(Kind::Circle, number, &body)
}

/// The place and the names of a [`Kind::Circle`].
pub fn circle(body: &[u8]) -> Result<(usize, Vec<String>), FrameError> {
    let (at, mut body) = body.split_first_chunk().ok_or(FrameError::BadRelay)?;
    let at = usize::try_from(u64::from_le_bytes(*at)).map_err(|_| FrameError::BadRelay)?;
    let mut names = Vec::new();
    while let Some((len, rest)) = body.split_first_chunk() {
        let len = usize::try_from(u64::from_le_bytes(*len)).unwrap_or(usize::MAX);
        let (name, rest) = rest.split_at_checked(len).ok_or(FrameError::BadRelay)?;
        let name = str::from_utf8(name).map_err(|_| FrameError::BadRelay)?;
        names.push(name.to_owned());
        body = rest;
    }
    if !body.is_empty() {
        return Err(FrameError::BadRelay);
    }
    Ok((at, names))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ipc::decoder::Decoder;
    use crate::engine::ipc::frame::HEADER_BYTES;
    use proptest::prelude::*;

    fn addresses() -> impl Strategy<Value = Address> {
        let messages = Kind::ALL.into_iter();
        let messages = messages.filter(|kind| kind.is_message());
        let messages: Vec<_> = messages.collect();
        let kind = proptest::sample::select(messages);
        let places = vec![Place::Unneeded, Place::Awaited, Place::Reserved];
        let place = proptest::sample::select(places);
        (any::<u64>(), kind, place, any::<u32>()).prop_map(|(target, kind, place, ahead)| Address {
            target,
            kind,
            place,
            ahead,
        })
    }

    proptest! {
        #[test]
        fn a_message_and_its_address_come_back(
            body in proptest::collection::vec(any::<u8>(), 0..100),
            address in addresses(),
        ) {
            let mut frame = encode(address.kind, 0, &body);
            address.write(&mut frame, 7);
            let frame = Decoder::decode_one(&frame).expect("valid").expect("whole");
            prop_assert_eq!((frame.kind, frame.sequence), (Kind::Post, 7));
            let mut found = frame.body;
            prop_assert_eq!(Address::take(&mut found), Ok(address));
            prop_assert_eq!(found, body);
        }

        #[test]
        fn the_number_of_a_member_says_its_pool_and_its_index(
            pool in 0..1_u64 << MEMBER_SHIFT,
            index in 0..1_usize << 20,
        ) {
            prop_assert_eq!(split_number(pool), (pool, None));
            prop_assert_eq!(split_number(member_number(pool, index)), (pool, Some(index)));
        }

        #[test]
        fn a_question_comes_back(about in any::<u64>()) {
            let questions = [
                Question::IsAlive,
                Question::Cancel,
                Question::HasBegun,
                Question::Stop,
                Question::Abandon,
                Question::Place,
                Question::Leave,
                Question::PlaceNow,
            ];
            for asked in questions.map(|question| question(about)) {
                let frame = Decoder::decode_one(&asked.encode(3)).expect("valid").expect("whole");
                prop_assert_eq!((frame.kind, frame.sequence), (Kind::Ask, 3));
                prop_assert_eq!(Question::decode(&frame.body), Ok(asked));
            }
        }

        #[test]
        fn the_answer_to_a_question_comes_back(said in any::<bool>()) {
            let frame = Decoder::decode_one(&encode_said(3, said)).expect("valid").expect("whole");
            prop_assert_eq!((frame.kind, frame.sequence), (Kind::Said, 3));
            prop_assert_eq!(is_yes(&frame.body), said);
        }

        #[test]
        fn a_refusal_comes_back_and_a_cut_one_is_refused(
            target in any::<u64>(),
            error in proptest::collection::vec(any::<u8>(), 0..20),
            cut in 0_usize..8,
        ) {
            let frame = encode_refused(5, target, &error);
            let frame = Decoder::decode_one(&frame).expect("valid").expect("whole");
            prop_assert_eq!((frame.kind, frame.sequence), (Kind::Refused, 5));
            prop_assert_eq!(refused(&frame.body), Ok((target, &error[..])));
            prop_assert_eq!(refused(&frame.body[..cut]), Err(FrameError::BadRelay));
        }

        #[test]
        fn what_is_awaited_comes_back(message in any::<u64>()) {
            let awaited = [Awaited::Answer, Awaited::Room, Awaited::Item].map(|one| one(message));
            for one in awaited {
                prop_assert_eq!(one.message(), message);
            }
            let frame = Awaited::encode(4, &awaited);
            let frame = Decoder::decode_one(&frame).expect("valid").expect("whole");
            prop_assert_eq!((frame.kind, frame.sequence), (Kind::Waits, 4));
            prop_assert_eq!(Awaited::decode(&frame.body), Ok(awaited.to_vec()));
            prop_assert_eq!(Awaited::decode(&frame.body[1..]), Err(FrameError::BadRelay));
        }

        #[test]
        fn a_circle_comes_back_and_a_cut_one_is_refused(
            at in any::<usize>(),
            names in proptest::collection::vec(".{0,9}", 0..5),
        ) {
            let frame = encode_circle(4, at, &names);
            let frame = Decoder::decode_one(&frame).expect("valid").expect("whole");
            prop_assert_eq!((frame.kind, frame.sequence), (Kind::Circle, 4));
            prop_assert_eq!(circle(&frame.body), Ok((at, names)));
            let cut = frame.body.split_last().map_or(&[][..], |(_, cut)| cut);
            prop_assert_eq!(circle(cut), Err(FrameError::BadRelay));
        }

        #[test]
        fn noise_never_panics(mut noise in proptest::collection::vec(any::<u8>(), 0..40)) {
            _ = (Awaited::decode(&noise), circle(&noise));
            _ = (Question::decode(&noise), forgotten(&noise), Address::take(&mut noise));
        }
    }

    #[test]
    fn a_post_of_what_is_no_message_is_a_fault() {
        let mut frame = encode(Kind::Message, 0, b"x");
        let address = Address {
            target: 1,
            kind: Kind::Answer,
            place: Place::Unneeded,
            ahead: 0,
        };
        address.write(&mut frame, 1);
        let mut body = frame.split_off(HEADER_BYTES);
        assert_eq!(Address::take(&mut body), Err(FrameError::BadRelay));
    }

    #[test]
    fn what_is_forgotten_comes_back() {
        let frame = Decoder::decode_one(&encode_forget(5, 2))
            .expect("valid")
            .expect("whole");
        assert_eq!(forgotten(&frame.body), Ok((5, 2)));
        assert_eq!(forgotten(&frame.body[1..]), Err(FrameError::BadRelay));
    }
}
