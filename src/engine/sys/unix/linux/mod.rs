//! What Linux does better than other kinds of Unix.

mod bell;
mod memory;
mod pipe;
mod process;
mod thread;
mod traceback;
mod witness;

use std::time::Duration;

pub(super) use bell::bell_ends;
pub use memory::unshare_pages;
pub(super) use memory::{MAP_FLAGS, anonymous_file, give_back_mapped, move_mapping};
pub(in crate::engine) use memory::{available_bytes, give_back, make_sparse, reserve};
pub(super) use pipe::make_pipe;
pub(super) use process::{reap_watched, signal_watched, watch};
pub use thread::{Parker, current_cpu, is_main_thread, name_process};
pub use traceback::{ask_for_traceback, count_tracebacks, traceback_signal};
pub(in crate::engine) use witness::{Armed, Witness};

/// How often a thread must look again whether the other end of a pipe has hung up: never on Linux.
pub const HANG_UP_INTERVAL: Option<Duration> = None;
