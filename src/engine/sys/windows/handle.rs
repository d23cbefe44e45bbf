//! Handles. There are none yet: what would make one fails.

use std::fs::File;
use std::os::windows::io::{AsRawHandle, OwnedHandle};

use crate::engine::sys::error::{Error, Result};

/// What this process owns of the system's; it is closed when this is dropped.
#[derive(Debug)]
pub struct Handle(OwnedHandle);

/// How Python, and another process that is given it, know a handle.
pub type HandleNumber = isize;

impl Handle {
    pub fn number(&self) -> HandleNumber {
        self.0.as_raw_handle().addr().cast_signed()
    }
}

impl From<Handle> for File {
    fn from(handle: Handle) -> Self {
        handle.0.into()
    }
}

pub fn duplicate(_handle: &Handle) -> Result<Handle> {
    Err(Error::UNSUPPORTED)
}

pub fn duplicate_number(_number: HandleNumber) -> Result<Handle> {
    Err(Error::UNSUPPORTED)
}
