//! The host: what every executor has, whatever carries its messages. A mailbox, the thread that
//! serves it, the fault that ended it if one did, and `ExecutorCore`, its face to Python.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle, ThreadId};
use std::time::Instant;

use once_cell::sync::OnceCell;
use pyo3::exceptions::{PyException, PyRuntimeError, PyTimeoutError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple, PyType};

use super::error::{Fault, Sealed, Started, shut_down, to_error};
use super::future::{self, ActorCell, Message, Outcome};
use super::wait::wait_for;
use super::{imports, lifecycle};
use crate::engine::latch::Latch;
use crate::engine::mailbox::Mailbox;

/// How messages get from a mailbox to the actor.
pub(super) trait Transport: Send + Sync {
    /// Makes a message of `object`; an error fails this message alone.
    fn post(&self, object: &Bound<'_, PyAny>) -> PyResult<Message>;

    /// Makes a message that calls a function in the actor's thread or process.
    fn call(
        &self,
        function: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Message>;

    /// Makes a message that calls a method of the actor.
    fn call_method(
        &self,
        name: &Bound<'_, PyString>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Message>;

    /// The mailbox has a new message or was closed. Must not block, and makes system calls
    /// detached only.
    fn rouse(&self, py: Python<'_>);

    /// Messages that have left the mailbox although they may not have begun.
    fn sent_ahead(&self) -> Vec<Arc<ActorCell>>;

    /// Whether the calling thread is one that ends before the host's own does.
    fn is_own_thread(&self) -> bool {
        false
    }

    /// Says where the actor is, as text.
    fn dump_traceback(&self, py: Python<'_>, deadline: Option<Instant>) -> PyResult<Dump>;
}

/// What a transport knows of where an actor is.
pub(super) enum Dump {
    Text(String),
    TimedOut(&'static str),
    Ended,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum CancelFutures {
    Yes,
    No,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Yes,
    No,
}

pub(super) struct Host {
    /// The actor's class.
    class: Py<PyType>,
    /// Its name.
    pub(super) name: String,
    pub(super) mailbox: Arc<Mailbox<Arc<ActorCell>>>,
    transport: Box<dyn Transport>,
    /// Invariant: set before the mailbox is closed by it, so a refused `post` knows why.
    fault: OnceCell<Fault>,
    /// Set when the thread has left Python for good.
    ended: Latch,
    thread: Mutex<Option<JoinHandle<()>>>,
    thread_id: OnceCell<ThreadId>,
    generation: u32,
}

impl Host {
    pub(super) fn new(
        class: &Bound<'_, PyType>,
        mailbox: Arc<Mailbox<Arc<ActorCell>>>,
        transport: Box<dyn Transport>,
    ) -> PyResult<Self> {
        Ok(Self {
            class: class.clone().unbind(),
            name: class.name()?.to_string(),
            mailbox,
            transport,
            fault: OnceCell::new(),
            ended: Latch::default(),
            thread: Mutex::new(None),
            thread_id: OnceCell::new(),
            generation: lifecycle::generation(),
        })
    }

    /// Starts the thread that serves the mailbox.
    pub(super) fn start(
        self: &Arc<Self>,
        serve: impl FnOnce(&Arc<Self>) + Send + 'static,
    ) -> PyResult<()> {
        // What threads of `threading` get from the system; Python code may recurse deeply in C.
        const STACK_BYTES: usize = 8 << 20;
        lifecycle::register(self)?;
        let host = Arc::clone(self);
        let started = Builder::new()
            .name(self.name.clone())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                // Nobody else sets it.
                _ = host.thread_id.set(std::thread::current().id());
                let end = End(&host);
                serve(end.0);
            });
        let thread = started.map_err(|error| {
            self.ended.set();
            PyRuntimeError::new_err(format!("no thread for actor {}: {error}", self.name))
        })?;
        *self.thread() = Some(thread);
        Ok(())
    }

    fn thread(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a message into the mailbox and returns its future.
    fn accept<'py>(
        &self,
        py: Python<'py>,
        message: impl FnOnce() -> PyResult<Message>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if self.generation != lifecycle::generation() {
            return Err(lifecycle::forked_error());
        }
        if self.mailbox.is_closed() {
            return Err(self.refusal(py));
        }
        let (future, cell) = future::new_future(py)?;
        match message() {
            Ok(message) => {
                cell.post(message);
                if self.mailbox.put(cell).is_err() {
                    return Err(self.refusal(py));
                }
                self.transport.rouse(py);
            }
            // Ctrl-C, say: that is the caller's.
            Err(error) if !error.is_instance_of::<PyException>(py) => return Err(error),
            Err(error) => {
                future::settle_attached(
                    py,
                    &cell,
                    Outcome::Raised(error.into_value(py).into_any()),
                );
            }
        }
        Ok(future)
    }

    fn refusal(&self, py: Python<'_>) -> PyErr {
        match self.fault.get() {
            Some(fault) => to_error(py, &self.name, fault, Started::No),
            None => shut_down(),
        }
    }

    /// Refuses new messages; what is in the mailbox will be handled.
    pub(super) fn close(&self, py: Python<'_>) {
        self.mailbox.close();
        self.transport.rouse(py);
    }

    pub(super) fn shutdown(&self, py: Python<'_>, cancel: CancelFutures) -> PyResult<()> {
        if self.generation != lifecycle::generation() {
            return Ok(());
        }
        self.mailbox.close();
        if cancel == CancelFutures::Yes {
            // The mailbox first: what leaves it meanwhile is among those sent ahead.
            let waiting: Vec<_> = self.mailbox.drain().collect();
            let sent_ahead = py.detach(|| self.transport.sent_ahead());
            // The latest first, so that none begins because an earlier one is gone.
            for cell in sent_ahead.iter().chain(&waiting).rev() {
                future::cancel(py, cell)?;
            }
        }
        self.transport.rouse(py);
        Ok(())
    }

    /// Whether the actor's end waits for the calling thread.
    fn is_own_thread(&self) -> bool {
        self.thread_id.get() == Some(&std::thread::current().id()) || self.transport.is_own_thread()
    }

    /// Waits until the actor has ended and its thread is gone, or until `deadline`. The actor's own
    /// thread does not wait for itself.
    pub(super) fn wait(&self, py: Python<'_>, deadline: Option<Instant>) -> PyResult<Ended> {
        if self.is_own_thread() || self.generation != lifecycle::generation() {
            return Ok(Ended::Yes);
        }
        if !wait_for(py, &self.ended, deadline)? {
            return Ok(Ended::No);
        }
        let thread = self.thread().take();
        // It has nothing left to do but to end, and it cannot panic there.
        py.detach(|| thread.map(JoinHandle::join).map(drop));
        Ok(Ended::Yes)
    }

    fn dump_traceback(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<String> {
        let deadline = future::deadline(timeout)?;
        if self.generation != lifecycle::generation() {
            return Err(lifecycle::forked_error());
        }
        let dump = if self.ended.is_set() || self.fault.get().is_some() {
            Dump::Ended
        } else {
            self.transport.dump_traceback(py, deadline)?
        };
        if matches!(dump, Dump::Ended) && self.fault.get().is_none() && !self.is_own_thread() {
            // Then it is known why.
            wait_for(py, &self.ended, deadline)?;
        }
        let name = &self.name;
        match (dump, self.fault.get()) {
            (Dump::Text(text), _) => Ok(text),
            (Dump::TimedOut(why), _) => Err(PyTimeoutError::new_err(format!(
                "no traceback of actor {name} in {} s: {why}",
                timeout.unwrap_or_default()
            ))),
            (Dump::Ended, Some(fault)) => Err(to_error(py, name, fault, Started::No)),
            (Dump::Ended, None) => Err(PyRuntimeError::new_err(format!(
                "actor {name} has ended: it has no traceback"
            ))),
        }
    }

    /// Ends the actor: refuses what comes, and fails what it has begun or been sent (`taken`) and
    /// what is in the mailbox.
    pub(super) fn fail(&self, fault: Fault, taken: Vec<(Arc<ActorCell>, Started)>) {
        // The first fault is the cause of the others.
        let fault = self.fault.get_or_init(|| fault).clone();
        self.mailbox.close();
        let waiting = self.mailbox.drain().map(|cell| (cell, Started::No));
        for (cell, started) in taken.into_iter().chain(waiting) {
            let fault = Arc::new((self.name.clone(), fault.clone(), started));
            future::settle(&cell, Outcome::Sealed(Sealed::Fault(fault)));
        }
    }
}

/// Says that the thread has ended, however it did.
struct End<'a>(&'a Arc<Host>);

impl Drop for End<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            log::error!(target: "futures_actors", "actor {} ended by a fault inside", self.0.name);
            self.0.fail(Fault::Panicked, Vec::new());
        }
        self.0.mailbox.close();
        self.0.ended.set();
    }
}

/// The core of an executor: one actor and its mailbox.
#[pyclass(subclass, frozen, module = "futures_actors._core")]
pub(super) struct ExecutorCore {
    pub(super) host: Arc<Host>,
}

impl Drop for ExecutorCore {
    /// An executor that nobody has any more accepts nothing, and handles what it has.
    fn drop(&mut self) {
        if self.host.generation == lifecycle::generation() {
            Python::attach(|py| self.host.close(py));
        }
    }
}

#[pymethods]
impl ExecutorCore {
    /// Send a message to the actor and return the future of its answer.
    ///
    /// Messages of one thread are handled in the order they were posted. Raises `RuntimeError`
    /// after `shutdown`, and `BrokenActor` if the actor could not start or has died.
    fn post<'py>(&self, message: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.host
            .accept(message.py(), || self.host.transport.post(message))
    }

    /// Run `fn(*args, **kwargs)` in the actor's thread or process, in mailbox order.
    ///
    /// Returns the future of its result; raises as `post` does.
    #[pyo3(signature = (r#fn, /, *args, **kwargs))]
    fn submit<'py>(
        &self,
        r#fn: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let transport = &self.host.transport;
        self.host
            .accept(r#fn.py(), || transport.call(r#fn, args, kwargs))
    }

    /// Return an object whose method calls are messages: `proxy.name(...)` returns a future.
    ///
    /// It calls the actor's methods of that name, in mailbox order, for classes that have no
    /// `handle`. A name that starts with "_", and one that is no method of the actor's class, is an
    /// `AttributeError`. Annotate the result with a protocol to have calls type-checked.
    fn proxy<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        imports::proxy(py)?.call1((slf, &slf.get().host.class))
    }

    /// For proxies: call the actor's method `name`, in mailbox order, and return the future.
    #[pyo3(signature = (name, /, *args, **kwargs))]
    fn _call_method<'py>(
        &self,
        name: &Bound<'py, PyString>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let transport = &self.host.transport;
        self.host
            .accept(name.py(), || transport.call_method(name, args, kwargs))
    }

    /// Accept no more messages, and let the actor end when it has handled those it has.
    ///
    /// With `wait`, return when it has ended. With `cancel_futures`, cancel every message that
    /// `handle` has not begun.
    #[pyo3(signature = (wait=true, *, cancel_futures=false))]
    fn shutdown(&self, py: Python<'_>, wait: bool, cancel_futures: bool) -> PyResult<()> {
        let cancel = if cancel_futures {
            CancelFutures::Yes
        } else {
            CancelFutures::No
        };
        self.host.shutdown(py, cancel)?;
        if wait {
            self.host.wait(py, None)?;
        }
        Ok(())
    }

    /// Return where the actor is at this moment: the stacks of its threads, as text.
    ///
    /// A process actor is interrupted for it by a signal, so it works while `handle` hangs, in C
    /// code too; Linux alone. Of a thread actor it is the stack of its thread. `timeout` is in
    /// seconds; None waits without end. Raises `TimeoutError` when it has passed, `BrokenActor` if
    /// the actor could not start or has died, and `RuntimeError` if it has ended.
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
}
