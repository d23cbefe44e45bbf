//! What starts a child: its pipes, the memory that it shares, and Python's part.

use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;

use super::link::{Line, Process};
use super::{imports, lifecycle, pickle};
use crate::engine::arena::Arena;
use crate::engine::frame::{Kind, encode};
use crate::engine::link::{Reader, Writer};
use crate::engine::shared::Shared;
use crate::engine::sys::{self, Handle};
use crate::engine::trace::Traces;

/// A child as `_spawn` gives it.
pub(super) struct Child {
    pub(super) object: Py<PyAny>,
    pub(super) pid: u32,
}

/// What an actor's children are started with, each like the first.
pub(super) struct Recipe {
    /// The body of the start frame.
    pub(super) start: Vec<u8>,
    pub(super) start_method: Option<String>,
    /// In bytes, for either side of a link.
    pub(super) shared_memory: u64,
}

pub(super) fn start_child(py: Python<'_>, recipe: &Recipe) -> PyResult<(Child, Line)> {
    let io = std::io::Error::from;
    let (request_read, request_write) = sys::pipe().map_err(io)?;
    let (answer_read, answer_write) = sys::pipe().map_err(io)?;
    let (shared, file) = Shared::create().map_err(io)?;
    let (shared, file) = (Arc::new(shared), Arc::new(file));
    let arena = Arena::create(Arc::clone(&shared), Arc::clone(&file), recipe.shared_memory);
    let arena = Arc::new(arena);
    lifecycle::register_arena(&arena);
    sys::set_nonblocking(&request_write).map_err(io)?;
    sys::set_nonblocking(&answer_read).map_err(io)?;
    let mut writer = Writer::new(request_write);
    writer.push(encode(Kind::Start, 0, &recipe.start));
    // The child finds it there; what the pipe does not take, the I/O thread writes.
    _ = writer.flush().map_err(io)?;
    let theirs = [&request_read, &answer_write, &*file].map(Handle::number);
    let slow_imports = pickle::slow_imports(&recipe.start);
    let how = (
        theirs.to_vec(),
        recipe.start_method.as_deref(),
        slow_imports,
    );
    let object = imports::start_child(py)?.call1(how)?;
    let pid = object.getattr(intern!(py, "pid"))?.extract()?;
    let object = object.unbind();
    let reader = Reader::new(answer_read);
    let watch = i32::try_from(pid).ok().and_then(sys::watch_process);
    let process = Process {
        pid,
        watch: watch.map(Arc::new),
    };
    // Without a descriptor for them it does without them: the child has been started.
    let traces = process.watch.clone();
    let traces = traces.and_then(|process| Traces::new(file, process).ok());
    let line = Line {
        reader,
        writer,
        shared,
        arena,
        traces,
        process,
    };
    Ok((Child { object, pid }, line))
}
