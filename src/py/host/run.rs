//! The thread that serves a host's mailbox: its start, its stack size, and its end, also by a panic.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::engine::{sys, waits};
use crate::py::future::ActorCell;
use crate::py::interpreter::cooperative;
use crate::py::interpreter::{imports, lifecycle, rest};
use crate::py::message::fault::{Fault, Started};
use crate::py::message::items::is_of_an_actor;

use super::host::Host;

/// What a host's thread does. It keeps each message that has left the mailbox and has not ended where
/// `abandon` finds it: a fault of this package, which is a panic, must leave no future without an end.
pub(in crate::py) trait Serve: Send + 'static {
    /// Serves the mailbox until it is closed and what was in it has ended, or the actor has died.
    fn serve(&mut self, host: &Arc<Host>);

    /// After a panic in `serve`: has `Host::fail_by_panic` fail the messages, and lets the actor go.
    fn abandon(&mut self, host: &Arc<Host>);
}

impl Host {
    /// Starts the thread that serves the mailbox.
    pub(in crate::py) fn start(
        self: &Arc<Self>,
        py: Python<'_>,
        mut server: impl Serve,
    ) -> PyResult<()> {
        let stack_bytes = stack_bytes(py)?;
        lifecycle::register(Arc::downgrade(self) as _)?;
        let host = Arc::clone(self);
        let started = sys::spawn(self.name.clone(), stack_bytes, move || {
            // Only this thread sets it, so `set` cannot fail.
            _ = host.thread_id.set(std::thread::current().id());
            cooperative::never_here();
            waits::serve(&host.tally.node);
            is_of_an_actor();
            let exit = ThreadExit(&host);
            // What a panic leaves half done is afterwards seen only by `abandon`.
            if catch_unwind(AssertUnwindSafe(|| server.serve(exit.0))).is_err() {
                server.abandon(exit.0);
            }
        });
        let thread = started.map_err(|error| {
            self.ended.set();
            PyRuntimeError::new_err(format!(
                "cannot start a thread for actor {}: {error}",
                self.name
            ))
        })?;
        *self.thread() = Some(thread);
        Ok(())
    }

    /// Ends the actor after a panic in its thread: fails `taken` and what is in the mailbox. Call it
    /// detached.
    pub(in crate::py) fn fail_by_panic(&self, taken: Vec<(Arc<ActorCell>, Started)>) {
        log::error!(target: "futures_actors", "actor {} was ended by an error inside futures_actors", self.name);
        self.fail(Fault::Panicked, taken);
    }
}

/// Takes the calling thread off the list of `threading`.
pub(in crate::py) fn leave(py: Python<'_>) {
    let left = imports::thread_leave(py).and_then(PyAnyMethods::call0);
    if let Err(error) = left {
        error.write_unraisable(py, None);
    }
}

/// How large the stack of a thread that runs Python code must be: as `threading.stack_size` says.
fn stack_bytes(py: Python<'_>) -> PyResult<usize> {
    /// What threads of `threading` get from the system. Python code may recurse deeply in C.
    const DEFAULT: usize = 8 << 20;
    /// Threads of `threading` can do with 32 KiB, but they have no frames of Rust on their stack.
    const LEAST: usize = 256 << 10;
    let stack_size = imports::stack_size(py)?;
    // The first call resets the size, so the second sets it again. With the GIL no other thread runs
    // in between. Without it, a size that another thread sets in between is lost, as for any code
    // that reads the size.
    let size: usize = stack_size.call0()?.extract()?;
    if size == 0 {
        return Ok(DEFAULT);
    }
    stack_size.call1((size,))?;
    Ok(size.max(LEAST))
}

/// Marks the host as ended when its thread returns, or panics even in `abandon`.
struct ThreadExit<'a>(&'a Arc<Host>);

impl Drop for ThreadExit<'_> {
    fn drop(&mut self) {
        self.0.close_mailbox();
        self.0.ended.set();
        self.0.leave_pool();
        rest::comes_to_rest();
    }
}
