//! Starts a child: makes its pipes and the memory that it shares, and calls Python to start it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;

use super::endpoints::{Endpoints, Process};
use crate::engine::arena::Arena;
use crate::engine::ending::{Child, ExitCodes, ExitSource};
use crate::engine::ipc::frame::{Kind, encode};
use crate::engine::ipc::pipe::{Reader, Writer};
use crate::engine::ipc::region::Region;
use crate::engine::ipc::traceback::Tracebacks;
use crate::engine::restarts::Budget;
use crate::engine::sys::{self, Handle, HandleNumber};
use crate::py::codec::packed::Packed;
use crate::py::codec::pickle::What;
use crate::py::interpreter::daemon_threads::outlasting;
use crate::py::interpreter::{imports, lifecycle};

/// The exit codes of a fork server's children, which it writes to a pipe.
///
/// Python code keeps it together with the server, which gets the pipe's other end.
#[pyclass(frozen, module = "futures_actors._core")]
pub(in crate::py) struct ServerExitCodes {
    codes: Arc<ExitCodes>,
    writer: Mutex<Option<Handle>>,
}

#[pymethods]
impl ServerExitCodes {
    #[new]
    fn new() -> PyResult<Self> {
        let (reader, writer) = sys::pipe().map_err(std::io::Error::from)?;
        Ok(Self {
            codes: Arc::new(ExitCodes::new(reader)),
            writer: Mutex::new(Some(writer)),
        })
    }

    /// The descriptor to give to the server, or None once it is closed here.
    #[getter]
    fn writer(&self) -> Option<HandleNumber> {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.as_ref().map(Handle::number)
    }

    /// Close this process's copy of the descriptor: then the pipe ends when the server ends.
    fn close_writer(&self) {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        drop(writer.take());
    }
}

/// What Python's `start_child` returns: the pid, for a child of a fork server its exit codes and the
/// number of the request, and what must live until the process is watched.
type Started<'py> = (
    u32,
    Option<(Bound<'py, ServerExitCodes>, u64)>,
    Bound<'py, PyAny>,
);

/// What each child of an actor is started with.
pub(in crate::py) struct Recipe {
    /// The body of the start frame.
    pub(in crate::py) start: Vec<u8>,
    /// Modules that the child will import before it can answer, and that take long.
    pub(in crate::py) slow_imports: Vec<&'static str>,
    pub(in crate::py) start_method: Option<String>,
    /// How many bytes of shared memory each side of a link may use.
    pub(in crate::py) shared_memory: u64,
    /// Whether the child must say when the constructor has returned.
    pub(in crate::py) notifies: bool,
    /// The number of the actor.
    pub(in crate::py) own: u64,
}

/// The memory that this process shares with a child, which may not have started yet.
pub(in crate::py) struct SharedMemory {
    region: Arc<Region>,
    file: Arc<Handle>,
    pub(in crate::py) arena: Arc<Arena>,
}

impl SharedMemory {
    pub(in crate::py) fn create(limit_bytes: u64) -> PyResult<Self> {
        let (region, file) = Region::create().map_err(std::io::Error::from)?;
        let (region, file) = (Arc::new(region), Arc::new(file));
        let arena = Arena::create(Arc::clone(&region), Arc::clone(&file), limit_bytes);
        let arena = Arc::new(arena);
        lifecycle::register_arena(&arena);
        Ok(Self {
            region,
            file,
            arena,
        })
    }
}

/// How long a child whose link is closed may take to end by itself.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// How to start the next child, and how often that is allowed.
pub(super) struct Restarts {
    pub(super) recipe: Recipe,
    /// The call that makes the actor, packed for no particular child. Only this copy is kept.
    pub(super) construct: Packed,
    pub(super) budget: Budget,
}

impl Restarts {
    /// Starts the next child of the actor `name`. The caller must be detached.
    pub(super) fn start_child(&mut self, name: &str) -> PyResult<(Child, Endpoints)> {
        let memory = SharedMemory::create(self.recipe.shared_memory)?;
        let what = What::Arguments(name);
        let construct = self.construct.for_child(&memory.arena, &what)?;
        Python::attach(|py| start_child(py, &self.recipe, memory, construct))
    }
}

/// Return the priority class, the processors and the error mode, which a child inherits.
#[cfg(windows)]
#[pyfunction]
pub(in crate::py) fn inherited() -> (u32, usize, u32) {
    sys::inherited()
}

/// Has Python keep an interpreter ready for the next child, now that the child `pid` has said something.
/// No caller waits for that, nor does an answer.
pub(super) fn keep_interpreter(region: &Region, pid: u32) {
    // Such an interpreter is given handles, so it must be the process that was started.
    if !region.is_mapped_by(pid) {
        return;
    }
    let keep = || {
        // None: the interpreter ends.
        _ = Python::try_attach(|py| {
            let kept = imports::keep_interpreter(py).and_then(|keep| outlasting(keep, (), None));
            if let Err(error) = kept {
                error.write_unraisable(py, None);
            }
        });
    };
    // Without a thread, the next child's interpreter is started when it is needed.
    drop(sys::spawn("interpreter".to_owned(), 8 << 20, keep));
}

/// Starts a child that shares `memory`, and that calls `construct` to make the actor.
pub(in crate::py) fn start_child(
    py: Python<'_>,
    recipe: &Recipe,
    memory: SharedMemory,
    mut construct: Packed,
) -> PyResult<(Child, Endpoints)> {
    let actors = construct.take_actors();
    let io = std::io::Error::from;
    let SharedMemory {
        region,
        file,
        arena,
    } = memory;
    region.set_notify_begun(recipe.notifies);
    region.own().store(recipe.own, Ordering::SeqCst);
    let (request_read, request_write) = sys::pipe().map_err(io)?;
    let (answer_read, answer_write) = sys::pipe().map_err(io)?;
    sys::set_nonblocking(&request_write).map_err(io)?;
    sys::set_nonblocking(&answer_read).map_err(io)?;
    let mut writer = Writer::new(request_write);
    writer.push(encode(Kind::Start, 0, &recipe.start));
    writer.push(construct.into_frame());
    // The child reads this when it has started. The I/O thread writes what the pipe does not take.
    _ = writer.flush().map_err(io)?;
    let theirs = [&request_read, &answer_write, &*file].map(sys::hand_over);
    let how = (
        theirs.concat(),
        recipe.start_method.as_deref(),
        recipe.slow_imports.clone(),
    );
    let started = imports::start_child(py)?.call1(how)?;
    let (pid, server, process): Started<'_> = started.extract()?;
    let reader = Reader::new(answer_read);
    let watch = i32::try_from(pid).ok().and_then(sys::watch_process);
    drop(process);
    let process = Process {
        pid,
        watch: watch.map(Arc::new),
    };
    let exit_source = match server {
        Some((server, number)) => ExitSource::Server(Arc::clone(&server.get().codes), number),
        None => ExitSource::System,
    };
    let child = Child {
        pid,
        watch: process.watch.clone(),
        exit_source,
    };
    // An error here only means that there are no tracebacks: the child has been started.
    let tracebacks = process.watch.clone();
    let tracebacks = tracebacks.and_then(|process| Tracebacks::new(file, process).ok());
    let endpoints = Endpoints {
        reader,
        writer,
        region,
        arena,
        tracebacks,
        process,
        actors: actors.map(|actors| *actors).unwrap_or_default(),
    };
    Ok((child, endpoints))
}
