//! What the thread of a remote actor does here.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use pyo3::intern;
use pyo3::prelude::*;

use super::in_flight::{InFlight, pack_again};
use crate::engine::mailbox::Take;
use crate::engine::sys;
use crate::py::future::{ActorCell, settle};
use crate::py::host::host::Host;
use crate::py::host::run::{Serve, leave};
use crate::py::host::streams::RunningStreams;
use crate::py::interpreter::imports::ActorLost;
use crate::py::interpreter::{imports, rest};
use crate::py::message::fault::{Fault, Force, Started, log_failure, log_lost};
use crate::py::message::message::Message;
use crate::py::message::request::{Sender, Wants};

/// The messages that the actor may have, by number.
type Sent = HashMap<u64, InFlight>;

/// In place of the number of messages in flight.
pub(super) const BUSY: usize = usize::MAX;

/// What others see of the actor's thread.
pub(super) struct Shown {
    /// 0 while the actor has none.
    pub(super) pid: AtomicU32,
    /// How many messages are in flight while the actor's thread waits; `BUSY` while it does not.
    pub(super) in_flight: AtomicUsize,
    pub(super) streams: RunningStreams,
}

impl Shown {
    pub(super) fn new() -> Self {
        Self {
            pid: AtomicU32::new(0),
            in_flight: AtomicUsize::new(BUSY),
            streams: RunningStreams::default(),
        }
    }
}

/// What the actor's thread here does.
pub(super) struct Server {
    pub(super) shown: Arc<Shown>,
    /// Until the thread has it.
    pub(super) carrier: Option<Py<PyAny>>,
    pub(super) window: usize,
    /// A message is in there until it has ended.
    pub(super) sent: Sent,
}

impl Serve for Server {
    fn serve(&mut self, host: &Arc<Host>) {
        Python::attach(|py| {
            if let Some(carrier) = self.carrier.take() {
                let carrier = carrier.into_bound(py);
                run(host, &self.shown, &carrier, self.window, &mut self.sent);
            }
        });
    }

    fn abandon(&mut self, host: &Arc<Host>) {
        // `signal` logs its own errors.
        _ = host.transport.signal(Force::Kill);
        self.shown.pid.store(0, Ordering::Relaxed);
        host.tally.idle();
        let sent = self.sent.drain().map(|(_, sent)| (sent.cell, Started::Yes));
        host.fail_by_panic(sent.collect());
        Python::attach(|py| {
            self.carrier = None;
            leave(py);
        });
    }
}

fn run(
    host: &Arc<Host>,
    shown: &Shown,
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
        .map(|started| shown.pid.store(started, Ordering::Relaxed))
        .and_then(|()| serve(host, shown, carrier, window, sent))
        .and_then(|()| match host.force.get() {
            None => carrier.call_method0(intern!(py, "stop")).map(drop),
            Some(_) => Ok(()),
        });
    if let Err(error) = ended {
        if !error.is_instance_of::<ActorLost>(py) {
            log_failure(py, &host.name, "its carrier", error.clone_ref(py));
        }
        let fault = Fault::Lost(Arc::new(error.into_value(py).into_any()));
        let told = sent.values().filter(|sent| sent.wants.is_nothing()).count();
        let sent = sent.drain().map(|(_, sent)| (sent.cell, Started::Yes));
        host.fail_attached(py, fault.clone(), sent.collect());
        if told > 0 {
            let told = u32::try_from(told).unwrap_or(u32::MAX);
            log_lost(py, &host.name, (told, told), &fault);
        }
    }
    shown.pid.store(0, Ordering::Relaxed);
    host.tally.idle();
    leave(py);
}

/// Sends the messages of the mailbox, with at most `window` in flight, until the mailbox is closed
/// and all messages have ended. An error ends the actor; then the messages left are in `sent`.
fn serve(
    host: &Host,
    shown: &Shown,
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
                    send(host, shown, carrier, number, cell, sent)?;
                }
                Take::Empty => break,
                Take::Closed => is_closed = true,
            }
        }
        if is_closed && sent.is_empty() {
            return Ok(());
        }
        for (number, sent) in &mut *sent {
            sent.look(carrier, *number)?;
        }
        shown.in_flight.store(sent.len(), Ordering::SeqCst);
        rest::comes_to_rest();
        let event = carrier.call_method0(intern!(py, "receive"));
        shown.in_flight.store(BUSY, Ordering::SeqCst);
        let event = event?;
        if event.is_none() {
            continue;
        }
        let (number, reply, is_item): (u64, Bound<'_, PyAny>, bool) = event.extract()?;
        // It holds the reply's memory, which the next message may need.
        drop(event);
        let Some(message) = sent.get_mut(&number) else {
            continue;
        };
        if is_item {
            message.put(host, carrier, reply);
            continue;
        }
        let outcome = message.outcome(host, carrier, reply);
        let cell = Arc::clone(&message.cell);
        if sent.len() == 1 {
            host.tally.idle();
        } else {
            host.tally.begin(sys::now_nanos());
        }
        settle::settle_attached(py, &cell, outcome);
        sent.remove(&number);
    }
}

/// Sends a message, unless it was cancelled. Adds it to `sent` if the actor may have it.
fn send(
    host: &Host,
    shown: &Shown,
    carrier: &Bound<'_, PyAny>,
    number: u64,
    cell: Arc<ActorCell>,
    sent: &mut Sent,
) -> PyResult<()> {
    let py = carrier.py();
    let is_first = sent.is_empty();
    // Before it begins, so that a panic on the way does not lose it.
    let message = sent.entry(number).or_insert_with(|| InFlight::new(cell));
    let packed = match settle::begin(&message.cell) {
        Some(Message::Carried(packed, wants)) => {
            message.wants = wants;
            Ok(packed.into_bound(py))
        }
        Some(Message::Received(kind, body, items)) => {
            message.wants = Wants::of(kind.is_told(), items);
            message.sender = Sender::Elsewhere;
            pack_again(carrier, kind, *body)
        }
        _ => {
            sent.remove(&number);
            return Ok(());
        }
    };
    if is_first {
        host.tally.begin(sys::now_nanos());
    }
    let sends = packed.and_then(|packed| message.send(&shown.streams, carrier, number, packed));
    match sends {
        Ok(()) => {}
        Err(error) if error.is_instance_of::<ActorLost>(py) => return Err(error),
        Err(error) => {
            if is_first {
                host.tally.idle();
            }
            let InFlight {
                cell,
                wants,
                sender,
                ..
            } = message;
            let outcome = host.outcome(py, cell, wants, *sender, Err(error));
            settle::settle_attached(py, cell, outcome);
            sent.remove(&number);
        }
    }
    Ok(())
}
