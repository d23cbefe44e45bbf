//! The memory that a parent shares with one child: the claims of the messages in the window, the
//! spill with answers that have not left the child yet, the arena's table and blocks, and single
//! words, among them a count for `traceback`, whose text follows at the end of the file.
//!
//! ```text
//! words: ├─ claims: 65,536 ─┼─ len ─┼─ spilled frames: 4096 ─┼─ slots: 2 × 1024 ─┼─ the rest ─┼─ credits ─┤
//! then, from 1 TiB on: the arena's slots
//! ```

use std::sync::atomic::{AtomicU64, Ordering};

use super::claims::{CLAIMS, Claims};
use super::credits::{CREDIT_WORDS, Credits};
use super::slots::{SLOTS, Slots};
use super::spill::{SPILL_BYTES, Spill};
use crate::engine::sys::{self, Handle, Result, SharedWords};

const WORD_BYTES: usize = size_of::<AtomicU64>();
const SPILL_END: usize = CLAIMS + 1 + SPILL_BYTES / WORD_BYTES;
const SLOTS_END: usize = SPILL_END + SLOTS;
/// Each single word is in cache lines of its own: most are written by one side while the other reads
/// its neighbours.
const WORDS_APART: usize = 128 / WORD_BYTES;
const SETTINGS_END: usize = SLOTS_END + Setting::COUNT * WORDS_APART;
const LEN_WORDS: usize = SETTINGS_END + CREDIT_WORDS;

/// Single words.
#[derive(Clone, Copy)]
pub(in crate::engine) enum Setting {
    /// How many bytes the arena's blocks of either side may take together.
    LimitBytes,
    /// How many of the parent's slots, and of the child's, have ever been taken. The others need
    /// not be searched.
    ParentUsed,
    ChildUsed,
    /// Why the child did not get a block, or 0.
    ChildRefused,
    /// Counts tracebacks: see `traceback.rs`.
    Tracebacks,
    /// Whether the parent wants a notice of each message that begins.
    NotifyBegun,
    Since,
    Failed,
    /// The id of the process that has mapped this memory, 0 before.
    Begun,
    Sent,
    Written,
    ParentCpu,
    ChildCpu,
    Running,
    Own,
    Waits,
}

impl Setting {
    const COUNT: usize = Self::Waits as usize + 1;
}

#[derive(Debug)]
pub struct Region(SharedWords);

impl Region {
    /// New memory, and the handle by which the child maps it.
    pub fn create() -> Result<(Self, Handle)> {
        let (words, file) = SharedWords::create(LEN_WORDS)?;
        Ok((Self(words), file))
    }

    /// Maps the memory in the child, and lets the parent know that the child has done so.
    pub fn map(file: &Handle) -> Result<Self> {
        let region = Self(SharedWords::map(file, LEN_WORDS)?);
        let id = u64::from(sys::process_id());
        region.setting(Setting::Begun).store(id, Ordering::SeqCst);
        Ok(region)
    }

    /// Whether the child has mapped this memory.
    pub fn has_begun(&self) -> bool {
        self.setting(Setting::Begun).load(Ordering::SeqCst) != 0
    }

    /// Whether the process that has mapped it is this one. The program that was started for the child
    /// may have started another one.
    pub fn is_mapped_by(&self, pid: u32) -> bool {
        self.setting(Setting::Begun).load(Ordering::SeqCst) == u64::from(pid)
    }

    pub fn claims(&self) -> Claims<&[AtomicU64]> {
        Claims::new(&self.0[..CLAIMS])
    }

    /// How far streams may be ahead.
    pub fn credits(&self) -> Credits<&[AtomicU64]> {
        Credits::new(&self.0[SETTINGS_END..LEN_WORDS])
    }

    pub fn spill(&self) -> Spill<&[AtomicU64]> {
        Spill::new(&self.0[CLAIMS..SPILL_END])
    }

    /// Counts tracebacks: see `traceback.rs`.
    pub fn tracebacks(&self) -> &AtomicU64 {
        self.setting(Setting::Tracebacks)
    }

    /// Whether the parent wants a notice of each message that begins. The child reads this after a
    /// claim, and the parent reads the claims after it has set this: one of them sees the other.
    pub fn notifies_begun(&self) -> bool {
        self.setting(Setting::NotifyBegun).load(Ordering::SeqCst) != 0
    }

    pub fn set_notify_begun(&self, curious: bool) {
        let setting = self.setting(Setting::NotifyBegun);
        setting.store(u64::from(curious), Ordering::SeqCst);
    }

    pub(in crate::engine) fn slots(&self) -> Slots<&[AtomicU64]> {
        Slots::new(&self.0[SPILL_END..SLOTS_END])
    }

    pub(in crate::engine) fn setting(&self, setting: Setting) -> &AtomicU64 {
        &self.0[SLOTS_END + setting as usize * WORDS_APART]
    }

    /// When `handle` began its current message, by `sys::now_nanos`; in an async actor, the oldest. 0
    /// if there is none.
    pub fn since(&self) -> &AtomicU64 {
        self.setting(Setting::Since)
    }

    /// How many messages have been written whole to the request pipe since the child started. A
    /// child that polls sees by this that there is something to read. Relaxed: it is a hint, after
    /// which the child reads the pipe or sleeps there.
    pub fn sent(&self) -> &AtomicU64 {
        self.setting(Setting::Sent)
    }

    /// How often the child has written all that it had to the answer pipe. A parent that polls for an
    /// answer, or for an item of a stream, looks here, as a child looks at `sent`.
    pub fn written(&self) -> &AtomicU64 {
        self.setting(Setting::Written)
    }

    /// The CPU of the parent's thread that waits for an answer: see `engine::handoff`.
    pub fn parent_cpu(&self) -> &AtomicU64 {
        self.setting(Setting::ParentCpu)
    }

    /// The CPU of the child's main thread.
    pub fn child_cpu(&self) -> &AtomicU64 {
        self.setting(Setting::ChildCpu)
    }

    /// How many messages an async actor handles at this moment.
    pub fn running(&self) -> &AtomicU64 {
        self.setting(Setting::Running)
    }

    /// The number of the child's own actor. The parent stores it before it starts the child.
    pub fn own(&self) -> &AtomicU64 {
        self.setting(Setting::Own)
    }

    /// The number of the wait that the child's main thread is in and has told the parent of, or 0. The
    /// child stores it before it tells the parent, and takes it back before the thread goes on: so the
    /// parent never takes a wait that is over for one that lasts.
    pub fn waits(&self) -> &AtomicU64 {
        self.setting(Setting::Waits)
    }

    /// How many messages sent by `tell` have failed because `handle` raised.
    pub fn failed(&self) -> &AtomicU64 {
        self.setting(Setting::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ipc::frame::{Kind, encode};

    #[test]
    fn both_sides_see_the_same() {
        let (here, file) = Region::create().expect("memory");
        assert!(!here.has_begun());
        assert!(!here.is_mapped_by(std::process::id()));
        let there = Region::map(&file).expect("memory");
        assert!(here.has_begun());
        assert!(here.is_mapped_by(std::process::id()));
        here.claims().offer(5);
        assert!(there.claims().claim(5));
        assert!(here.claims().has_started(5));
        there.spill().push(&encode(Kind::Answer, 5, b"five"));
        assert_eq!(here.spill().frames().len(), 1);
    }
}
