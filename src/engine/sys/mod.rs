//! The system calls that the engine makes, and the only folder of the engine that may use `unsafe`.
//!
//! Code outside this folder uses the types from here for handles, errors, readiness and signals, and
//! does not depend on the operating system. `unix` is the implementation for Unix, and `windows`, which
//! has the same names, the one for Windows. Every handle made here is close-on-exec. Each call goes through
//! `attempt`, in which tests can make it fail.

mod attempt;
mod call;
mod error;
#[cfg(any(test, feature = "faults"))]
pub mod faults;
mod thread;
mod types;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

pub use super::ring::Side;
pub use attempt::{moment, retry};
pub use error::{Error, Result};
pub use thread::spawn;
pub use types::{Interest, Ready, Reaped, Signal};
#[cfg(unix)]
pub use unix::*;
#[cfg(windows)]
pub use windows::*;
