//! The core of the executor of a process actor: it starts the first child and the I/O thread.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::duplicates::Duplicates;
use super::inbound::Events;
use super::io_thread::IoThread;
use super::link::Link;
use super::start::{GRACE, Recipe, Restarts, SharedMemory, start_child};
use crate::engine::convoy;
use crate::engine::ipc::frame::Kind;
use crate::engine::mailbox::Mailbox;
use crate::engine::restarts::Budget;
use crate::engine::sys::Bell;
use crate::py::codec::actors::Receiver;
use crate::py::codec::body::Source;
use crate::py::codec::pickle::What;
use crate::py::codec::{body, pickle};
use crate::py::executor::ExecutorCore;
use crate::py::host::host::Host;
use crate::py::interpreter::lifecycle::Start;
use crate::py::interpreter::{imports, lifecycle};
use crate::py::message::tally::Tally;
use crate::py::options::Options;

/// The core of a `ProcessActorExecutor`.
#[pyclass(extends = ExecutorCore, subclass, frozen, name = "ProcessActorExecutor", module = "futures_actors._core")]
pub(in crate::py) struct ProcessExecutorCore;

#[pymethods]
impl ProcessExecutorCore {
    #[new]
    #[pyo3(signature = (actor, /, *args, **kwargs))]
    fn new(
        actor: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let _start = Start::begin()?;
        let py = actor.py();
        let options = Options::of(actor)?;
        let name = options.name.clone();
        lifecycle::check_may_start_process(&name)?;
        let restarts = options.max_restarts > 0;
        let memory = SharedMemory::create(options.shared_memory)?;
        // With restarts there may be more than one child, so it is packed for none of them.
        let arena = (!restarts).then_some(&memory.arena);
        let (class, loop_factory) = (&options.class, &options.loop_factory);
        let construct = if options.is_async {
            let parts = (class, args, kwargs, options.max_concurrency, loop_factory);
            parts.into_pyobject(py)?.into_any()
        } else {
            (class, args, kwargs).into_pyobject(py)?.into_any()
        };
        let what = What::Arguments(&name);
        let pack = || {
            let (source, receiver) = (Source::Borrowed, Receiver::Child);
            body::pack(arena, Kind::Call, construct, &what, source, receiver)
        };
        let (duplicates, mut construct) = if restarts {
            let (duplicates, construct) = Duplicates::of(py, pack)?;
            (Some(duplicates), construct)
        } else {
            (None, pack()?)
        };
        // Pickled separately, so that the child can set `sys.argv` first: unpickling the class may
        // run code that reads it.
        let surroundings = imports::surroundings(py)?.call0()?;
        let start = (&name, surroundings).into_pyobject(py)?;
        let start = pickle::dumps(start.as_any(), "sys.argv")?;
        let bell = Arc::new(Bell::new().map_err(std::io::Error::from)?);
        let recipe = Recipe {
            start: start.as_bytes().to_vec(),
            slow_imports: pickle::slow_imports(construct.pickle()),
            start_method: options.start_method.clone(),
            shared_memory: options.shared_memory,
        };
        let kept = if let Some(duplicates) = duplicates {
            let arena = &memory.arena;
            let first = py.detach(|| construct.for_child(arena, &What::Arguments(&name)))?;
            Some((std::mem::replace(&mut construct, first), duplicates))
        } else {
            None
        };
        let (child, ends) = start_child(py, &recipe, memory, construct)?;
        let restarts = kept.map(|(construct, duplicates)| Restarts {
            recipe,
            construct,
            _duplicates: duplicates,
            budget: Budget::new(options.max_restarts, options.restart_window),
        });

        let (mailbox, tally) = (Mailbox::new(options.mailbox_size), Tally::new(name.clone()));
        let (mailbox, tally) = (Arc::new(mailbox), Arc::new(tally));
        let ended = ends.process.watch.clone();
        let answers = Arc::clone(ends.reader.handle());
        let link = Link::new(
            name,
            Arc::clone(&mailbox),
            Arc::clone(&tally),
            Arc::clone(&bell),
            restarts.is_some(),
            options.max_concurrency,
            ends,
        );
        let link = Arc::new(link);
        let transport = Box::new(Arc::clone(&link));
        let host = Arc::new(Host::new(&options, mailbox, tally, transport));
        link.set_own(&host);
        let unserved = child.clone();
        let io_thread = IoThread {
            host: Arc::clone(&host),
            link,
            bell,
            answers,
            ended,
            child: Some(child),
            restarts,
            is_first: true,
            streak: 0,
            convoy: convoy::Server::default(),
            idle: 0,
            last: 0,
            trim_at: None,
            events: Events::new(),
        };
        let started = host.start(py, io_thread);
        if let Err(error) = started {
            // This closes the parent's ends of the pipes, so the child ends.
            drop(host);
            _ = py.detach(|| unserved.reap(Some(GRACE)));
            return Err(error);
        }
        let core = ExecutorCore::new(options.class, host);
        Ok(core.add_subclass(Self))
    }
}
