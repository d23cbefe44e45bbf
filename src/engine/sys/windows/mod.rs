//! Windows. What it does not have yet is in `absent`.

mod absent;
mod bell;
mod clock;
mod end;
mod error;
mod event;
mod handle;
mod io;
mod mapping;
mod memory;
mod object;
mod process;
mod thread;

use std::time::Duration;

#[cfg(test)]
pub(in crate::engine) use absent::blocks_of;
pub(in crate::engine) use absent::{
    Armed, Witness, available_bytes, give_back, len_of, make_sparse, reserve,
};
pub use absent::{
    SharedBytes, ask_for_traceback, count_tracebacks, read_from, set_append, set_len,
    traceback_signal, unshare_pages,
};
pub use bell::Bell;
pub use clock::now_nanos;
pub use handle::{Handle, duplicate, hand_over, take_over};
pub use io::{pipe, poll, read, set_nonblocking, write};
pub use memory::SharedWords;
pub use object::HandleNumber;
pub(in crate::engine) use process::process_id;
pub use process::{
    accept_interrupts, end_now, inherited, name_process, reap, signal_process, watch_parent,
    watch_process,
};
pub use thread::{Parker, current_cpu, is_main_thread, note_main_thread};

/// Whether a signal ends a read that blocks, and the sleep of the main thread: here Ctrl-C ends none.
pub const SIGNALS_END_WAITS: bool = false;

/// Whether Python's event loops and `select` can wait for the end of a pipe.
pub const ARE_PIPES_SELECTABLE: bool = false;

/// Whether an interpreter is kept ready for the next child.
pub const KEEPS_INTERPRETER: bool = true;

/// How often a thread must look again whether the other end of a pipe has hung up.
pub const HANG_UP_INTERVAL: Option<Duration> = None;

/// How long the main thread sleeps at most before it checks for signals.
pub const SIGNAL_CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// On Windows no thread is ended by unwinding its stack.
pub fn sleep_when_unwound(_ends: fn() -> bool) {}
