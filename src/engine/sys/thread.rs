//! Starting a thread.

use std::thread::{Builder, JoinHandle};

use super::attempt::attempt;
use super::call::Call;
use super::error::{Error, Result};

/// Starts a thread.
pub fn spawn<T: Send + 'static>(
    name: String,
    stack_bytes: usize,
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>> {
    attempt(Call::Spawn, || {
        let thread = Builder::new().name(name).stack_size(stack_bytes);
        #[cfg(any(test, feature = "faults"))]
        let run = || {
            super::faults::may_panic_here();
            run()
        };
        let started = thread.spawn(run);
        started.map_err(|error| error.raw_os_error().map_or(Error::INVALID, Error))
    })
}
