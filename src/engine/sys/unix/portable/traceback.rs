//! A child cannot be asked for its traceback: this system has no signal that no library uses.

use std::sync::atomic::AtomicU64;

use crate::engine::sys::error::{Error, Result};
use crate::engine::sys::unix::handle::Handle;

/// Its number; `None` where the system has no such signal.
pub fn traceback_signal() -> Option<i32> {
    None
}

pub fn ask_for_traceback(_process: &Handle) -> Result<()> {
    Err(Error::UNSUPPORTED)
}

pub fn count_tracebacks(_count: &'static AtomicU64) -> Result<()> {
    Err(Error::UNSUPPORTED)
}
