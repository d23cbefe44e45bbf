//! The system calls that the engine makes, and the only folder that may hold `unsafe`.
//!
//! Every descriptor made here is close-on-exec. Each call goes through [`attempt`], where tests
//! make it fail.

mod file;
mod io;
mod memory;
mod process;
mod thread;

use rustix::io::{Errno, Result};

pub(super) use file::{give_back, len_of, reserve};
pub use file::{read_from, set_append, set_len};
pub use io::{Bell, Interest, duplicate, inherited, pipe, poll, read, set_nonblocking, write};
pub(super) use memory::available_bytes;
pub use memory::{SharedBytes, SharedWords, unshare_pages};
pub(super) use process::process_id;
#[cfg(target_os = "linux")]
pub use process::trace_signal;
pub use process::{Signal, ask_for_trace, count_traces, end_now, signal_process, watch_process};
#[cfg(target_os = "linux")]
pub use thread::{futex_wait, futex_wake};
pub use thread::{is_main_thread, now_nanos, spawn};

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
    pub fn errors(self) -> &'static [Errno] {
        match self {
            Self::Open => &[Errno::MFILE, Errno::NOMEM],
            Self::Control | Self::Map => &[Errno::NOMEM],
            Self::Reserve => &[Errno::INTR, Errno::NOMEM, Errno::NOSPC],
            Self::Read | Self::Ring | Self::Poll => &[Errno::INTR, Errno::AGAIN, Errno::NOMEM],
            Self::Write => &[Errno::INTR, Errno::AGAIN, Errno::PIPE, Errno::NOMEM],
            Self::Sleep => &[Errno::INTR, Errno::AGAIN],
            Self::Spawn | Self::Signal => &[Errno::AGAIN],
        }
    }
}

/// Makes a system call, unless a test has it fail.
#[inline]
fn attempt<T>(call: Call, make: impl FnOnce() -> Result<T>) -> Result<T> {
    #[cfg(any(test, feature = "faults"))]
    if let Some(error) = super::faults::strike(call) {
        return Err(error);
    }
    _ = call;
    make()
}

/// Repeats a call that a signal interrupted.
pub fn retry<T>(mut call: impl FnMut() -> Result<T>) -> Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

#[cfg(target_os = "linux")]
fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL)
}
