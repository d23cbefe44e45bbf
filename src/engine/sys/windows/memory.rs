//! Words of memory that processes share.

use std::ops::Deref;
use std::sync::atomic::AtomicU64;

use super::handle::Handle;
use super::mapping::Mapping;
use crate::engine::sys::error::Result;

/// Words of memory that this process shares with every process that maps the same section. They start
/// as zeros.
#[derive(Debug)]
pub struct SharedWords {
    memory: Mapping,
    len_words: usize,
}

impl SharedWords {
    /// New memory, and the handle by which another process can map it.
    pub fn create(len_words: usize) -> Result<(Self, Handle)> {
        let (memory, section) = Mapping::create(len_words * size_of::<AtomicU64>())?;
        Ok((Self { memory, len_words }, Handle::of(section)))
    }

    /// Maps the memory of a handle that `create` gave; its size is checked.
    pub fn map(section: &Handle, len_words: usize) -> Result<Self> {
        let memory = Mapping::map(&section.object, len_words * size_of::<AtomicU64>())?;
        Ok(Self { memory, len_words })
    }
}

impl Deref for SharedWords {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        self.memory.words(self.len_words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::engine::sys::error::Error;
    use std::sync::atomic::Ordering;

    #[test]
    fn words_are_shared_by_all_who_map_the_same_section() {
        let (here, section) = SharedWords::create(512).expect("memory");
        let there = SharedWords::map(&section, 512).expect("memory");
        assert_eq!(there[511].load(Ordering::SeqCst), 0);
        here[511].store(7, Ordering::SeqCst);
        assert_eq!(there[511].load(Ordering::SeqCst), 7);
        assert_eq!(SharedWords::map(&section, 513).err(), Some(Error::INVALID));
    }
}
