//! The host: what every executor has, whatever carries its messages. A mailbox, the thread that
//! serves it, and the fault that ended it if one did. How it ends is in `stop`, and its face to
//! Python in `executor`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, ThreadId};
use std::time::Instant;

use once_cell::sync::OnceCell;
use pyo3::exceptions::{PyException, PyRuntimeError, PyTimeoutError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use crate::engine::latch::Latch;
use crate::engine::mailbox::Mailbox;
use crate::engine::room::Permit;
use crate::engine::sys;
use crate::py::future;
use crate::py::future::{ActorCell, settle};
use crate::py::interpreter::wait::wait_for;
use crate::py::interpreter::{imports, lifecycle, wait};
use crate::py::message::fault::{Fault, Force, ForceSlot, Started, log_told, shut_down, to_error};
use crate::py::message::message::Message;
use crate::py::message::outcome::Outcome;
use crate::py::message::tally::{Completion, Progress, Tally};
use crate::py::options::Options;

/// How messages get from a mailbox to the actor.
pub(in crate::py) trait Transport: Send + Sync {
    /// Makes a message of `object`; an error fails this message alone.
    fn post(&self, object: &Bound<'_, PyAny>) -> PyResult<Message>;

    /// Makes a message that nobody awaits of `object`.
    fn tell(&self, object: &Bound<'_, PyAny>) -> PyResult<Message>;

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

    /// Finds out which messages that have left the mailbox have begun, and gives back their places.
    /// If somebody waits for room, it goes on to do so by itself. Detached; holds locks for a moment.
    fn begun(&self) -> Vec<Permit> {
        Vec::new()
    }

    /// Ends the actor without regard to what it does, if it can be: then what it leaves behind is
    /// failed once it has ended. The mailbox is closed. Called detached; must not block.
    fn signal(&self, force: Force) -> sys::Result<Signalled>;

    /// What the tally does not know. Detached; holds locks for a moment.
    fn progress(&self) -> Progress {
        Progress::default()
    }

    /// Whether the actor has died and is being started again.
    fn is_restarting(&self) -> bool {
        false
    }

    /// The process that the actor lives in, while it does.
    fn pid(&self) -> Option<u32>;

    /// Visits the Python objects that it holds.
    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        _ = visit;
        Ok(())
    }
}

/// Whether the actor is one that can be ended from outside.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::py) enum Signalled {
    Yes,
    No,
}

/// What a transport knows of where an actor is.
pub(in crate::py) enum Dump {
    Text(String),
    TimedOut(&'static str),
    Ended,
}

pub(in crate::py) struct Host {
    pub(in crate::py) tally: Arc<Tally>,
    /// What errors and the log call the actor.
    pub(in crate::py) name: String,
    pub(in crate::py) mailbox: Arc<Mailbox<Arc<ActorCell>>>,
    pub(in crate::py) transport: Box<dyn Transport>,
    /// Invariant: set before the mailbox is closed by it, so a refused `post` knows why.
    pub(in crate::py) fault: OnceCell<Fault>,
    /// Set before the mailbox is closed by it.
    pub(in crate::py) force: ForceSlot,
    /// Set when the thread has left Python for good.
    pub(in crate::py) ended: Latch,
    thread: Mutex<Option<JoinHandle<()>>>,
    pub(in crate::py) thread_id: OnceCell<ThreadId>,
    pub(in crate::py) generation: u32,
}

impl Host {
    pub(in crate::py) fn new(
        options: &Options<'_>,
        mailbox: Arc<Mailbox<Arc<ActorCell>>>,
        tally: Arc<Tally>,
        transport: Box<dyn Transport>,
    ) -> Self {
        Self {
            tally,
            name: options.name.clone(),
            mailbox,
            transport,
            fault: OnceCell::new(),
            force: ForceSlot::default(),
            ended: Latch::default(),
            thread: Mutex::new(None),
            thread_id: OnceCell::new(),
            generation: lifecycle::generation(),
        }
    }

    /// Starts the thread that serves the mailbox.
    pub(in crate::py) fn start(
        self: &Arc<Self>,
        py: Python<'_>,
        serve: impl FnOnce(&Arc<Self>) + Send + 'static,
    ) -> PyResult<()> {
        let stack_bytes = stack_bytes(py)?;
        lifecycle::register(Arc::downgrade(self) as _)?;
        let host = Arc::clone(self);
        let started = sys::spawn(self.name.clone(), stack_bytes, move || {
            // Nobody else sets it.
            _ = host.thread_id.set(std::thread::current().id());
            let exit = ThreadExit(&host);
            serve(exit.0);
        });
        let thread = started.map_err(|error| {
            self.ended.set();
            PyRuntimeError::new_err(format!("no thread for actor {}: {error}", self.name))
        })?;
        *self.thread() = Some(thread);
        Ok(())
    }

    pub(in crate::py) fn thread(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy that `os.fork` has made, without a thread. Its locks and its transport's are not to be
    /// taken: the threads that may have held them are not here to let go.
    pub(in crate::py) fn is_forked(&self) -> bool {
        self.generation != lifecycle::generation()
    }

    /// The process that the actor lives in, while it does.
    pub(in crate::py) fn pid(&self) -> Option<u32> {
        if self.is_forked() {
            return None;
        }
        self.transport.pid()
    }

    /// Whether the actor's end waits for the calling thread.
    pub(in crate::py) fn is_own_thread(&self) -> bool {
        self.thread_id.get() == Some(&std::thread::current().id()) || self.transport.is_own_thread()
    }

    /// Puts a message into the mailbox and returns its future.
    /// It waits for room until `deadline`.
    pub(in crate::py) fn accept<'py>(
        &self,
        py: Python<'py>,
        deadline: Option<Instant>,
        message: impl FnOnce() -> PyResult<Message>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.admit(py)?;
        let permit = self.acquire(py, deadline)?;
        self.accept_with(py, permit, message)
    }

    /// As `accept`, for who has a place in the mailbox if it has a bound.
    pub(in crate::py) fn accept_with<'py>(
        &self,
        py: Python<'py>,
        permit: Option<Permit>,
        message: impl FnOnce() -> PyResult<Message>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (future, cell) = future::new_posted(py, &self.tally)?;
        match message() {
            Ok(message) => {
                cell.post(message.bounded(permit));
                if self.put(cell).is_err() {
                    return Err(self.refusal(py));
                }
                self.tally.accept();
                self.transport.rouse(py);
            }
            // Ctrl-C, say: that is the caller's.
            Err(error) if !error.is_instance_of::<PyException>(py) => return Err(error),
            Err(error) => {
                self.tally.accept();
                self.tally.end(Completion::Failed);
                settle::settle_attached(
                    py,
                    &cell,
                    Outcome::Raised(error.into_value(py).into_any()),
                );
            }
        }
        Ok(future)
    }

    /// Puts a message that has no future into the mailbox. It waits for room until `deadline`.
    pub(in crate::py) fn tell(
        &self,
        object: &Bound<'_, PyAny>,
        deadline: Option<Instant>,
    ) -> PyResult<()> {
        let py = object.py();
        self.admit(py)?;
        let permit = self.acquire(py, deadline)?;
        let message = self.transport.tell(object)?;
        let cell = Arc::new(ActorCell::default());
        cell.post(message.bounded(permit));
        if self.put(cell).is_err() {
            return Err(self.refusal(py));
        }
        self.tally.accept();
        self.tally.tell();
        self.transport.rouse(py);
        Ok(())
    }

    /// Puts a message into the mailbox, which then holds no more than about twice the messages that
    /// are not cancelled. A closed one hands it back.
    fn put(&self, cell: Arc<ActorCell>) -> Result<(), Arc<ActorCell>> {
        let cancelled = self.tally.cancelled();
        drop(self.mailbox.sweep(cancelled, |cell| cell.done().is_set()));
        self.mailbox.put(cell)
    }

    /// Ends a message by what `handle` returned or raised; whether it was told, `begin` said.
    pub(in crate::py) fn finish(
        &self,
        py: Python<'_>,
        cell: &ActorCell,
        is_told: bool,
        ended: PyResult<Bound<'_, PyAny>>,
    ) {
        let completion = match &ended {
            Ok(_) => Completion::Handled,
            Err(_) => Completion::Failed,
        };
        let outcome = match ended {
            Ok(_) if is_told => Outcome::Nothing,
            Ok(answer) => Outcome::Value(answer.unbind()),
            Err(error) if is_told => {
                log_told(py, &self.name, error);
                Outcome::Nothing
            }
            Err(error) => Outcome::Raised(error.into_value(py).into_any()),
        };
        self.tally.end(completion);
        settle::settle_attached(py, cell, outcome);
    }

    /// An error if messages are refused.
    fn admit(&self, py: Python<'_>) -> PyResult<()> {
        if self.is_forked() {
            return Err(lifecycle::forked_error());
        }
        if self.mailbox.is_closed() {
            return Err(self.refusal(py));
        }
        Ok(())
    }

    /// Visits the Python objects that only this host holds.
    pub(in crate::py) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Some(fault) = self.fault.get() {
            fault.traverse(visit)?;
        }
        self.transport.traverse(visit)
    }

    pub(in crate::py) fn dump_traceback(
        &self,
        py: Python<'_>,
        timeout: Option<f64>,
    ) -> PyResult<String> {
        let deadline = wait::deadline(timeout)?;
        if self.is_forked() {
            return Err(lifecycle::forked_error());
        }
        let mut dump = if self.ended.is_set() || self.fault.get().is_some() {
            Dump::Ended
        } else {
            self.transport.dump_traceback(py, deadline)?
        };
        if matches!(dump, Dump::Ended) && self.fault.get().is_none() && !self.is_own_thread() {
            // Then it is known why.
            if !wait_for(py, &self.ended, deadline)? {
                dump = Dump::TimedOut("its process has ended and is not reaped yet");
            }
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

    fn refusal(&self, py: Python<'_>) -> PyErr {
        match self.fault.get() {
            // Who ended it by force has shut it down, and need not be told what came of that.
            Some(fault) if self.force.get().is_none() => {
                to_error(py, &self.name, fault, Started::No)
            }
            _ => shut_down(),
        }
    }
}

/// How much stack a thread that runs Python code gets: what `threading.stack_size` was set to.
fn stack_bytes(py: Python<'_>) -> PyResult<usize> {
    /// What the system gives threads of `threading`; Python code may recurse deeply in C.
    const DEFAULT: usize = 8 << 20;
    /// Threads of `threading` run with as little as 32 KiB, but they have no Rust frames.
    const LEAST: usize = 256 << 10;
    let stack_size = imports::stack_size(py)?;
    // The first call resets the size. With the GIL no other thread comes in between; without it a
    // size that another thread sets in between is lost, as it is to any reader of the size.
    let size: usize = stack_size.call0()?.extract()?;
    if size == 0 {
        return Ok(DEFAULT);
    }
    stack_size.call1((size,))?;
    Ok(size.max(LEAST))
}

/// Marks the host as ended when its thread returns or panics.
struct ThreadExit<'a>(&'a Arc<Host>);

impl Drop for ThreadExit<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            log::error!(target: "futures_actors", "actor {} ended by a fault inside", self.0.name);
            self.0.fail(Fault::Panicked, Vec::new());
        }
        self.0.close_mailbox();
        self.0.ended.set();
    }
}
