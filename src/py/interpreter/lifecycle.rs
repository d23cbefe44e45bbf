//! What happens to live executors at the interpreter's exit and at `os.fork`.
//!
//! # Exit
//! Invariant: no thread of the core runs Python code once the interpreter finalizes. Before that,
//! `threading._shutdown` calls `drain`, which returns only when every actor has ended.
//!
//! # Forks
//! A process that `os.fork` has made has one thread, and the locks that other threads held stay
//! locked. So it takes no lock that threads take while detached: hosts and unfinished futures refuse
//! by their generation, blocks by their process. Two kinds of locks remain a risk: the cell's lock of
//! a finished future that another thread was reading, and Python's own, such as a future's condition
//! that another thread held.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use once_cell::sync::OnceCell;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::cooperative;
use super::daemon_threads;
use super::imports;
use super::imports::BrokenActor;
use super::rest::{self, Activity, Rest};
use super::wait::wait_for;
use crate::engine::arena::Arena;
use crate::engine::arena::forks::Forks;
use crate::engine::latch::Latch;
use crate::engine::sys;

/// What the interpreter's exit waits for, such as an actor.
pub(in crate::py) trait Live: Send + Sync {
    /// Refuses new messages. Those in the mailbox are still handled.
    fn close(&self, py: Python<'_>);

    /// Prepares for the interpreter's exit: from now on no thread takes what an actor waits to hand out,
    /// except the threads of actors, and the interpreter waits for none of these daemon threads.
    fn begin_exit(&self, py: Python<'_>, daemons: &HashSet<u64>);

    /// What it does at this moment. Only looks.
    fn activity(&self) -> Activity;

    /// Ends those of its streams that wait until an item is taken. Returns whether there are any.
    fn stop_streams(&self, py: Python<'_>) -> bool;

    /// Refuses new messages, and cancels those that have not begun if `cancel` says so.
    fn shutdown(&self, py: Python<'_>, cancel: CancelFutures) -> PyResult<()>;

    /// Waits until the actor and its thread have ended, or until `deadline`. The actor's own thread
    /// does not wait for itself.
    fn wait(&self, py: Python<'_>, deadline: Option<Instant>) -> PyResult<Ended>;
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::py) enum CancelFutures {
    Yes,
    No,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::py) enum Ended {
    Yes,
    No,
}

/// The number of forks between this process and the first that loaded the core.
static GENERATION: AtomicU32 = AtomicU32::new(0);
/// An `Exit`.
static EXIT: AtomicU8 = AtomicU8::new(Exit::Not as u8);
static LIVE: Mutex<Vec<Weak<dyn Live>>> = Mutex::new(Vec::new());
static LOGGING: OnceCell<()> = OnceCell::new();

pub(in crate::py) fn generation() -> u32 {
    GENERATION.load(Ordering::SeqCst)
}

/// How far the interpreter's exit is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::py) enum Exit {
    /// It has not begun.
    Not,
    /// Actors and callbacks may send messages to other actors.
    Draining,
    /// No message is accepted any more.
    Refusing,
}

pub(in crate::py) fn exit() -> Exit {
    const DRAINING: u8 = Exit::Draining as u8;
    match EXIT.load(Ordering::SeqCst) {
        0 => Exit::Not,
        DRAINING => Exit::Draining,
        _ => Exit::Refusing,
    }
}

pub(in crate::py) fn is_exiting() -> bool {
    exit() != Exit::Not
}

pub(in crate::py) fn forked_error() -> PyErr {
    BrokenActor::new_err(
        "this actor belongs to the process that started it, and os.fork() did not copy it; \
         start another one in this process",
    )
}

/// The list of live executors. Lock it while attached, and do not hold it during a call into Python.
fn live() -> MutexGuard<'static, Vec<Weak<dyn Live>>> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes the interpreter's exit wait for this executor's actor. An error if the exit has begun.
pub(in crate::py) fn register(host: Weak<dyn Live>) -> PyResult<()> {
    let mut live = live();
    // Checked under the lock. `drain` sets the flag before it locks the list, so it finds everything
    // that is added here.
    if is_exiting() {
        return Err(PyRuntimeError::new_err(
            "cannot start an actor after interpreter shutdown",
        ));
    }
    live.retain(|host| host.strong_count() > 0);
    live.push(host);
    Ok(())
}

/// A start of an actor that is in progress. The interpreter's exit waits for it as for an actor:
/// before 3.14, Python ends daemon threads at exit by unwinding their stacks, and then the frames of
/// the core would drop Python objects without the GIL.
///
/// Begin it before any call into Python, and drop it after everything else.
pub(in crate::py) struct Start(Arc<Starting>);

#[derive(Default)]
struct Starting {
    is_over: Latch,
}

impl Start {
    pub(in crate::py) fn begin() -> PyResult<Self> {
        let starting = Arc::<Starting>::default();
        register(Arc::downgrade(&starting) as _)?;
        Ok(Self(starting))
    }
}

impl Drop for Start {
    fn drop(&mut self) {
        self.0.is_over.set();
    }
}

impl Live for Starting {
    fn close(&self, _py: Python<'_>) {}

    fn begin_exit(&self, _py: Python<'_>, _daemons: &HashSet<u64>) {}

    fn activity(&self) -> Activity {
        Activity {
            accepted: 0,
            ended: 0,
            taken: 0,
            rest: if self.is_over.is_set() {
                Rest::Yes
            } else {
                Rest::No
            },
        }
    }

    fn stop_streams(&self, _py: Python<'_>) -> bool {
        false
    }

    fn shutdown(&self, _py: Python<'_>, _cancel: CancelFutures) -> PyResult<()> {
        Ok(())
    }

    fn wait(&self, py: Python<'_>, deadline: Option<Instant>) -> PyResult<Ended> {
        let is_over = wait_for(py, &self.is_over, deadline)?;
        Ok(if is_over { Ended::Yes } else { Ended::No })
    }
}

/// Wait until every actor has handled its messages, and end the actors.
///
/// Only code of actors and callbacks of their futures may still send messages, and only to other
/// actors, until no message is left anywhere: so a pipeline handles all that was put into it.
/// Registered with `threading` to run at interpreter exit. A first Ctrl-C cancels the messages that
/// have not begun, and gives the others two seconds; after that, or at a second Ctrl-C, the process
/// ends as an interrupted process does.
#[pyfunction]
pub(in crate::py) fn drain(py: Python<'_>) -> PyResult<()> {
    const GRACE: Duration = Duration::from_secs(2);
    EXIT.fetch_max(Exit::Draining as u8, Ordering::SeqCst);
    cooperative::never_again();
    let hosts: Vec<Arc<dyn Live>> = live().iter().filter_map(Weak::upgrade).collect();
    let daemons = daemon_idents(py);
    for host in &hosts {
        host.begin_exit(py, &daemons);
    }
    let look = || hosts.iter().map(|host| host.activity()).collect();
    let stop_streams = || {
        let stopped = hosts.iter().filter(|host| host.stop_streams(py));
        stopped.count() > 0
    };
    let drained = rest::wait(py, look, stop_streams);
    EXIT.fetch_max(Exit::Refusing as u8, Ordering::SeqCst);
    for host in &hosts {
        host.close(py);
    }
    let Err(interrupt) = drained.and_then(|()| wait_for_all(py, &hosts, None)) else {
        daemon_threads::interpreter_ends();
        return Ok(());
    };
    for host in &hosts {
        host.shutdown(py, CancelFutures::Yes)?;
        host.stop_streams(py);
    }
    match wait_for_all(py, &hosts, Some(Instant::now() + GRACE)) {
        Ok(Ended::Yes) => {
            daemon_threads::interpreter_ends();
            Err(interrupt)
        }
        // A thread still runs Python code, so the interpreter must not finalize.
        Ok(Ended::No) | Err(_) => {
            imports::leave_at_once(py)?.call0()?;
            Err(interrupt)
        }
    }
}

/// What `threading.get_ident()` returns in each daemon thread that runs. What cannot be found out is left
/// out.
fn daemon_idents(py: Python<'_>) -> HashSet<u64> {
    let threading = imports::modules(py).and_then(|modules| modules.get_item("threading"));
    let threads = threading.and_then(|threading| match threading {
        Some(threading) => threading.call_method0("enumerate")?.try_iter()?.collect(),
        None => Ok(Vec::new()),
    });
    let ident = |thread: Bound<'_, PyAny>| {
        let is_daemon = thread.getattr("daemon")?.is_truthy()?;
        let ident = is_daemon.then(|| thread.getattr("ident")?.extract());
        ident.transpose()
    };
    let threads = threads.unwrap_or_default().into_iter();
    threads
        .filter_map(|thread| ident(thread).ok().flatten())
        .collect()
}

/// Whether this process is importing modules on behalf of another: see `Loading`.
static LOADING: AtomicBool = AtomicBool::new(false);

/// While it exists, a child imports its class. Then no process actor may start: see
/// `check_may_start_process`.
pub(in crate::py) struct Loading(());

impl Loading {
    pub(in crate::py) fn begin() -> Self {
        set_loading(true);
        Self(())
    }
}

impl Drop for Loading {
    fn drop(&mut self) {
        set_loading(false);
    }
}

/// Set whether this process is importing modules on behalf of another process.
#[pyfunction]
pub(in crate::py) fn set_loading(loading: bool) {
    LOADING.store(loading, Ordering::SeqCst);
}

/// An error while a child imports its class, or a fork server its preloaded modules. If such a
/// module starts an actor, that actor's child would import the module again, and so on forever.
pub(in crate::py) fn check_may_start_process(name: &str) -> PyResult<()> {
    if !LOADING.load(Ordering::SeqCst) {
        return Ok(());
    }
    Err(PyRuntimeError::new_err(format!(
        "actor {name} cannot be started while an actor's process imports its modules, because every \
         such process would start another one: start it in a function that the program calls, or \
         below `if __name__ == \"__main__\":`, not when its module is imported"
    )))
}

fn wait_for_all(
    py: Python<'_>,
    hosts: &[Arc<dyn Live>],
    deadline: Option<Instant>,
) -> PyResult<Ended> {
    for host in hosts {
        if host.wait(py, deadline)? == Ended::No {
            return Ok(Ended::No);
        }
    }
    Ok(Ended::Yes)
}

/// The arenas of shared memory, which may outlive their hosts, since arrays refer to them. Locked
/// only while attached and never during a call into Python, so no other thread holds it at a fork.
static FORKS: Mutex<Forks> = Mutex::new(Forks::new());

fn forks() -> MutexGuard<'static, Forks> {
    FORKS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on forked processes get their own copy of what is in this arena. Call it attached.
pub(in crate::py) fn register_arena(arena: &Arc<Arena>) {
    forks().register(arena);
}

/// Registers `drain` with `atexit`. It is registered early, so it runs late.
///
/// Once the modules of executors are loaded, `threading` calls `drain` before that: see
/// `_base_actor`. The one here covers the first start of an actor, which may still be loading those
/// modules while the program ends. It costs nothing: `atexit` is part of the interpreter.
pub(in crate::py) fn register_at_exit(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let drain = module.getattr("drain")?;
    let atexit = module.py().import("atexit")?;
    atexit.call_method1("register", (drain,)).map(drop)
}

/// Registers the hooks for forks when the module is loaded: the process of an actor may fork too,
/// and loads little else.
pub(in crate::py) fn register_at_fork(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let hooks = PyDict::new(py);
    hooks.set_item("before", module.getattr("before_fork")?)?;
    hooks.set_item("after_in_parent", module.getattr("after_fork_in_parent")?)?;
    hooks.set_item("after_in_child", module.getattr("after_fork_in_child")?)?;
    // Windows has no forks.
    if let Some(register) = py.import("os")?.getattr_opt("register_at_fork")? {
        register.call((), Some(&hooks))?;
    }
    Ok(())
}

/// Prepare a fork: give this process and the new one each their own copy of received arrays.
#[pyfunction]
pub(in crate::py) fn before_fork() {
    let prepared = forks().before();
    if let Err(error) = prepared {
        log::warn!(
            target: "futures_actors",
            "arrays received from actors stay shared with the forked process: {error}"
        );
    }
}

/// Go on as before the fork, whether or not it has made a new process.
#[pyfunction]
pub(in crate::py) fn after_fork_in_parent() {
    forks().after_in_parent();
}

/// In a forked process: mark the copies of the parent's executors as broken.
#[pyfunction]
pub(in crate::py) fn after_fork_in_child() {
    GENERATION.fetch_add(1, Ordering::SeqCst);
    cooperative::after_fork_in_child();
    // Their threads are not in this process, so they will never end.
    live().clear();
    forks().after_in_child();
}

/// Say which thread runs signal handlers: `threading.main_thread().ident`.
#[pyfunction]
pub(in crate::py) fn note_main_thread(ident: u64) {
    sys::note_main_thread(ident);
}

/// Send the core's log records to the Python logger `futures_actors`.
#[pyfunction]
pub(in crate::py) fn start_logging() {
    LOGGING.get_or_init(|| {
        // A program that embeds the core may have installed another logger, which stays.
        drop(pyo3_log::try_init());
    });
}
