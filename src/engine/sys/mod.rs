//! The system calls that the engine makes, and the only folder that may hold `unsafe`.
//!
//! What stands above it knows handles, errors, readiness and signals by the types from here, and no
//! system. `unix` is one half; another system is another half with the same names. Every handle made
//! here is close-on-exec. Each call goes through `attempt`, where tests make it fail.

mod attempt;
mod call;
mod error;
#[cfg(any(test, feature = "faults"))]
pub mod faults;
mod types;
#[cfg(unix)]
mod unix;

pub use attempt::retry;
pub use error::{Error, Result};
pub use types::{Interest, Ready, Reaped, Signal};
#[cfg(unix)]
pub use unix::*;
