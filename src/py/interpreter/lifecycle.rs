//! Live executors: the end of the interpreter, and `os.fork`.
//!
//! Invariant: no thread of ours runs Python code once the interpreter finalizes. `drain` is called
//! by `threading._shutdown`, before that, and returns only when every actor has ended.
//!
//! A process that `os.fork` has made has one thread, and what locks others held stay held there. It
//! takes none that is taken detached: hosts refuse by their generation, futures that were not done
//! by theirs, and blocks by their process. What is left is a lock that another thread held on a
//! future that was done, to look at it, and Python's own: a future's condition that somebody held.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use once_cell::sync::OnceCell;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::cooperative;
use super::imports;
use super::imports::BrokenActor;
use super::wait::wait_for;
use crate::engine::arena::Arena;
use crate::engine::arena::forks::Forks;
use crate::engine::latch::Latch;

/// What the end of the interpreter waits for: an actor.
pub(in crate::py) trait Live: Send + Sync {
    /// Refuses new messages; what is in the mailbox will be handled.
    fn close(&self, py: Python<'_>);

    /// Refuses new messages, and cancels those that have not begun if that is asked for.
    fn shutdown(&self, py: Python<'_>, cancel: CancelFutures) -> PyResult<()>;

    /// Waits until the actor has ended and its thread is gone, or until `deadline`. The actor's own
    /// thread does not wait for itself.
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

/// Counts the forks between this process and the first that loaded the core.
static GENERATION: AtomicU32 = AtomicU32::new(0);
static EXITING: AtomicBool = AtomicBool::new(false);
static LIVE: Mutex<Vec<Weak<dyn Live>>> = Mutex::new(Vec::new());
static LOGGING: OnceCell<()> = OnceCell::new();

pub(in crate::py) fn generation() -> u32 {
    GENERATION.load(Ordering::SeqCst)
}

pub(in crate::py) fn is_exiting() -> bool {
    EXITING.load(Ordering::SeqCst)
}

pub(in crate::py) fn forked_error() -> PyErr {
    BrokenActor::new_err(
        "this actor belongs to the process that started it, and os.fork() did not copy it; \
         start another one in this process",
    )
}

/// Taken attached, and never held across a call into Python.
fn live() -> MutexGuard<'static, Vec<Weak<dyn Live>>> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has the interpreter's exit wait for this executor's actor. Refused once that has begun.
pub(in crate::py) fn register(host: Weak<dyn Live>) -> PyResult<()> {
    let mut live = live();
    // Under the lock: `drain` sets this before it takes the list, so it finds what is put there.
    if is_exiting() {
        return Err(PyRuntimeError::new_err(
            "cannot start an actor after interpreter shutdown",
        ));
    }
    live.retain(|host| host.strong_count() > 0);
    live.push(host);
    Ok(())
}

/// A start of an actor. The interpreter's exit waits for it as for an actor, because Python before
/// 3.14 ends a daemon thread that it finds at work then by unwinding its stack: the core's frames
/// would drop Python objects without the GIL.
///
/// Begin it before anything of Python's is called, and drop it after everything else.
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

    fn shutdown(&self, _py: Python<'_>, _cancel: CancelFutures) -> PyResult<()> {
        Ok(())
    }

    fn wait(&self, py: Python<'_>, deadline: Option<Instant>) -> PyResult<Ended> {
        let is_over = wait_for(py, &self.is_over, deadline)?;
        Ok(if is_over { Ended::Yes } else { Ended::No })
    }
}

/// Refuse new messages and wait until every actor has handled what it has.
///
/// Registered with `threading` to run at interpreter exit. A first Ctrl-C cancels what has not
/// begun and gives what has two seconds; after that, or at a second one, the process ends as an
/// interrupted one does.
#[pyfunction]
pub(in crate::py) fn drain(py: Python<'_>) -> PyResult<()> {
    const GRACE: Duration = Duration::from_secs(2);
    EXITING.store(true, Ordering::SeqCst);
    cooperative::never_again();
    let hosts: Vec<Arc<dyn Live>> = live().iter().filter_map(Weak::upgrade).collect();
    for host in &hosts {
        host.close(py);
    }
    let Err(interrupt) = wait_for_all(py, &hosts, None) else {
        return Ok(());
    };
    for host in &hosts {
        host.shutdown(py, CancelFutures::Yes)?;
    }
    match wait_for_all(py, &hosts, Some(Instant::now() + GRACE)) {
        Ok(Ended::Yes) => Err(interrupt),
        // The interpreter must not finalize under a thread that runs Python.
        Ok(Ended::No) | Err(_) => {
            imports::leave_at_once(py)?.call0()?;
            Err(interrupt)
        }
    }
}

/// Whether this process, which serves another, imports what that one told it to.
static LOADING: AtomicBool = AtomicBool::new(false);

/// While it exists, this process starts no process actor: see `check_may_start_process`.
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

/// Say whether this process imports what another one has told it to.
#[pyfunction]
pub(in crate::py) fn set_loading(loading: bool) {
    LOADING.store(loading, Ordering::SeqCst);
}

/// Fails while a child imports its class, or a fork server what it was told to preload: an actor
/// that such a module starts would import it in a child again, and so on without end.
pub(in crate::py) fn check_may_start_process(name: &str) -> PyResult<()> {
    if !LOADING.load(Ordering::SeqCst) {
        return Ok(());
    }
    Err(PyRuntimeError::new_err(format!(
        "actor {name} cannot be started while an actor's process imports its modules, since every \
         such process would start one more: start it in a function that the program calls, or below \
         `if __name__ == \"__main__\":`, not whenever its module is imported"
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

/// Shared memory, which may outlive its host: arrays do. Taken attached, and never held across a
/// call into Python, so no other thread holds it at a fork.
static FORKS: Mutex<Forks> = Mutex::new(Forks::new());

fn forks() -> MutexGuard<'static, Forks> {
    FORKS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has forked processes have their own copy of what is in this arena. Call it attached.
pub(in crate::py) fn register_arena(arena: &Arc<Arena>) {
    forks().register(arena);
}

/// Has `drain` run among the functions of `atexit`, late, since the module registers it early.
///
/// `threading` calls it before, once the modules of executors are loaded: see `_base_actor`. This
/// one is there from the beginning, so that it finds the first start of an actor, which may be
/// loading those modules while the program ends. It costs nothing: `atexit` is part of the interpreter.
pub(in crate::py) fn register_at_exit(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let drain = module.getattr("drain")?;
    let atexit = module.py().import("atexit")?;
    atexit.call_method1("register", (drain,)).map(drop)
}

/// With the module, since the process of an actor loads little else, and may fork too.
pub(in crate::py) fn register_at_fork(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let hooks = PyDict::new(py);
    hooks.set_item("before", module.getattr("before_fork")?)?;
    hooks.set_item("after_in_parent", module.getattr("after_fork_in_parent")?)?;
    hooks.set_item("after_in_child", module.getattr("after_fork_in_child")?)?;
    let os = py.import("os")?;
    os.call_method("register_at_fork", (), Some(&hooks))?;
    Ok(())
}

/// Have this process and the one that it is about to fork each own the arrays that it has.
#[pyfunction]
pub(in crate::py) fn before_fork() {
    let prepared = forks().before();
    if let Err(error) = prepared {
        log::warn!(
            target: "futures_actors",
            "arrays that came from an actor stay shared with the process that is forked: {error}"
        );
    }
}

/// Go on as before the fork, whether or not there is a new process.
#[pyfunction]
pub(in crate::py) fn after_fork_in_parent() {
    forks().after_in_parent();
}

/// Mark every executor that a forked process has copied as broken.
#[pyfunction]
pub(in crate::py) fn after_fork_in_child() {
    GENERATION.fetch_add(1, Ordering::SeqCst);
    cooperative::after_fork_in_child();
    // Their threads are not here, so nobody will ever end them.
    live().clear();
    forks().after_in_child();
}

/// Send the core's log records to the Python logger `futures_actors`.
#[pyfunction]
pub(in crate::py) fn start_logging() {
    LOGGING.get_or_init(|| {
        // Another logger may be installed by whoever embeds us: theirs it is.
        drop(pyo3_log::try_init());
    });
}
