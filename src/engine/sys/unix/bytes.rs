//! Bytes of a shared file, mapped: what a block's slot holds.

use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, Ordering};

use rustix::mm::{MapFlags, ProtFlags};

use super::handle::Handle;
use super::native::{MAP_FLAGS, give_back_mapped, move_mapping};
use crate::engine::sys::attempt::attempt;
use crate::engine::sys::call::Call;
use crate::engine::sys::error::{Error, Result};

/// Bytes of a shared file, mapped; none by default.
///
/// Other mappings may show the same bytes, in the other process too. Which block may use them when
/// is decided by the arena: see `slots.rs`.
#[derive(Debug)]
pub struct SharedBytes {
    start: NonNull<u8>,
    len_bytes: usize,
}

// SAFETY: the mapping lives as long as the value; what is in it belongs to one block at a time.
#[expect(unsafe_code)]
unsafe impl Send for SharedBytes {}
// SAFETY: as above.
#[expect(unsafe_code)]
unsafe impl Sync for SharedBytes {}

impl Default for SharedBytes {
    fn default() -> Self {
        Self {
            start: NonNull::dangling(),
            len_bytes: 0,
        }
    }
}

impl SharedBytes {
    /// Maps a part of a file, which must be at least that long. Memory that the part has already is
    /// mapped in one go.
    pub(in crate::engine) fn map(file: &Handle, offset: u64, len_bytes: usize) -> Result<Self> {
        Self::map_with(file, offset, len_bytes, MAP_FLAGS)
    }

    /// Like `map`, but writes stay in this process. A page shows what the file holds until this
    /// process first writes to the page.
    pub(in crate::engine) fn map_private(
        file: &Handle,
        offset: u64,
        len_bytes: usize,
    ) -> Result<Self> {
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        Self::map_with(file, offset, len_bytes, flags)
    }

    fn map_with(file: &Handle, offset: u64, len_bytes: usize, flags: MapFlags) -> Result<Self> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        let address = std::ptr::null_mut();
        // SAFETY: a new mapping at an address of the kernel's choice touches no other memory.
        #[expect(unsafe_code)]
        let start = attempt(Call::Map, || unsafe {
            rustix::mm::mmap(address, len_bytes, protection, flags, &file.0, offset)
        })?;
        let start = NonNull::new(start.cast()).ok_or(Error::INVALID)?;
        Ok(Self { start, len_bytes })
    }

    /// The address of the byte `at`.
    pub fn start(&self, at: usize) -> NonNull<u8> {
        assert!(at <= self.len_bytes);
        // SAFETY: inside the mapping or just behind it, as checked.
        #[expect(unsafe_code)]
        unsafe {
            self.start.add(at)
        }
    }

    pub fn len_bytes(&self) -> usize {
        self.len_bytes
    }

    /// Copies `source` to the start.
    pub(in crate::engine) fn fill(&mut self, source: &[u8]) {
        assert!(source.len() <= self.len_bytes);
        // SAFETY: both have that many bytes, as checked. They do not overlap: no other code has a
        // reference into this mapping.
        #[expect(unsafe_code)]
        unsafe {
            std::ptr::copy_nonoverlapping(source.as_ptr(), self.start.as_ptr(), source.len());
        }
    }

    pub(in crate::engine) fn slice(&self, at: usize, len_bytes: usize) -> &[u8] {
        assert!(at <= self.len_bytes && len_bytes <= self.len_bytes - at);
        // SAFETY: inside the mapping, as checked, whose every bit pattern is valid. Only the owner
        // of the block writes to it, and does not while it reads.
        #[expect(unsafe_code)]
        unsafe {
            std::slice::from_raw_parts(self.start(at).as_ptr(), len_bytes)
        }
    }

    /// Replaces this mapping by `twin`, another mapping of the same bytes, at the same address.
    /// Other threads may read and write meanwhile, and no write is lost.
    pub(in crate::engine) fn replace_by(&self, twin: Self) -> Result<()> {
        assert_eq!(twin.len_bytes, self.len_bytes);
        move_mapping(twin.address(), twin.len_bytes, self.address())?;
        // The mapping has moved, so `twin` must not unmap it.
        std::mem::forget(twin);
        Ok(())
    }

    /// Gives this process its own copy of every page, if the mapping is private. Other threads may
    /// read and write meanwhile.
    pub(in crate::engine) fn copy_pages(&self) {
        /// No system has smaller pages.
        const PAGE_BYTES: usize = 4096;
        for at in (0..self.len_bytes).step_by(PAGE_BYTES) {
            // SAFETY: the byte is inside the mapping, which lives as long as `self`.
            #[expect(unsafe_code)]
            let byte = unsafe { AtomicU8::from_ptr(self.start(at).as_ptr()) };
            // Writing the value that is already there also makes the kernel copy the page. This
            // never undoes another thread's write: after such a write the exchange fails, and the
            // write has already copied the page. Relaxed: no other memory depends on it.
            let found = byte.load(Ordering::Relaxed);
            _ = byte.compare_exchange(found, found, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Gives the memory back to the system, if that is possible without the file. From then on no
    /// process may read these bytes.
    pub(in crate::engine) fn give_back(&self) {
        give_back_mapped(self.address(), self.len_bytes);
    }

    /// Writes one byte, as numpy would.
    #[cfg(all(test, target_os = "linux", not(portable)))]
    pub(in crate::engine) fn write(&self, at: usize, byte: u8) {
        assert!(at < self.len_bytes);
        // SAFETY: inside the mapping, as checked; tests hold no reference to it meanwhile.
        #[expect(unsafe_code)]
        unsafe {
            self.start(at).write(byte);
        }
    }

    fn address(&self) -> *mut c_void {
        self.start.as_ptr().cast()
    }
}

impl Drop for SharedBytes {
    fn drop(&mut self) {
        if self.len_bytes == 0 {
            return;
        }
        // SAFETY: the mapping is ours, and borrows of it have ended with the value.
        #[expect(unsafe_code)]
        let unmapped = unsafe { rustix::mm::munmap(self.address(), self.len_bytes) };
        debug_assert!(unmapped.is_ok());
    }
}

#[cfg(all(test, target_os = "linux", not(portable)))]
mod tests {
    use super::*;

    use crate::engine::sys::unix::file::set_len;
    use crate::engine::sys::unix::native::anonymous_file;

    const LEN_BYTES: usize = 1 << 20;

    fn file() -> Handle {
        let file = anonymous_file().expect("memory");
        set_len(&file, LEN_BYTES as u64).expect("memory");
        file
    }

    #[test]
    fn a_private_twin_shows_what_was_there_and_shares_nothing_more() {
        let file = file();
        let here = SharedBytes::map(&file, 0, LEN_BYTES).expect("memory");
        let mut there = SharedBytes::map(&file, 0, LEN_BYTES).expect("memory");
        there.fill(&vec![1; LEN_BYTES]);
        let (start, twin) = (here.start(0), SharedBytes::map_private(&file, 0, LEN_BYTES));
        here.replace_by(twin.expect("memory")).expect("memory");
        assert_eq!(here.start(0), start);
        assert_eq!(here.slice(0, LEN_BYTES), vec![1; LEN_BYTES]);
        here.copy_pages();
        there.fill(&vec![2; LEN_BYTES]);
        assert_eq!(here.slice(0, LEN_BYTES), vec![1; LEN_BYTES]);
    }

    #[test]
    fn no_write_is_lost_while_a_mapping_is_replaced() {
        use std::sync::atomic::{AtomicBool, AtomicU64};
        const STEP_BYTES: usize = 4096;

        let file = file();
        for _ in 0..50 {
            let bytes = SharedBytes::map(&file, 0, LEN_BYTES).expect("memory");
            let (is_running, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
            let counts: Vec<u64> = std::thread::scope(|scope| {
                let writer = scope.spawn(|| {
                    let mut counts = vec![0; LEN_BYTES / STEP_BYTES];
                    while !is_over.load(Ordering::SeqCst) {
                        for (page, count) in counts.iter_mut().enumerate() {
                            let word = bytes.start(page * STEP_BYTES).as_ptr().cast();
                            // SAFETY: aligned, and inside the mapping.
                            #[expect(unsafe_code)]
                            let word = unsafe { AtomicU64::from_ptr(word) };
                            // Written as a program would, without an atomic instruction.
                            *count = word.load(Ordering::Relaxed) + 1;
                            word.store(*count, Ordering::Relaxed);
                        }
                        is_running.store(true, Ordering::SeqCst);
                    }
                    counts
                });
                while !is_running.load(Ordering::SeqCst) {
                    std::thread::yield_now();
                }
                let twin = SharedBytes::map_private(&file, 0, LEN_BYTES).expect("memory");
                bytes.replace_by(twin).expect("memory");
                bytes.copy_pages();
                is_over.store(true, Ordering::SeqCst);
                writer.join().expect("no panic")
            });
            for (page, count) in counts.into_iter().enumerate() {
                let found = bytes.slice(page * STEP_BYTES, 8);
                assert_eq!(found, count.to_le_bytes());
            }
        }
    }
}
