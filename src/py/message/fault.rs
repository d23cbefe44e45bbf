//! Why a message failed, other than by what `handle` raised. Here faults become Python exceptions.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::engine::ipc::pipe::Broken;
use crate::engine::waits::Circle;
use crate::py::interpreter::daemon_threads::outlasting;
use crate::py::interpreter::imports::{ActorDeadlock, BrokenActor, RoomDeadlock};
use crate::py::interpreter::wait::keep;
use crate::py::interpreter::{imports, lifecycle};

/// Why an actor handles no more messages.
#[derive(Clone)]
pub(in crate::py) enum Fault {
    /// It could not start, in its thread: what was raised, and where.
    InitRaised(Arc<Py<PyAny>>, Stage),
    /// It could not start, in a child: the encoded exception.
    InitSent(Arc<Vec<u8>>),
    Died {
        pid: u32,
        /// As in `subprocess`, negative for a signal. `None` if other code reaped the process.
        exitcode: Option<i32>,
        /// What was wrong with the link, if it broke before the child died.
        broken: Option<Broken>,
        /// Whether `terminate()` or `kill()` was called.
        force: Option<Force>,
        /// Whether the child ever served messages. If not, the program that was started may not be
        /// Python.
        has_begun: bool,
    },
    /// `terminate()` or `kill()` was called, but the actor cannot be ended from outside.
    Forced(Force),
    /// Its carrier raised this exception.
    Lost(Arc<Py<PyAny>>),
    /// A thread of this package panicked.
    Panicked,
    /// The member of this name ended its pool by its own fault.
    OfMember(Arc<(String, Fault)>),
}

impl Fault {
    /// This fault of a member of a pool, as the fault of the pool.
    pub(in crate::py) fn of_member(&self, name: &str) -> Self {
        match self {
            Self::OfMember(_) => self.clone(),
            _ => Self::OfMember(Arc::new((name.to_owned(), self.clone()))),
        }
    }

    /// Visits the exception that this fault holds, unless the outcome of a message holds it too.
    pub(in crate::py) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::InitRaised(error, _) | Self::Lost(error) if Arc::strong_count(error) == 1 => {
                visit.call(&**error)
            }
            Self::OfMember(member) if Arc::strong_count(member) == 1 => member.1.traverse(visit),
            _ => Ok(()),
        }
    }
}

/// What raised when an actor could not start.
#[derive(Clone, Copy)]
pub(in crate::py) enum Stage {
    /// Loading its class or its arguments, in a child.
    Loading,
    /// Making the event loop of an async actor.
    LoopFactory,
    Constructor,
    OnStart,
}

impl Stage {
    /// What `_errors.py` calls it.
    pub(in crate::py) fn name(self) -> &'static str {
        match self {
            Self::Loading => "loading",
            Self::LoopFactory => "loop_factory",
            Self::Constructor => "constructor",
            Self::OnStart => "on_start",
        }
    }
}

/// How `terminate()` and `kill()` end an actor.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::py) enum Force {
    /// By SIGTERM, which the actor may catch.
    Terminate,
    /// By SIGKILL.
    Kill,
}

impl Force {
    /// The executor's method of this name.
    pub(in crate::py) fn method(self) -> &'static str {
        match self {
            Self::Terminate => "terminate",
            Self::Kill => "kill",
        }
    }
}

/// The strongest force that was used on an actor so far.
#[derive(Default)]
pub(in crate::py) struct ForceSlot(AtomicU8);

impl ForceSlot {
    const TERMINATE: u8 = 1;
    const KILL: u8 = 2;

    pub(in crate::py) fn raise(&self, force: Force) {
        let value = match force {
            Force::Terminate => Self::TERMINATE,
            Force::Kill => Self::KILL,
        };
        self.0.fetch_max(value, Ordering::SeqCst);
    }

    pub(in crate::py) fn get(&self) -> Option<Force> {
        match self.0.load(Ordering::SeqCst) {
            0 => None,
            Self::TERMINATE => Some(Force::Terminate),
            _ => Some(Force::Kill),
        }
    }
}

/// Whether `handle` had begun on a message when its actor died.
#[derive(Clone, Copy)]
pub(in crate::py) enum Started {
    Yes,
    No,
}

/// The exception for one message that failed by `fault`, or for a `post` after it.
pub(in crate::py) fn to_error(
    py: Python<'_>,
    name: &str,
    fault: &Fault,
    started: Started,
) -> PyErr {
    match build_error(py, name, fault, started) {
        Ok(error) => PyErr::from_value(error),
        Err(error) => error,
    }
}

fn build_error<'py>(
    py: Python<'py>,
    name: &str,
    fault: &Fault,
    started: Started,
) -> PyResult<Bound<'py, PyAny>> {
    match fault {
        Fault::InitRaised(cause, stage) => imports::init_error(py)
            .and_then(|make| outlasting(make, (name, cause.clone_ref(py), stage.name()), None)),
        Fault::InitSent(body) => {
            let body = PyBytes::new(py, body);
            imports::load_init_error(py).and_then(|load| outlasting(load, (name, body), None))
        }
        Fault::Died {
            pid,
            exitcode,
            broken,
            force,
            has_begun,
        } => imports::actor_died(py).and_then(|make| {
            let started = matches!(started, Started::Yes);
            let broken = broken.map(|broken| format!("its link broke ({broken})"));
            let forced = force.map(|force| format!("{}() was called", force.method()));
            let reason = broken.or(forced);
            outlasting(
                make,
                (name, *pid, *exitcode, started, reason, *has_begun),
                None,
            )
        }),
        Fault::Forced(force) => {
            let method = force.method();
            let text = format!("{method}() ended actor {name} before this message was begun");
            Err(BrokenActor::new_err(text))
        }
        Fault::Lost(lost) => imports::lost_error(py).and_then(|make| {
            let started = matches!(started, Started::Yes);
            outlasting(make, (name, lost.clone_ref(py), started), None)
        }),
        Fault::OfMember(member) => build_error(py, &member.0, &member.1, started),
        Fault::Panicked => {
            let text =
                format!("actor {name} was ended by an error inside futures_actors; see the log");
            Err(BrokenActor::new_err(text))
        }
    }
}

/// Decodes the exception that a child has encoded.
pub(in crate::py) fn load_error<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    outlasting(imports::load_error(py)?, (PyBytes::new(py, bytes),), None)
}

/// Encodes an exception for another process, which decodes it by `load_error`.
pub(in crate::py) fn dump_error(py: Python<'_>, error: PyErr) -> PyResult<Vec<u8>> {
    let dumped = outlasting(imports::dump_error(py)?, (error.into_value(py),), None)?;
    Ok(dumped.cast_into::<PyBytes>()?.as_bytes().to_vec())
}

/// Logs an exception of an actor that goes to no future.
pub(in crate::py) fn log_failure(py: Python<'_>, name: &str, what: &str, error: PyErr) {
    let log = imports::log_failure(py);
    let logged = log.and_then(|log| outlasting(log, (name, what, error.into_value(py)), None));
    if let Some(error) = logged.err().and_then(keep) {
        error.write_unraisable(py, None);
    }
}

/// Logs what `handle` raised for a message that was sent by `tell`.
pub(in crate::py) fn log_told(py: Python<'_>, name: &str, error: PyErr) {
    log_failure(py, name, "handle of a message sent by tell", error);
}

/// Logs that messages sent by `tell` are lost: how many, and how many of those had begun.
pub(in crate::py) fn log_lost(
    py: Python<'_>,
    name: &str,
    (lost, begun): (u32, u32),
    fault: &Fault,
) {
    let error = to_error(py, name, fault, Started::No).into_value(py);
    let log = imports::log_lost(py);
    let logged = log.and_then(|log| outlasting(log, (name, lost, begun, error), None));
    if let Some(error) = logged.err().and_then(keep) {
        error.write_unraisable(py, None);
    }
}

/// What a wait that would never end is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::py) enum Unending {
    /// An answer, or an item.
    Answer,
    /// An answer, in an event loop.
    Await,
    /// Room in a mailbox.
    Room,
}

impl Unending {
    /// The `ActorDeadlock` for a wait that would close `circle`.
    pub(in crate::py) fn error(self, circle: &Circle) -> PyErr {
        let Circle(names) = circle;
        let text = match (self, &names[..]) {
            (Self::Answer, [name]) => format!(
                "actor {name} would wait for itself: it handles no message while its own thread \
                 waits"
            ),
            (Self::Await, [name]) => format!(
                "actor {name} would wait for itself: each message that it handles awaits another of its \
                 own, and it has no place for that"
            ),
            (Self::Room, [name]) => format!(
                "the mailbox of actor {name} is full, and its own thread cannot wait for room: it \
                 handles no message meanwhile"
            ),
            (_, names) => {
                let next = names.iter().cycle().skip(1);
                let pairs = names.iter().zip(next);
                let waits: Vec<_> = pairs
                    .map(|(one, next)| format!("{one} for {next}"))
                    .collect();
                format!(
                    "this wait would never end, because actors wait for each other: {}",
                    waits.join(", ")
                )
            }
        };
        let names = names.clone();
        match self {
            Self::Answer | Self::Await => ActorDeadlock::new_err((text, names)),
            Self::Room => RoomDeadlock::new_err((text, names)),
        }
    }
}

/// Why a `post` is refused by an executor that was shut down.
pub(in crate::py) fn shut_down() -> PyErr {
    PyRuntimeError::new_err(if lifecycle::is_exiting() {
        "cannot schedule new futures after interpreter shutdown"
    } else {
        "cannot schedule new futures after shutdown"
    })
}
