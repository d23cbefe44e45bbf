//! Words of memory that processes share.

use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use rustix::mm::{MapFlags, ProtFlags};

use super::file::{len_of, set_len};
use super::handle::Handle;
use super::native::anonymous_file;
use crate::engine::sys::attempt::attempt;
use crate::engine::sys::call::Call;
use crate::engine::sys::error::{Error, Result};

/// Words of memory that this process shares with every process that maps the same descriptor. They
/// start as zeros.
#[derive(Debug)]
pub struct SharedWords {
    start: NonNull<AtomicU64>,
    len_words: usize,
}

// SAFETY: the mapping lives as long as the value, and atomics may be used from any thread.
#[expect(unsafe_code)]
unsafe impl Send for SharedWords {}
// SAFETY: as above.
#[expect(unsafe_code)]
unsafe impl Sync for SharedWords {}

impl SharedWords {
    /// New memory, and the descriptor by which another process can map it. It has no name by which
    /// another process could open it.
    pub fn create(len_words: usize) -> Result<(Self, Handle)> {
        let file = anonymous_file()?;
        set_len(&file, (len_words * size_of::<AtomicU64>()) as u64)?;
        Ok((Self::map(&file, len_words)?, file))
    }

    /// Maps the memory of a descriptor that `create` gave; its size is checked.
    pub fn map(file: &Handle, len_words: usize) -> Result<Self> {
        let len_bytes = len_words * size_of::<AtomicU64>();
        if len_of(file)? < len_bytes as u64 {
            return Err(Error::INVALID);
        }
        let start = attempt(Call::Map, || {
            // SAFETY: a new mapping at an address of the kernel's choice touches no other memory;
            // the file is large enough, as checked above, and is never shortened.
            #[expect(unsafe_code)]
            unsafe {
                rustix::mm::mmap(
                    std::ptr::null_mut(),
                    len_bytes,
                    ProtFlags::READ | ProtFlags::WRITE,
                    MapFlags::SHARED,
                    &file.0,
                    0,
                )
            }
        })?;
        let start = NonNull::new(start.cast()).ok_or(Error::INVALID)?;
        Ok(Self { start, len_words })
    }
}

impl Deref for SharedWords {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        // SAFETY: `map` made a mapping of this length, aligned to a page, and only `drop` unmaps
        // it; every bit pattern is a valid word, and both sides access it only through atomics.
        #[expect(unsafe_code)]
        unsafe {
            std::slice::from_raw_parts(self.start.as_ptr(), self.len_words)
        }
    }
}

impl Drop for SharedWords {
    fn drop(&mut self) {
        let len_bytes = self.len_words * size_of::<AtomicU64>();
        // SAFETY: the mapping is ours, and borrows of it have ended with the value.
        #[expect(unsafe_code)]
        let unmapped = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), len_bytes) };
        debug_assert!(unmapped.is_ok());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::sync::atomic::Ordering;

    #[test]
    fn words_are_shared_by_all_who_map_the_same_descriptor() {
        let (here, fd) = SharedWords::create(512).expect("memory");
        let there = SharedWords::map(&fd, 512).expect("memory");
        assert_eq!(there[511].load(Ordering::SeqCst), 0);
        here[511].store(7, Ordering::SeqCst);
        assert_eq!(there[511].load(Ordering::SeqCst), 7);
        assert_eq!(SharedWords::map(&fd, 513).err(), Some(Error::INVALID));
    }
}
