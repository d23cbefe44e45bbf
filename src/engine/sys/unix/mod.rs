//! Unix. `native` is what depends on the kind of Unix: Linux has its own, and `portable` is for the
//! others. `--cfg portable` chooses that on Linux too, so that its tests can run there.

mod bell;
mod bytes;
mod clock;
mod error;
mod file;
mod handle;
mod io;
#[cfg(all(target_os = "linux", not(portable)))]
mod linux;
mod memory;
#[cfg(any(not(target_os = "linux"), portable))]
mod portable;
mod process;
mod reap;
mod unwinding;

use std::time::Duration;

#[cfg(all(target_os = "linux", not(portable)))]
use linux as native;
#[cfg(any(not(target_os = "linux"), portable))]
use portable as native;

pub use bell::Bell;
pub use bytes::SharedBytes;
pub use clock::now_nanos;
#[cfg(test)]
pub(in crate::engine) use file::blocks_of;
pub(in crate::engine) use file::len_of;
pub use file::{read_from, set_append, set_len};
pub use handle::{Handle, HandleNumber, duplicate, hand_over, take_over};
pub use io::{pipe, poll, read, set_nonblocking, write};
pub use memory::SharedWords;
pub(in crate::engine) use native::{
    Armed, Witness, available_bytes, give_back, make_sparse, reserve,
};
pub use native::{
    HANG_UP_INTERVAL, Parker, ask_for_traceback, count_tracebacks, current_cpu, is_main_thread,
    name_process, traceback_signal, unshare_pages,
};
pub(in crate::engine) use process::process_id;
pub use process::{end_now, reap, signal_process, watch_parent, watch_process};
pub use unwinding::sleep_when_unwound;

/// Whether a signal ends a read that blocks, and the sleep of the main thread.
pub const SIGNALS_END_WAITS: bool = true;

/// Whether Python's event loops and `select` can wait for the end of a pipe.
pub const ARE_PIPES_SELECTABLE: bool = true;

/// Whether an interpreter is kept ready for the next child: here a fork server does better.
pub const KEEPS_INTERPRETER: bool = false;

/// Lets Ctrl-C interrupt this process, which was started to ignore it. On Unix it was not: its parent
/// has blocked the signal.
pub fn accept_interrupts() {}

/// How long the main thread sleeps at most before it checks for signals: a signal that comes just
/// before the sleep does not end it.
pub const SIGNAL_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Says which thread is the main one, by its number in Python. Unix knows that by itself.
pub fn note_main_thread(_number: u64) {}
