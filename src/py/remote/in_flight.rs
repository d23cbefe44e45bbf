//! A message that a remote actor may have, and how far its stream is.

use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;

use crate::engine::ipc::frame::Kind;
use crate::engine::room::Wake;
use crate::engine::stream::Space;
use crate::py::codec::body::Body;
use crate::py::future::{ActorCell, settle};
use crate::py::host::host::Host;
use crate::py::host::streams::{RunningStream, RunningStreams};
use crate::py::interpreter::daemon_threads::outlasting_method;
use crate::py::message::items::Item;
use crate::py::message::outcome::Outcome;
use crate::py::message::request::{Call, Sender, Wants};

/// A message that the actor may have.
pub(super) struct InFlight {
    pub(super) cell: Arc<ActorCell>,
    pub(super) wants: Wants,
    pub(super) sender: Sender,
    /// If it is a stream.
    flow: Option<Flow>,
}

/// A stream that is in flight.
struct Flow {
    stream: Arc<RunningStream>,
    /// How many items the carrier knows to be taken.
    taken: u64,
    /// The carrier has been told to close it.
    is_closing: bool,
    /// Why an item could not be sent on. It is the end of the stream.
    failure: Option<PyErr>,
}

impl InFlight {
    pub(super) fn new(cell: Arc<ActorCell>) -> Self {
        Self {
            cell,
            wants: Wants::Answer,
            sender: Sender::Here,
            flow: None,
        }
    }

    /// Tells the carrier what has been taken of a stream, or that no more is wanted.
    pub(super) fn look(&mut self, carrier: &Bound<'_, PyAny>, number: u64) -> PyResult<()> {
        let py = carrier.py();
        let Some(flow) = self.flow.as_mut().filter(|flow| !flow.is_closing) else {
            return Ok(());
        };
        // Before it counts: if there is room, what has been taken until then is told below. If there is
        // none, this thread is woken by the next take.
        let space = flow
            .stream
            .items
            .space(|| Arc::new(Rouses(carrier.clone().unbind())) as _);
        if matches!(space, Space::Closed) || self.cell.was_asked() {
            flow.is_closing = true;
            // It may have been closed because nobody takes any more, and then nobody has asked.
            py.detach(|| settle::ask(&self.cell));
            return carrier
                .call_method1(intern!(py, "close_stream"), (number,))
                .map(drop);
        }
        let taken = flow.stream.items.taken();
        if taken > flow.taken {
            flow.taken = taken;
            carrier.call_method1(intern!(py, "count_taken"), (number, taken))?;
        }
        Ok(())
    }

    /// Puts an item of a stream where it goes.
    pub(super) fn put(&mut self, host: &Host, carrier: &Bound<'_, PyAny>, item: Bound<'_, PyAny>) {
        let py = carrier.py();
        let Some(flow) = &mut self.flow else { return };
        let open = carrier.getattr(intern!(py, "open_item"));
        let put = open.and_then(|open| match self.sender {
            // If it is not wanted any more, it is dropped.
            Sender::Here => {
                drop(
                    flow.stream
                        .items
                        .put(Item::Carried(open.unbind(), item.unbind())),
                );
                Ok(())
            }
            Sender::Elsewhere => {
                host.put_item(&flow.stream.items, self.sender, open.call1((item,))?)
            }
        });
        if let Err(error) = put {
            // The items after a lost one might make no sense.
            flow.failure.get_or_insert(error);
            drop(flow.stream.items.close());
        }
    }

    /// Sends a message that begins.
    pub(super) fn send(
        &mut self,
        streams: &RunningStreams,
        carrier: &Bound<'_, PyAny>,
        number: u64,
        packed: Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = carrier.py();
        let Wants::Items(items) = &self.wants else {
            let sent = carrier.call_method1(intern!(py, "send"), (number, packed));
            return sent.map(drop);
        };
        let ahead = items.ahead();
        let (stream, closed) = (streams.enter(&self.cell, items), Arc::downgrade(items));
        self.flow = Some(Flow {
            stream,
            taken: 0,
            is_closing: false,
            failure: None,
        });
        let wake = Rouses(carrier.clone().unbind());
        self.cell.on_request(move || {
            Python::attach(|_| drop(closed.upgrade().map(|items| items.close())));
            wake.wake();
        });
        carrier
            .call_method1(intern!(py, "send_stream"), (number, packed, ahead))
            .map(drop)
    }

    /// What the message ends with.
    pub(super) fn outcome(
        &mut self,
        host: &Host,
        carrier: &Bound<'_, PyAny>,
        reply: Bound<'_, PyAny>,
    ) -> Outcome {
        let py = carrier.py();
        let failure = self.flow.as_mut().and_then(|flow| flow.failure.take());
        let ended = match (failure, reply.is_truthy()) {
            (Some(error), _) => Err(error),
            (None, Ok(false)) => return host.stopped(&self.cell),
            (None, _) => carrier.call_method1(intern!(py, "open"), (reply,)),
        };
        host.outcome(py, &self.cell, &self.wants, self.sender, ended)
    }
}

/// Has the actor's thread look at a stream.
struct Rouses(Py<PyAny>);

impl Wake for Rouses {
    fn wake(&self) {
        Python::attach(|py| rouse(py, self.0.bind(py)));
    }

    fn runs_python(&self) -> bool {
        true
    }
}

/// Makes `receive` of the carrier return.
pub(super) fn rouse(py: Python<'_>, carrier: &Bound<'_, PyAny>) {
    if let Err(error) = outlasting_method(carrier, intern!(py, "rouse"), (), None) {
        error.write_unraisable(py, None);
    }
}

/// Packs a message that came from another process.
pub(super) fn pack_again<'py>(
    carrier: &Bound<'py, PyAny>,
    kind: Kind,
    body: Body,
) -> PyResult<Bound<'py, PyAny>> {
    let py = carrier.py();
    let (kind, parts) = match Call::of_object(kind, body.load(py)?)? {
        Call::Handle(object) => ("message", (object,).into_pyobject(py)?),
        Call::Function(function, args, kwargs) => {
            ("call", (function, args, kwargs).into_pyobject(py)?)
        }
        Call::Method(name, args, kwargs) => ("method", (name, args, kwargs).into_pyobject(py)?),
    };
    carrier.call_method1(intern!(py, "pack"), (kind, parts))
}
