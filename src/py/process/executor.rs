//! The core of the executor of a process actor: it starts the first child and the I/O thread.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::io_thread::IoThread;
use super::link::Link;
use super::start::{GRACE, Recipe, Restarts, start_child};
use crate::engine::convoy;
use crate::engine::mailbox::Mailbox;
use crate::engine::restarts::Budget;
use crate::engine::sys::Bell;
use crate::py::codec::pickle;
use crate::py::executor::ExecutorCore;
use crate::py::future::callbacks;
use crate::py::host::host::Host;
use crate::py::interpreter::lifecycle::Start;
use crate::py::interpreter::{imports, lifecycle};
use crate::py::options::Options;

/// The core of a `ProcessActorExecutor`.
#[pyclass(extends = ExecutorCore, subclass, frozen, module = "futures_actors._core")]
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
        let what = format!("class or constructor arguments of actor {name}");
        let start = (&options.class, args, kwargs).into_pyobject(py)?;
        let start = pickle::dumps(start.as_any(), &what)?;
        // Pickled separately, so that the child can set `sys.argv` first: unpickling the class may
        // run code that reads it.
        let surroundings = imports::surroundings(py)?.call0()?;
        let start = (&name, surroundings, start).into_pyobject(py)?;
        let start = pickle::dumps(start.as_any(), "sys.argv")?;
        let bell = Arc::new(Bell::new().map_err(std::io::Error::from)?);
        let recipe = Recipe {
            start: start.as_bytes().to_vec(),
            start_method: options.start_method.clone(),
            shared_memory: options.shared_memory,
        };
        let (child, ends) = start_child(py, &recipe)?;
        let restarts = (options.max_restarts > 0).then(|| Restarts {
            recipe,
            budget: Budget::new(options.max_restarts, options.restart_window),
        });

        let (mailbox, tally) = (Mailbox::new(options.mailbox_size), Arc::default());
        let mailbox = Arc::new(mailbox);
        let ended = ends.process.watch.clone();
        let answers = Arc::clone(ends.reader.handle());
        let link = Link::new(
            name,
            Arc::clone(&mailbox),
            Arc::clone(&tally),
            Arc::clone(&bell),
            restarts.is_some(),
            ends,
        );
        let link = Arc::new(link);
        let transport = Box::new(Arc::clone(&link));
        let host = Arc::new(Host::new(&options, mailbox, tally, transport));
        let unserved = child.clone();
        let started = host.start(py, move |host| {
            callbacks::trace_here();
            let io_thread = IoThread {
                host,
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
            };
            io_thread.serve();
        });
        if let Err(error) = started {
            // This closes the parent's ends of the pipes, so the child ends.
            drop(host);
            _ = py.detach(|| unserved.reap(Some(GRACE)));
            return Err(error);
        }
        let core = ExecutorCore::new(options.class, host);
        Ok(PyClassInitializer::from(core).add_subclass(Self))
    }
}
