//! Windows: what thread actors need. Process actors do not exist there yet, and `absent` has what
//! only they use.

mod absent;
mod clock;
mod error;
mod handle;
mod thread;

use std::time::Duration;

#[cfg(test)]
pub(in crate::engine) use absent::blocks_of;
pub(in crate::engine) use absent::{
    Armed, Witness, available_bytes, give_back, len_of, make_sparse, process_id, reserve,
};
pub use absent::{
    Bell, SharedBytes, SharedWords, ask_for_traceback, count_tracebacks, end_now, name_process,
    pipe, poll, read, read_from, reap, set_append, set_len, set_nonblocking, signal_process,
    traceback_signal, unshare_pages, watch_process, write,
};
pub use clock::now_nanos;
pub use handle::{Handle, HandleNumber, duplicate, duplicate_number};
pub use thread::{Parker, current_cpu, is_main_thread, note_main_thread};

/// How often a thread must look again whether the other end of a pipe has hung up.
pub const HANG_UP_INTERVAL: Option<Duration> = None;

/// How long the main thread sleeps at most before it checks for signals: here Ctrl-C ends no sleep.
pub const SIGNAL_CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// On Windows no thread is ended by unwinding its stack.
pub fn sleep_when_unwound(_ends: fn() -> bool) {}
