//! `ExecutorCore`: what Python sees of an executor, with any transport.

use std::sync::Arc;

use pyo3::exceptions::PyTimeoutError;
use pyo3::prelude::*;
use pyo3::types::PyType;

use super::host::host::Host;
use super::interpreter::lifecycle::{CancelFutures, Ended, Live};
use super::interpreter::wait::Seconds;
use super::interpreter::{imports, wait};
use super::message::fault::Force;
use super::reference::core::RefCore;
use super::reference::hold::Hold;
use super::reference::target::Target;
use crate::engine::holding::Holder;

/// The core of an executor: one actor and its mailbox.
#[pyclass(extends = RefCore, subclass, frozen, name = "ActorExecutor", module = "futures_actors._core")]
pub(super) struct ExecutorCore;

impl ExecutorCore {
    /// The caller must have made `hold` before it started the host: the actor's own code may drop a
    /// reference at once, and without a thread that has another one the actor would end.
    pub(super) fn new(class: Bound<'_, PyType>, hold: Hold) -> PyClassInitializer<Self> {
        let reference = RefCore::new(class, hold);
        PyClassInitializer::from(reference).add_subclass(Self)
    }

    fn host<'a>(slf: &'a Bound<'_, Self>) -> &'a Arc<Host> {
        let target = slf.as_super().get().target().ok();
        let host = target.and_then(Target::host);
        host.expect("only `new` makes an executor, and its actor is of this process")
    }
}

#[pymethods]
impl ExecutorCore {
    /// Return the state and the counts of the actor, without asking the actor.
    fn stats<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Self::host(slf).stats(slf.py())
    }

    /// Accept no more messages, and let the actor end when it has handled those it has.
    ///
    /// With `wait`, return when it has ended; raise `TimeoutError` if that takes more than
    /// `timeout` seconds, though the actor still goes on to end. With `cancel_futures`, cancel
    /// every message that `handle` has not begun. `shutdown` can be called again, and from any
    /// thread; in the actor's own thread, in `handle` or in a callback, it does not wait.
    #[pyo3(signature = (wait=true, *, cancel_futures=false, timeout=None))]
    fn shutdown(
        slf: &Bound<'_, Self>,
        wait: bool,
        cancel_futures: bool,
        timeout: Option<Seconds>,
    ) -> PyResult<()> {
        let deadline = wait::deadline(timeout)?;
        let cancel = if cancel_futures {
            CancelFutures::Yes
        } else {
            CancelFutures::No
        };
        let (py, host) = (slf.py(), Self::host(slf));
        host.shutdown(py, cancel)?;
        if wait {
            // Otherwise the actor could wait for this thread, which waits for the actor.
            host.tally.streams.close_of_this_thread(py);
        }
        if wait && host.wait(py, deadline)? == Ended::No {
            let (name, seconds) = (&host.name, timeout.unwrap_or_default().0);
            let text = format!("actor {name} has not ended within {seconds} s; it goes on to end");
            return Err(PyTimeoutError::new_err(text));
        }
        Ok(())
    }

    /// Shut down without waiting for the actor's messages: a process gets SIGTERM.
    ///
    /// No message begins after this. When the process has ended, every pending future fails with
    /// `ActorDied`; if the process catches the signal, it first finishes the message that it has
    /// begun. A thread cannot be ended from outside: it finishes the message that runs, and the
    /// others fail at once with `BrokenActor`. `on_stop` is not called. Never waits.
    fn terminate(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::host(slf).end_by(slf.py(), Force::Terminate)
    }

    /// Shut down as `terminate` does, but a process gets SIGKILL, which it cannot catch.
    fn kill(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::host(slf).end_by(slf.py(), Force::Kill)
    }

    /// Do what `terminate` does; process pools have this method under this name.
    fn terminate_workers(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::terminate(slf)
    }

    /// Do what `kill` does; process pools have this method under this name.
    fn kill_workers(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::kill(slf)
    }

    /// Return the current stacks of the actor's threads, as text.
    ///
    /// A process actor is interrupted by a signal, so this works while `handle` hangs, even in C
    /// code, but only on Linux. For a thread actor it is the stack of its thread. `timeout` is in
    /// seconds; None means no limit. Raises `TimeoutError` when it has passed, `BrokenActor` if the
    /// actor could not start or has died, and `RuntimeError` if it has ended.
    #[pyo3(signature = (*, timeout=None))]
    fn dump_traceback(slf: &Bound<'_, Self>, timeout: Option<Seconds>) -> PyResult<String> {
        Self::host(slf).dump_traceback(slf.py(), timeout)
    }

    /// Return a reference to the actor, which can send it messages and cannot end it.
    ///
    /// The actor lives while its executor or a reference exists, until one of the executor's
    /// methods ends it.
    fn r#ref<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let class = slf.as_super().get().class(slf.py())?;
        let kind = imports::actor_ref(slf.py())?;
        let hold = Hold::new(Arc::clone(Self::host(slf)), Holder::Others);
        RefCore::make(kind, class, Box::new(hold))
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let (kind, host) = (slf.get_type(), Self::host(slf));
        let class = slf.as_super().get().class(slf.py())?.name()?;
        let name = match &host.name {
            name if class == name.as_str() => String::new(),
            name => format!(" {name:?}"),
        };
        let pid = host.pid().map(|pid| format!(" pid={pid}"));
        let (kind, state) = (kind.name()?, host.state().name());
        let pid = pid.unwrap_or_default();
        Ok(format!("<{kind} of {class}{name}{pid} {state}>"))
    }
}
