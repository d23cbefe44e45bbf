//! The core of the executor of a process actor: it starts the first child and the I/O thread.

use std::sync::{Arc, Weak};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::crew::{Mate, Seat};
use super::duplicates::Duplicates;
use super::inbound::Events;
use super::io_thread::IoThread;
use super::link::Link;
use super::start::{GRACE, Recipe, Restarts, SharedMemory, start_child};
use crate::engine::convoy;
use crate::engine::holding::Holder;
use crate::engine::ipc::frame::Kind;
use crate::engine::mailbox::Mailbox;
use crate::engine::restarts::Budget;
use crate::engine::sys::Bell;
use crate::py::codec::actors::{Description, Receiver};
use crate::py::codec::body::Source;
use crate::py::codec::packed::Packed;
use crate::py::codec::pickle::What;
use crate::py::codec::{body, pickle};
use crate::py::executor::ExecutorCore;
use crate::py::future::ActorCell;
use crate::py::host::host::Host;
use crate::py::host::run::Serve;
use crate::py::interpreter::lifecycle::Start;
use crate::py::interpreter::{imports, lifecycle};
use crate::py::message::tally::Tally;
use crate::py::options::Options;
use crate::py::reference::hold::Hold;

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
        let options = Options::of_one(actor)?;
        let mailbox = Arc::new(Mailbox::new(options.mailbox_size));
        let tally = Arc::new(Tally::new(options.name.clone()));
        let mut construct = Construct::pack(&options, args, kwargs, 1)?;
        let is_bounded = options.mailbox_size.is_some();
        let places = options.max_concurrency;
        let description = Description::new(tally.node.id, &options.name, is_bounded, 0, places);
        let place = (mailbox, tally, description);
        let (host, io_thread) = construct.prepare(py, &options, place, None)?;
        let hold = Hold::new(Arc::clone(&host), Holder::Others);
        host.start(py, io_thread)?;
        let core = ExecutorCore::new(options.class, hold);
        Ok(core.add_subclass(Self))
    }
}

/// The call that makes an actor, packed.
pub(in crate::py) struct Construct {
    packed: Packed,
    /// The memory of the first child, if it is packed for that.
    memory: Option<SharedMemory>,
    /// What it refers to, if more than one child may load it.
    duplicates: Option<Arc<Duplicates>>,
}

impl Construct {
    /// Packs the call, for so many actors.
    pub(in crate::py) fn pack(
        options: &Options<'_>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
        actors: usize,
    ) -> PyResult<Self> {
        let py = args.py();
        lifecycle::check_may_start_process(&options.name)?;
        // With restarts there may be more than one child, so it is packed for none of them.
        let is_for_one = actors == 1 && options.max_restarts == 0;
        let memory = is_for_one.then(|| SharedMemory::create(options.shared_memory));
        let memory = memory.transpose()?;
        let arena = memory.as_ref().map(|memory| &memory.arena);
        let (class, loop_factory) = (&options.class, &options.loop_factory);
        let construct = if options.is_async {
            let parts = (class, args, kwargs, options.max_concurrency, loop_factory);
            parts.into_pyobject(py)?.into_any()
        } else {
            (class, args, kwargs).into_pyobject(py)?.into_any()
        };
        let what = What::Arguments(&options.name);
        let pack = || {
            let (source, receiver) = (Source::Borrowed, Receiver::Child);
            body::pack(arena, Kind::Call, construct, &what, source, receiver)
        };
        let (duplicates, packed) = if is_for_one {
            (None, pack()?)
        } else {
            let (duplicates, packed) = Duplicates::of(py, pack)?;
            (Some(Arc::new(duplicates)), packed)
        };
        Ok(Self {
            packed,
            memory,
            duplicates,
        })
    }

    /// Starts a child. Returns its host, and what the host's thread must serve.
    pub(in crate::py) fn prepare(
        &mut self,
        py: Python<'_>,
        options: &Options<'_>,
        (mailbox, tally, description): (Arc<Mailbox<Arc<ActorCell>>>, Arc<Tally>, Description),
        seat: Option<Seat>,
    ) -> PyResult<(Arc<Host>, Prepared)> {
        let name = &options.name;
        // Pickled separately, so that the child can set `sys.argv` first: unpickling the class may
        // run code that reads it.
        let surroundings = imports::surroundings(py)?.call0()?;
        let number = description.number;
        let start = (name, description.described(), surroundings).into_pyobject(py)?;
        let start = pickle::dumps(start.as_any(), "sys.argv")?;
        let bell = Arc::new(Bell::new().map_err(std::io::Error::from)?);
        let recipe = Recipe {
            start: start.as_bytes().to_vec(),
            slow_imports: pickle::slow_imports(self.packed.pickle()),
            start_method: options.start_method.clone(),
            shared_memory: options.shared_memory,
            notifies: seat.is_some(),
            own: number,
        };
        let (memory, first) = if let Some(memory) = self.memory.take() {
            (memory, self.packed.split())
        } else {
            let memory = SharedMemory::create(options.shared_memory)?;
            let what = What::Arguments(name);
            let first = py.detach(|| self.packed.for_child(&memory.arena, &what))?;
            (memory, first)
        };
        let (child, ends) = start_child(py, &recipe, memory, first)?;
        let restarts = (options.max_restarts > 0).then(|| Restarts {
            recipe,
            construct: self.packed.share(),
            budget: Budget::new(options.max_restarts, options.restart_window),
        });
        let ended = ends.process.watch.clone();
        let answers = Arc::clone(ends.reader.handle());
        let link = Arc::new(Link::new(
            options,
            Arc::clone(&mailbox),
            Arc::clone(&tally),
            Arc::clone(&bell),
            seat,
            ends,
        ));
        let transport = Box::new(Arc::clone(&link));
        let host = Arc::new(Host::new(options, mailbox, tally, transport));
        link.set_own(&host, number);
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
        let prepared = Prepared {
            io_thread,
            duplicates: self.duplicates.clone(),
            is_served: false,
        };
        Ok((host, prepared))
    }
}

/// An I/O thread that may not have started. If it never does, its child ends when this is dropped.
pub(in crate::py) struct Prepared {
    io_thread: IoThread,
    duplicates: Option<Arc<Duplicates>>,
    is_served: bool,
}

impl Prepared {
    /// The link, for the others of a pool.
    pub(in crate::py) fn mate(&self) -> Weak<dyn Mate> {
        let mate: Arc<dyn Mate> = Arc::clone(&self.io_thread.link) as _;
        Arc::downgrade(&mate)
    }
}

impl Serve for Prepared {
    fn serve(&mut self, host: &Arc<Host>) {
        self.is_served = true;
        self.io_thread.serve(host);
        // Here, because it may need Python: see `ThreadExit`.
        self.duplicates = None;
    }

    fn abandon(&mut self, host: &Arc<Host>) {
        self.io_thread.abandon(host);
        self.duplicates = None;
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        if !self.is_served {
            // Closing the parent's ends of the pipes ends the child.
            drop(self.io_thread.link.close_outbound());
            if let Some(child) = self.io_thread.child.take() {
                _ = Python::attach(|py| py.detach(|| child.reap(Some(GRACE))));
            }
        }
    }
}
