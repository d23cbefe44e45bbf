//! The memory that a parent shares with one child: the claims of the messages in the window, the
//! spill, which holds answers that are still to leave the child, the arena's table and blocks, and
//! a count for `trace`, whose text follows at the end of the file.
//!
//! ```text
//! words: ├─ claims: 512 ─┼─ len ─┼─ spilled frames: 4096 ─┼─ slots: 2 × 1024 ─┼─ the rest ─┤
//! then, from 1 TiB on: the arena's slots
//! ```

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};

use super::arena::SLOTS as ARENA_SLOTS;
use super::claims::{Claims, SLOTS};
use super::frame::{Decoder, Frame};
use super::slots::Slots;
use super::sys::{Handle, Result, SharedWords};

const WORD_BYTES: usize = size_of::<AtomicU64>();
pub const SPILL_BYTES: usize = 32 * 1024;
const SPILL_END: usize = SLOTS + 1 + SPILL_BYTES / WORD_BYTES;
const SLOTS_END: usize = SPILL_END + ARENA_SLOTS;
const LEN_WORDS: usize = SLOTS_END + Setting::COUNT;

/// Single words.
#[derive(Clone, Copy)]
pub(super) enum Setting {
    /// How many bytes the arena's blocks of either side may take together.
    LimitBytes,
    /// How many of the parent's slots, and of the child's, have ever been taken: there is no need
    /// to look at the others.
    ParentUsed,
    ChildUsed,
    /// Why the child could not have a block, or 0.
    ChildRefused,
    /// Counts for `trace`.
    Traces,
    /// Whether the parent wants to hear of each message that begins.
    Curious,
    Since,
    Done,
    Failed,
}

impl Setting {
    const COUNT: usize = Self::Failed as usize + 1;
}

#[derive(Debug)]
pub struct Shared(SharedWords);

impl Shared {
    /// New memory, and the descriptor by which the child maps it.
    pub fn create() -> Result<(Self, Handle)> {
        let (words, file) = SharedWords::create(LEN_WORDS)?;
        Ok((Self(words), file))
    }

    pub fn map(file: &Handle) -> Result<Self> {
        Ok(Self(SharedWords::map(file, LEN_WORDS)?))
    }

    pub fn claims(&self) -> Claims<&[AtomicU64]> {
        Claims::new(&self.0[..SLOTS])
    }

    pub fn spill(&self) -> Spill<&[AtomicU64]> {
        Spill(&self.0[SLOTS..SPILL_END])
    }

    /// Counts for `trace`.
    pub fn traces(&self) -> &AtomicU64 {
        self.setting(Setting::Traces)
    }

    /// Whether the parent wants to hear of each message that begins. The child looks after a claim,
    /// and the parent looks at the claims after it has said so: one of them sees the other.
    pub fn is_curious(&self) -> bool {
        self.setting(Setting::Curious).load(Ordering::SeqCst) != 0
    }

    pub fn set_curious(&self, curious: bool) {
        let setting = self.setting(Setting::Curious);
        setting.store(u64::from(curious), Ordering::SeqCst);
    }

    pub(super) fn slots(&self) -> Slots<&[AtomicU64]> {
        Slots::new(&self.0[SPILL_END..SLOTS_END])
    }

    pub(super) fn setting(&self, setting: Setting) -> &AtomicU64 {
        &self.0[SLOTS_END + setting as usize]
    }

    /// When `handle` began on the message that it has, by `sys::now_nanos`; 0: it has none.
    pub fn since(&self) -> &AtomicU64 {
        self.setting(Setting::Since)
    }

    /// The last message that was told and has been handled.
    pub fn done(&self) -> &AtomicU64 {
        self.setting(Setting::Done)
    }

    /// On how many messages that were told `handle` has raised.
    pub fn failed(&self) -> &AtomicU64 {
        self.setting(Setting::Failed)
    }
}

/// Answers that the child has given and not yet written to its pipe, so that its death does not
/// take them along.
///
/// Invariant: the first word is the length of what follows, and is stored after that is. The
/// child's writer alone stores; the parent reads once the child is dead.
#[derive(Debug)]
pub struct Spill<W>(W);

impl<W: Deref<Target = [AtomicU64]>> Spill<W> {
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
            // Relaxed: who reads it reads the length first, which is stored below.
            word.store(u64::from_le_bytes(eight), Ordering::Relaxed);
        }
        // Frames start at words; the filling between is skipped by `frames`.
        let len = len + frame.len().next_multiple_of(WORD_BYTES);
        self.0[0].store(len as u64, Ordering::SeqCst);
    }

    /// What was pushed has left the child.
    pub fn clear(&self) {
        self.0[0].store(0, Ordering::SeqCst);
    }

    /// The frames inside. Nonsense in it is taken for the end.
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
    use crate::engine::frame::{Kind, encode};

    #[test]
    fn both_sides_see_the_same() {
        let (here, file) = Shared::create().expect("memory");
        let there = Shared::map(&file).expect("memory");
        here.claims().offer(5);
        assert!(there.claims().claim(5));
        assert!(here.claims().has_started(5));
        there.spill().push(&encode(Kind::Answer, 5, b"five"));
        assert_eq!(here.spill().frames().len(), 1);
    }

    #[test]
    fn what_is_spilled_comes_back_until_it_is_cleared() {
        let (shared, _file) = Shared::create().expect("memory");
        let spill = shared.spill();
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
    fn it_takes_what_it_has_room_for() {
        let (shared, _file) = Shared::create().expect("memory");
        let spill = shared.spill();
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
