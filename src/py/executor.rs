//! `ExecutorCore`: what Python sees of an executor, with any transport.

use std::sync::Arc;

use pyo3::exceptions::PyTimeoutError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple, PyType};

use super::host::room::RoomSeat;
use super::interpreter::daemon_threads::outlasting;
use super::interpreter::lifecycle::{CancelFutures, Ended, Live};
use super::interpreter::{imports, lifecycle, wait};
use super::message::fault::Force;
use super::message::request::Asked;
use crate::py::host::host::Host;

/// The core of an executor: one actor and its mailbox.
#[pyclass(subclass, frozen, module = "futures_actors._core")]
pub(super) struct ExecutorCore {
    pub(super) host: Arc<Host>,
    /// The actor's class. It is not in the host, which a running thread keeps alive. So a class that
    /// holds the executor of its own actor can be garbage-collected with it.
    class: Py<PyType>,
}

impl ExecutorCore {
    pub(super) fn new(class: Bound<'_, PyType>, host: Arc<Host>) -> Self {
        Self {
            host,
            class: class.unbind(),
        }
    }
}

impl Drop for ExecutorCore {
    /// Refuses new messages. The actor handles those that it has, and ends.
    fn drop(&mut self) {
        // One that has ended needs no call, and what it would call may be cleared by the collector.
        if self.host.generation == lifecycle::generation() && !self.host.ended.is_set() {
            Python::attach(|py| self.host.close(py));
        }
    }
}

#[pymethods]
impl ExecutorCore {
    /// Send a message to the actor and return the future of its answer.
    ///
    /// Messages from one thread are handled in the order in which they were posted. With option
    /// `mailbox_size`, this waits while that many messages have not begun; it raises `MailboxFull`
    /// if that takes more than `timeout` seconds, and at once in the actor's own thread. Raises
    /// `RuntimeError` after `shutdown`, and `BrokenActor` if the actor could not start or has died.
    #[pyo3(signature = (message, *, timeout=None))]
    fn post<'py>(
        &self,
        message: &Bound<'py, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let deadline = wait::deadline(timeout)?;
        self.host.accept(Asked::Handle(message), deadline)
    }

    /// Send a message without a future: its answer is dropped, and it cannot be cancelled.
    ///
    /// It is handled in mailbox order. What `handle` raises is logged with its traceback on logger
    /// `futures_actors`, and counted. This waits for room and raises as `post` does, and also
    /// raises what pickling raises. A message that was accepted and is lost because the actor died
    /// is logged.
    #[pyo3(signature = (message, *, timeout=None))]
    fn tell(&self, message: &Bound<'_, PyAny>, timeout: Option<f64>) -> PyResult<()> {
        self.host
            .tell(Asked::Handle(message), wait::deadline(timeout)?)
    }

    /// Return the state and the counts of the actor, without asking the actor.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.host.stats(py)
    }

    /// For `apost`: queue for room, and return the seat in that queue.
    fn _wait_for_room(&self, py: Python<'_>) -> PyResult<RoomSeat> {
        self.host.wait_for_room(py)
    }

    /// For `apost`: post a message into the place that `seat` was granted.
    fn _post_into_room<'py>(
        &self,
        seat: &Bound<'py, RoomSeat>,
        message: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let permit = Some(seat.get().permit()?);
        self.host.accept_with(Asked::Handle(message), permit)
    }

    /// Run `fn(*args, **kwargs)` in the actor's thread or process, in mailbox order.
    ///
    /// Returns the future of its result. Waits and raises as `post` does.
    #[pyo3(signature = (r#fn, /, *args, **kwargs))]
    fn submit<'py>(
        &self,
        r#fn: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.host.accept(Asked::Call(r#fn, args, kwargs), None)
    }

    /// Return an object whose method calls are messages: `proxy.name(...)` returns a future.
    ///
    /// A call runs the actor's method of that name, in mailbox order. This is for classes that have
    /// no `handle`. A name that starts with "_" or is no method of the actor's class raises
    /// `AttributeError`. Annotate the proxy with a protocol to have calls type-checked.
    fn proxy<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        outlasting(imports::proxy(py)?, (slf, &slf.get().class), None)
    }

    /// For proxies: call the actor's method `name`, in mailbox order, and return the future.
    #[pyo3(signature = (name, /, *args, **kwargs))]
    fn _call_method<'py>(
        &self,
        name: &Bound<'py, PyString>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.host.accept(Asked::Method(name, args, kwargs), None)
    }

    /// Accept no more messages, and let the actor end when it has handled those it has.
    ///
    /// With `wait`, return when it has ended; raise `TimeoutError` if that takes more than
    /// `timeout` seconds, though the actor still goes on to end. With `cancel_futures`, cancel
    /// every message that `handle` has not begun. `shutdown` can be called again, and from any
    /// thread; in the actor's own thread, in `handle` or in a callback, it does not wait.
    #[pyo3(signature = (wait=true, *, cancel_futures=false, timeout=None))]
    fn shutdown(
        &self,
        py: Python<'_>,
        wait: bool,
        cancel_futures: bool,
        timeout: Option<f64>,
    ) -> PyResult<()> {
        let deadline = wait::deadline(timeout)?;
        let cancel = if cancel_futures {
            CancelFutures::Yes
        } else {
            CancelFutures::No
        };
        self.host.shutdown(py, cancel)?;
        if wait && self.host.wait(py, deadline)? == Ended::No {
            let (name, seconds) = (&self.host.name, timeout.unwrap_or_default());
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
    fn terminate(&self, py: Python<'_>) -> PyResult<()> {
        self.host.end_by(py, Force::Terminate)
    }

    /// Shut down as `terminate` does, but a process gets SIGKILL, which it cannot catch.
    fn kill(&self, py: Python<'_>) -> PyResult<()> {
        self.host.end_by(py, Force::Kill)
    }

    /// Do what `terminate` does; process pools have this method under this name.
    fn terminate_workers(&self, py: Python<'_>) -> PyResult<()> {
        self.terminate(py)
    }

    /// Do what `kill` does; process pools have this method under this name.
    fn kill_workers(&self, py: Python<'_>) -> PyResult<()> {
        self.kill(py)
    }

    /// Return the current stacks of the actor's threads, as text.
    ///
    /// A process actor is interrupted by a signal, so this works while `handle` hangs, even in C
    /// code, but only on Linux. For a thread actor it is the stack of its thread. `timeout` is in
    /// seconds; None means no limit. Raises `TimeoutError` when it has passed, `BrokenActor` if the
    /// actor could not start or has died, and `RuntimeError` if it has ended.
    #[pyo3(signature = (*, timeout=None))]
    fn dump_traceback(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<String> {
        self.host.dump_traceback(py, timeout)
    }

    #[classmethod]
    #[pyo3(signature = (item, /))]
    fn __class_getitem__<'py>(
        cls: &Bound<'py, PyType>,
        item: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        imports::generic_alias(cls.py())?.call1((cls, item))
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let Self { host, class } = slf.get();
        let kind = slf.get_type();
        let class = class.bind(slf.py()).name()?;
        let name = match &host.name {
            name if class == name.as_str() => String::new(),
            name => format!(" {name:?}"),
        };
        let pid = host.pid().map(|pid| format!(" pid={pid}"));
        let (kind, state) = (kind.name()?, host.state().name());
        let pid = pid.unwrap_or_default();
        Ok(format!("<{kind} of {class}{name}{pid} {state}>"))
    }

    /// There is no `__clear__`, because every cycle through an executor also contains a class or an
    /// exception, which can be cleared.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.class)?;
        // While the actor's thread has the host too, what the host holds is alive.
        match Arc::strong_count(&self.host) {
            1 => self.host.traverse(&visit),
            _ => Ok(()),
        }
    }
}
