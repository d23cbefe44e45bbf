//! The system calls that the engine makes, and the only folder that may hold `unsafe`.
//!
//! Every descriptor made here is close-on-exec. Each call goes through [`attempt`], where tests
//! make it fail.

use std::time::Duration;

mod error;
mod file;
mod io;
mod memory;
mod process;
mod ready;
mod thread;

pub use error::{Error, Result};
#[cfg(test)]
pub(super) use file::blocks_of;
pub(super) use file::{give_back, len_of, reserve};
pub use file::{read_from, set_append, set_len};
pub use io::{
    Bell, Handle, HandleNumber, duplicate, inherited, pipe, poll, read, set_nonblocking, write,
};
pub(super) use memory::available_bytes;
pub use memory::{SharedBytes, SharedWords, unshare_pages};
pub(super) use process::process_id;
pub use process::{
    ask_for_traceback, count_tracebacks, end_now, signal_process, traceback_signal, watch_process,
};
pub use ready::{Interest, Ready};
pub use thread::{Parker, is_main_thread, now_nanos, spawn};

/// How far apart two thousand parts of a sparse file can begin, so that each may become as large.
pub(super) const SPARSE_STRIDE_BYTES: u64 = if cfg!(target_os = "linux") {
    1 << 40
} else {
    1 << 34
};

/// How often a thread must look again whether the other end of a pipe has hung up: macOS tells it
/// only to a thread that also waits for bytes, and once.
pub const HANG_UP_INTERVAL: Option<Duration> = if cfg!(target_os = "macos") {
    Some(Duration::from_millis(500))
} else {
    None
};

/// How to end a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Asks it to end, which it may refuse.
    Terminate,
    /// Ends it.
    Kill,
}

/// What `faults` tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Makes a descriptor.
    Open,
    /// Changes or asks something of a descriptor.
    Control,
    Map,
    /// Finds memory for a part of a file.
    Reserve,
    /// Of a blocking descriptor, or of one that `poll` says is readable.
    Read,
    /// Of either kind of descriptor; the reader may have gone.
    Write,
    /// To a pipe of which both ends are ours.
    Ring,
    Poll,
    /// Waits for a word in memory.
    Sleep,
    Spawn,
    Signal,
}

#[cfg(any(test, feature = "faults"))]
impl Call {
    /// What it can fail with that says nothing of a fault of ours.
    pub fn errors(self) -> &'static [Error] {
        match self {
            Self::Open => &[Error::TOO_MANY_HANDLES, Error::NO_MEMORY],
            Self::Control | Self::Map => &[Error::NO_MEMORY],
            Self::Reserve => &[Error::INTERRUPTED, Error::NO_MEMORY, Error::NO_SPACE],
            Self::Read | Self::Ring | Self::Poll => {
                &[Error::INTERRUPTED, Error::WOULD_BLOCK, Error::NO_MEMORY]
            }
            Self::Write => &[
                Error::INTERRUPTED,
                Error::WOULD_BLOCK,
                Error::BROKEN_PIPE,
                Error::NO_MEMORY,
            ],
            Self::Sleep => &[Error::INTERRUPTED, Error::WOULD_BLOCK],
            Self::Spawn | Self::Signal => &[Error::WOULD_BLOCK],
        }
    }
}

/// Makes a system call, unless a test has it fail.
#[inline]
fn attempt<T, E: Into<Error>>(
    call: Call,
    make: impl FnOnce() -> std::result::Result<T, E>,
) -> Result<T> {
    #[cfg(any(test, feature = "faults"))]
    if let Some(error) = super::faults::strike(call) {
        return Err(error);
    }
    _ = call;
    make().map_err(Into::into)
}

/// Repeats a call that a signal interrupted.
pub fn retry<T>(mut call: impl FnMut() -> Result<T>) -> Result<T> {
    loop {
        match call() {
            Err(Error::INTERRUPTED) => {}
            result => return result,
        }
    }
}
