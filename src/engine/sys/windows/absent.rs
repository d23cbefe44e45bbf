//! What this system does not have yet: blocks of shared memory for big buffers, and a signal that asks a
//! process for its traceback. What would make one fails. The arena gives pages that are free back to the
//! system; pages of a section can only be given back with the whole section, so it would need one for
//! each block, and its handle in the other process.

use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use super::handle::Handle;
use crate::engine::sys::error::{Error, Result};

#[derive(Clone, Copy, Debug)]
enum Never {}

pub(in crate::engine) fn len_of(_file: &Handle) -> Result<u64> {
    Err(Error::UNSUPPORTED)
}

#[cfg(test)]
pub(in crate::engine) fn blocks_of(_file: &Handle) -> Result<u64> {
    Err(Error::UNSUPPORTED)
}

pub fn set_append(_file: &Handle) -> Result<()> {
    Err(Error::UNSUPPORTED)
}

pub fn set_len(_file: &Handle, _len_bytes: u64) -> Result<()> {
    Err(Error::UNSUPPORTED)
}

pub fn read_from(_file: &Handle, _at: u64) -> Result<Vec<u8>> {
    Err(Error::UNSUPPORTED)
}

/// Bytes of a shared file, mapped: none.
#[derive(Debug, Default)]
pub struct SharedBytes(Vec<u8>);

impl SharedBytes {
    pub(in crate::engine) fn map(_file: &Handle, _offset: u64, _len_bytes: usize) -> Result<Self> {
        Err(Error::UNSUPPORTED)
    }

    pub(in crate::engine) fn map_private(
        _file: &Handle,
        _offset: u64,
        _len_bytes: usize,
    ) -> Result<Self> {
        Err(Error::UNSUPPORTED)
    }

    pub fn start(&self, at: usize) -> NonNull<u8> {
        NonNull::from(&self.0[at..]).cast()
    }

    pub fn len_bytes(&self) -> usize {
        self.0.len()
    }

    pub(in crate::engine) fn fill(&mut self, source: &[u8]) {
        self.0.copy_from_slice(source);
    }

    pub(in crate::engine) fn slice(&self, at: usize, len_bytes: usize) -> &[u8] {
        &self.0[at..at + len_bytes]
    }

    pub(in crate::engine) fn replace_by(&self, _twin: Self) -> Result<()> {
        debug_assert!(self.0.is_empty());
        Err(Error::UNSUPPORTED)
    }

    pub(in crate::engine) fn copy_pages(&self) {
        debug_assert!(self.0.is_empty());
    }

    pub(in crate::engine) fn give_back(&self) {
        debug_assert!(self.0.is_empty());
    }
}

pub(in crate::engine) fn make_sparse(_file: &Handle, _len_bytes: u64) -> Result<()> {
    Err(Error::UNSUPPORTED)
}

pub(in crate::engine) fn reserve(_file: &Handle, _offset: u64, _len_bytes: u64) -> Result<()> {
    Err(Error::UNSUPPORTED)
}

pub(in crate::engine) fn give_back(_file: &Handle, _offset: u64, _len_bytes: u64) -> Result<()> {
    Err(Error::UNSUPPORTED)
}

pub(in crate::engine) fn available_bytes() -> Option<u64> {
    None
}

pub fn unshare_pages() {}

#[derive(Debug)]
pub(in crate::engine) struct Witness(Never);

#[derive(Debug)]
pub(in crate::engine) struct Armed(Never);

impl Witness {
    pub(in crate::engine) fn new() -> Result<Self> {
        Err(Error::UNSUPPORTED)
    }

    pub(in crate::engine) fn arm(&self) -> Result<Armed> {
        match self.0 {}
    }

    pub(in crate::engine) fn is_gone(&self) -> bool {
        match self.0 {}
    }
}

pub fn traceback_signal() -> Option<i32> {
    None
}

pub fn ask_for_traceback(_process: &Handle) -> Result<()> {
    Err(Error::UNSUPPORTED)
}

pub fn count_tracebacks(_count: &'static AtomicU64) -> Result<()> {
    Err(Error::UNSUPPORTED)
}
