//! The transport of remote actors, and the class of their executors.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use pyo3::exceptions::PyNotImplementedError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use super::in_flight::rouse;
use super::server::{BUSY, Server, Shown};
use crate::engine::holding::Holder;
use crate::engine::ipc::frame::Kind;
use crate::engine::mailbox::Mailbox;
use crate::engine::sys;
use crate::py::codec::body::Body;
use crate::py::executor::ExecutorCore;
use crate::py::future::ActorCell;
use crate::py::host::host::Host;
use crate::py::host::streams::{RunningStream, Stalled};
use crate::py::host::transport::{Dump, Signalled, Transport};
use crate::py::interpreter::daemon_threads::outlasting_method;
use crate::py::interpreter::lifecycle::Start;
use crate::py::message::fault::Force;
use crate::py::message::items::Items;
use crate::py::message::message::Message;
use crate::py::message::request::{Asked, Wants};
use crate::py::message::tally::Tally;
use crate::py::options::Options;
use crate::py::reference::hold::Hold;

/// The transport of a remote actor. A packed message is in the mailbox until the actor's thread sends
/// it.
struct Remote {
    carrier: Py<PyAny>,
    shown: Arc<Shown>,
}

impl Remote {
    /// Calls a method of the carrier that any thread may call.
    fn call<'py>(
        &self,
        method: &Bound<'py, PyString>,
        args: impl IntoPyObject<'py, Target = PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        outlasting_method(self.carrier.bind(method.py()), method, args, None)
    }
}

impl Transport for Remote {
    fn pack(&self, asked: Asked<'_, '_>, wants: Wants) -> PyResult<Message> {
        let py = asked.py();
        let (kind, parts) = match asked {
            Asked::Handle(object) => ("message", (object,).into_pyobject(py)?),
            Asked::Call(function, args, kwargs) => {
                ("call", (function, args, kwargs).into_pyobject(py)?)
            }
            Asked::Method(name, args, kwargs) => {
                ("method", (name, args, kwargs).into_pyobject(py)?)
            }
        };
        let packed = self.call(intern!(py, "pack"), (kind, parts))?;
        Ok(Message::Carried(packed.unbind(), wants))
    }

    fn adopt(
        &self,
        kind: Kind,
        body: Body,
        items: Option<Arc<Items>>,
    ) -> Result<Message, &'static str> {
        // The actor's thread, which may unpickle, packs it for the carrier.
        Ok(Message::Received(kind, Box::new(body), items))
    }

    fn rouse_detached(&self) {
        Python::attach(|py| self.rouse(py));
    }

    fn rouse(&self, py: Python<'_>) {
        rouse(py, self.carrier.bind(py));
    }

    fn in_flight(&self) -> Vec<Arc<ActorCell>> {
        // Messages that have been sent count as begun.
        Vec::new()
    }

    fn dump_traceback(&self, _py: Python<'_>, _deadline: Option<Instant>) -> PyResult<Dump> {
        Err(PyNotImplementedError::new_err(
            "this actor may be on another machine: get its traceback with the tools there",
        ))
    }

    fn signal(&self, force: Force) -> sys::Result<Signalled> {
        Python::attach(|py| {
            let killed = self.call(intern!(py, "kill"), (force.method(),));
            if let Err(error) = killed {
                error.write_unraisable(py, None);
            }
        });
        Ok(Signalled::Yes)
    }

    fn streams(&self) -> Vec<RunningStream> {
        self.shown.streams.all()
    }

    fn is_at_rest(&self, mailbox: &Mailbox<Arc<ActorCell>>, stalled: Stalled) -> bool {
        match self.shown.in_flight.load(Ordering::SeqCst) {
            BUSY => false,
            0 => mailbox.is_empty(),
            // The messages behind such a stream begin after it, also those that are in flight.
            _ => stalled.fills_places(),
        }
    }

    fn pid(&self) -> Option<u32> {
        // Relaxed: it is only shown to the user.
        Some(self.shown.pid.load(Ordering::Relaxed)).filter(|pid| *pid != 0)
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.carrier)
    }
}

/// The core of the executor of a remote actor, whose messages a carrier transports.
#[pyclass(extends = ExecutorCore, subclass, frozen, module = "futures_actors._core")]
pub(in crate::py) struct RemoteExecutorCore;

#[pymethods]
impl RemoteExecutorCore {
    #[new]
    #[pyo3(signature = (actor, carrier, window, /))]
    fn new(
        actor: &Bound<'_, PyAny>,
        carrier: &Bound<'_, PyAny>,
        window: usize,
    ) -> PyResult<PyClassInitializer<Self>> {
        let _start = Start::begin()?;
        let options = Options::of(actor)?;
        let mailbox = Arc::new(Mailbox::new(options.mailbox_size));
        let shown = Arc::new(Shown::new());
        let transport = Remote {
            carrier: carrier.clone().unbind(),
            shown: Arc::clone(&shown),
        };
        let host = Arc::new(Host::new(
            &options,
            mailbox,
            Arc::new(Tally::without_requests(options.name.clone())),
            Box::new(transport),
        ));
        let server = Server {
            shown,
            carrier: Some(carrier.clone().unbind()),
            window,
            sent: HashMap::new(),
        };
        let hold = Hold::new(Arc::clone(&host), Holder::Others);
        host.start(actor.py(), server)?;
        let core = ExecutorCore::new(options.class, hold);
        Ok(core.add_subclass(Self))
    }
}
