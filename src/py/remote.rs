//! The remote actor: a thread that hands messages to a carrier and ends their futures with the
//! replies. The carrier is a Python object that reaches an actor elsewhere, such as in a Ray cluster.
//!
//! A carrier has these methods:
//!
//! - `pack(kind, parts)` turns a message into what `send` takes. The posting thread calls it.
//! - `start()` waits until the actor is constructed and returns its pid.
//! - `send(number, packed)` sends a message without waiting.
//! - `receive()` returns the next `(number, reply)`, or None if the mailbox must be checked.
//! - `open(reply)` returns or raises what `handle` did.
//! - `stop()` ends an actor that has handled all its messages.
//! - `rouse()` makes `receive` return. Any thread may call it.
//! - `kill(method)` ends the actor by force. Any thread may call it.
//!
//! Only the actor's thread calls the others. A method that raises `ActorLost` ends the actor.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Instant;

use pyo3::exceptions::PyNotImplementedError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use super::executor::ExecutorCore;
use super::future::{ActorCell, settle};
use super::interpreter::daemon_threads::outlasting_method;
use super::interpreter::imports;
use super::interpreter::imports::ActorLost;
use super::interpreter::lifecycle::Start;
use super::interpreter::rest;
use super::message::fault::{Fault, Force, Started, log_failure, log_lost};
use super::message::items::Items;
use super::message::message::Message;
use super::message::request::{Asked, Wants};
use super::message::tally::Tally;
use super::options::Options;
use crate::engine::ipc::frame::Kind;
use crate::engine::mailbox::{Mailbox, Take};
use crate::engine::sys;
use crate::py::codec::body::Body;
use crate::py::host::host::Host;
use crate::py::host::keeping::Holder;
use crate::py::host::run::{Serve, leave};
use crate::py::host::streams::Stalled;
use crate::py::host::transport::{Dump, Signalled, Transport};
use crate::py::reference::hold::Hold;

/// The transport of a remote actor. A packed message is in the mailbox until the actor's thread sends
/// it.
struct Remote {
    carrier: Py<PyAny>,
    /// 0 while the actor has none.
    pid: Arc<AtomicU32>,
    /// Set while the actor's thread waits for messages, and for no reply.
    is_waiting: Arc<AtomicBool>,
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
        if matches!(wants, Wants::Items(_)) {
            return Err(PyNotImplementedError::new_err(
                "a Ray actor cannot stream: have the handler return a list, or ask for the parts one \
                 by one",
            ));
        }
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
        _kind: Kind,
        _body: Body,
        _items: Option<Arc<Items>>,
    ) -> Result<Message, &'static str> {
        Err("a Ray actor gets messages from the program that started it, not from other actors")
    }

    fn rouse_detached(&self) {
        Python::attach(|py| self.rouse(py));
    }

    fn rouse(&self, py: Python<'_>) {
        if let Err(error) = self.call(intern!(py, "rouse"), ()) {
            error.write_unraisable(py, None);
        }
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

    fn is_at_rest(&self, mailbox: &Mailbox<Arc<ActorCell>>, _stalled: Stalled) -> bool {
        mailbox.is_empty() && self.is_waiting.load(Ordering::SeqCst)
    }

    fn pid(&self) -> Option<u32> {
        // Relaxed: it is only shown to the user.
        Some(self.pid.load(Ordering::Relaxed)).filter(|pid| *pid != 0)
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.carrier)
    }
}

/// The core of the executor of a remote actor, whose messages a carrier transports.
#[pyclass(extends = ExecutorCore, subclass, frozen, module = "futures_actors._core")]
pub(super) struct RemoteExecutorCore;

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
        let pid = Arc::<AtomicU32>::default();
        let is_waiting = Arc::<AtomicBool>::default();
        let transport = Remote {
            carrier: carrier.clone().unbind(),
            pid: Arc::clone(&pid),
            is_waiting: Arc::clone(&is_waiting),
        };
        let host = Arc::new(Host::new(
            &options,
            mailbox,
            Arc::new(Tally::without_requests(options.name.clone())),
            Box::new(transport),
        ));
        let server = Server {
            pid,
            is_waiting,
            carrier: Some(carrier.clone().unbind()),
            window,
            sent: Sent::new(),
        };
        let hold = Hold::new(Arc::clone(&host), Holder::Others);
        host.start(actor.py(), server)?;
        let core = ExecutorCore::new(options.class, hold);
        Ok(core.add_subclass(Self))
    }
}

/// The messages that the actor may have, by number: the cell, and what its caller wants.
type Sent = HashMap<u64, (Arc<ActorCell>, Wants)>;

/// What the actor's thread here does.
struct Server {
    pid: Arc<AtomicU32>,
    is_waiting: Arc<AtomicBool>,
    /// Until the thread has it.
    carrier: Option<Py<PyAny>>,
    window: usize,
    /// A message is in there until it has ended.
    sent: Sent,
}

impl Serve for Server {
    fn serve(&mut self, host: &Arc<Host>) {
        Python::attach(|py| {
            if let Some(carrier) = self.carrier.take() {
                let carrier = carrier.into_bound(py);
                let flags = (&*self.pid, &*self.is_waiting);
                run(host, flags, &carrier, self.window, &mut self.sent);
            }
        });
    }

    fn abandon(&mut self, host: &Arc<Host>) {
        // `signal` logs its own errors.
        _ = host.transport.signal(Force::Kill);
        self.pid.store(0, Ordering::Relaxed);
        host.tally.idle();
        let sent = self.sent.drain().map(|(_, (cell, _))| (cell, Started::Yes));
        host.fail_by_panic(sent.collect());
        Python::attach(|py| {
            self.carrier = None;
            leave(py);
        });
    }
}

fn run(
    host: &Arc<Host>,
    (pid, is_waiting): (&AtomicU32, &AtomicBool),
    carrier: &Bound<'_, PyAny>,
    window: usize,
    sent: &mut Sent,
) {
    let py = carrier.py();
    let entered = imports::thread_enter(py).and_then(|enter| enter.call1((&host.name,)));
    if let Err(error) = entered {
        error.write_unraisable(py, None);
    }
    let ended = carrier
        .call_method0(intern!(py, "start"))
        .and_then(|started| started.extract())
        .map(|started| pid.store(started, Ordering::Relaxed))
        .and_then(|()| serve(host, is_waiting, carrier, window, sent))
        .and_then(|()| match host.force.get() {
            None => carrier.call_method0(intern!(py, "stop")).map(drop),
            Some(_) => Ok(()),
        });
    if let Err(error) = ended {
        if !error.is_instance_of::<ActorLost>(py) {
            log_failure(py, &host.name, "its carrier", error.clone_ref(py));
        }
        let fault = Fault::Lost(Arc::new(error.into_value(py).into_any()));
        let told = sent
            .values()
            .filter(|(_, wants)| wants.is_nothing())
            .count();
        let sent = sent.drain().map(|(_, (cell, _))| (cell, Started::Yes));
        host.fail_attached(py, fault.clone(), sent.collect());
        if told > 0 {
            let told = u32::try_from(told).unwrap_or(u32::MAX);
            log_lost(py, &host.name, (told, told), &fault);
        }
    }
    pid.store(0, Ordering::Relaxed);
    host.tally.idle();
    leave(py);
}

/// Sends the messages of the mailbox, with at most `window` in flight, until the mailbox is closed
/// and all messages have ended. An error ends the actor; then the messages left are in `sent`.
fn serve(
    host: &Host,
    is_waiting: &AtomicBool,
    carrier: &Bound<'_, PyAny>,
    window: usize,
    sent: &mut Sent,
) -> PyResult<()> {
    let py = carrier.py();
    let mut number = 0;
    loop {
        let mut is_closed = false;
        while sent.len() < window && !is_closed {
            match host.mailbox.try_take() {
                Take::Item(cell) => {
                    number += 1;
                    send(host, carrier, number, cell, sent)?;
                }
                Take::Empty => break,
                Take::Closed => is_closed = true,
            }
        }
        if is_closed && sent.is_empty() {
            return Ok(());
        }
        is_waiting.store(sent.is_empty(), Ordering::SeqCst);
        rest::comes_to_rest();
        let event = carrier.call_method0(intern!(py, "receive"));
        is_waiting.store(false, Ordering::SeqCst);
        let event = event?;
        if event.is_none() {
            continue;
        }
        let (number, reply): (u64, Bound<'_, PyAny>) = event.extract()?;
        // It holds the reply's memory, which the next message may need.
        drop(event);
        let Some((cell, wants)) = sent.get(&number) else {
            continue;
        };
        let opened = carrier.call_method1(intern!(py, "open"), (reply,));
        if sent.len() == 1 {
            host.tally.idle();
        } else {
            host.tally.begin(sys::now_nanos());
        }
        host.finish(py, cell, wants, opened);
        sent.remove(&number);
    }
}

/// Sends a message, unless it was cancelled. Adds it to `sent` if the actor may have it.
fn send(
    host: &Host,
    carrier: &Bound<'_, PyAny>,
    number: u64,
    cell: Arc<ActorCell>,
    sent: &mut Sent,
) -> PyResult<()> {
    let py = carrier.py();
    let is_first = sent.is_empty();
    // Before it begins, so that a panic on the way does not lose it.
    let (cell, wanted) = sent.entry(number).or_insert((cell, Wants::Answer));
    let Some(Message::Carried(packed, wants)) = settle::begin(cell) else {
        sent.remove(&number);
        return Ok(());
    };
    *wanted = wants;
    if is_first {
        host.tally.begin(sys::now_nanos());
    }
    match carrier.call_method1(intern!(py, "send"), (number, packed)) {
        Ok(_) => {}
        Err(error) if error.is_instance_of::<ActorLost>(py) => return Err(error),
        Err(error) => {
            if is_first {
                host.tally.idle();
            }
            host.finish(py, cell, wanted, Err(error));
            sent.remove(&number);
        }
    }
    Ok(())
}
