//! Sections: memory that processes share.

use std::os::windows::io::{AsRawHandle, OwnedHandle};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use windows_sys::Win32::Foundation::INVALID_HANDLE_VALUE;
use windows_sys::Win32::System::Memory::{
    CreateFileMappingW, FILE_MAP_ALL_ACCESS, MEMORY_BASIC_INFORMATION, MEMORY_MAPPED_VIEW_ADDRESS,
    MapViewOfFile, PAGE_READWRITE, UnmapViewOfFile, VirtualQuery,
};

use super::object::{last_error, made};
use crate::engine::sys::attempt::attempt;
use crate::engine::sys::call::Call;
use crate::engine::sys::error::{Error, Result};

/// A whole section, mapped.
#[derive(Debug)]
pub(super) struct Mapping {
    start: NonNull<u8>,
    len_bytes: usize,
}

// SAFETY: the mapping lives as long as the value, and is the same for every thread.
#[expect(unsafe_code)]
unsafe impl Send for Mapping {}
// SAFETY: as above; what accesses it says who may do so when.
#[expect(unsafe_code)]
unsafe impl Sync for Mapping {}

impl Mapping {
    /// New memory of zeros, without a name.
    pub(super) fn create(len_bytes: usize) -> Result<(Self, OwnedHandle)> {
        let len = len_bytes as u64;
        let section = attempt(Call::Open, || {
            let high = u32::try_from(len >> 32).unwrap_or(u32::MAX);
            let low = u32::try_from(len & u64::from(u32::MAX)).unwrap_or(u32::MAX);
            let (no_attributes, no_name) = (std::ptr::null(), std::ptr::null());
            // SAFETY: it reads nothing through its arguments.
            #[expect(unsafe_code)]
            let section = unsafe {
                let file = INVALID_HANDLE_VALUE;
                CreateFileMappingW(file, no_attributes, PAGE_READWRITE, high, low, no_name)
            };
            made(section)
        })?;
        let mapping = Self::map(&section, len_bytes)?;
        Ok((mapping, section))
    }

    /// Maps a section that `create` gave; its size is checked.
    pub(super) fn map(section: &OwnedHandle, len_bytes: usize) -> Result<Self> {
        let start = attempt(Call::Map, || {
            // SAFETY: a new mapping at an address of the system's choice touches no other memory.
            #[expect(unsafe_code)]
            let view =
                unsafe { MapViewOfFile(section.as_raw_handle(), FILE_MAP_ALL_ACCESS, 0, 0, 0) };
            NonNull::new(view.Value.cast()).ok_or_else(last_error)
        })?;
        let mut mapping = Self {
            start,
            len_bytes: 0,
        };
        if mapping.size() < len_bytes {
            return Err(Error::INVALID);
        }
        mapping.len_bytes = len_bytes;
        Ok(mapping)
    }

    fn size(&self) -> usize {
        let mut found = MEMORY_BASIC_INFORMATION::default();
        // SAFETY: it writes to `found` alone.
        #[expect(unsafe_code)]
        unsafe {
            let size = size_of::<MEMORY_BASIC_INFORMATION>();
            VirtualQuery(self.start.as_ptr().cast(), &raw mut found, size);
        }
        found.RegionSize
    }

    /// The address of the byte `at`.
    pub(super) fn at(&self, at: usize) -> NonNull<u8> {
        assert!(at <= self.len_bytes);
        // SAFETY: inside the mapping or just behind it, as checked.
        #[expect(unsafe_code)]
        unsafe {
            self.start.add(at)
        }
    }

    /// The first words.
    pub(super) fn words(&self, count: usize) -> &[AtomicU64] {
        assert!(count * size_of::<AtomicU64>() <= self.len_bytes);
        // SAFETY: inside the mapping, as checked, which is aligned to a page and lives as long as
        // `self`. Every bit pattern is a valid word, and all access these bytes only through atomics.
        #[expect(unsafe_code)]
        unsafe {
            std::slice::from_raw_parts(self.start.cast().as_ptr(), count)
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let view = MEMORY_MAPPED_VIEW_ADDRESS {
            Value: self.start.as_ptr().cast(),
        };
        // SAFETY: the mapping is ours, and borrows of it have ended with the value.
        #[expect(unsafe_code)]
        let unmapped = unsafe { UnmapViewOfFile(view) };
        debug_assert_ne!(unmapped, 0);
    }
}
