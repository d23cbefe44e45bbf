//! What a child does with other actors of this process: its messages are put into their mailboxes, and
//! what becomes of them is sent back.
//!
//! # Threads
//! The child's I/O thread takes what it asks for; the thread that ends a message sends the answer,
//! most often the I/O thread of the other actor. A process's I/O threads are not attached to Python for
//! that, but for an error that is made here. None holds
//! a lock of one link while it takes one of another.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::held::{Asked, EnteredWait, Relayed};
use super::link::Link;
use crate::engine::cell;
use crate::engine::cell::{Cancel, Phase};
use crate::engine::ipc::frame::{Encoded, Frame, Kind, encode, encode_in_two};
use crate::engine::ipc::pipe::{Broken, Flush};
use crate::engine::ipc::region::Region;
use crate::engine::ipc::relay::{
    Address, Awaited, Question, encode_circle, encode_said, forgotten,
};
use crate::engine::latch::Latch;
use crate::engine::room::{Permit, Seat, Wake};
use crate::engine::waits::{Circle, Pending};
use crate::py::codec::actors::Hold;
use crate::py::codec::body::Body;
use crate::py::codec::packed::Packed;
use crate::py::codec::pickle::What;
use crate::py::future::{ActorCell, settle};
use crate::py::host::host::Host;
use crate::py::host::keeping::Holder;
use crate::py::interpreter::lifecycle;
use crate::py::message::fault::{dump_error, to_error};
use crate::py::message::message::Message;
use crate::py::message::outcome::{Outcome, Sealed};
use crate::py::message::tally::Completion;
use crate::py::reference::hold;
use crate::py::reference::target::{Entry, Listed};

/// Something that the child has asked for.
enum Request {
    Post(Address, u64, Box<Body>),
    Ask(u64, Question),
    Forget(u64, u64),
    Wait(u64, Awaited),
    Rest(u64),
}

/// The child that asks.
#[derive(Clone)]
struct Asker {
    link: Arc<Link>,
    /// By which the link knows whether it still has this child.
    region: Arc<Region>,
}

/// What a frame asks for, to be done without a lock.
pub(super) fn request(link: &Arc<Link>, frame: Frame) -> Result<Box<dyn FnOnce() + Send>, Broken> {
    let number = frame.sequence;
    let mut body = frame.body;
    let request = match frame.kind {
        Kind::Post => {
            let address = Address::take(&mut body)?;
            let mut body = Body::receive(&link.arena(), body)?;
            body.hold_actors(|number| find_actor(link, number));
            Request::Post(address, number, Box::new(body))
        }
        Kind::Ask => Request::Ask(number, Question::decode(&body)?),
        Kind::Forget => {
            let (actor, count) = forgotten(&body)?;
            Request::Forget(actor, count)
        }
        Kind::Rests => Request::Rest(number),
        Kind::Waits => Request::Wait(number, Awaited::decode(&body)?),
        kind => return Err(Broken::Unexpected(kind)),
    };
    let asker = Asker {
        link: Arc::clone(link),
        region: link.region(),
    };
    Ok(Box::new(move || request.serve(&asker)))
}

/// An actor that the child refers to, or the child's own. Who refers to a pool or to a member of it can
/// also refer to the others.
pub(super) fn find_actor(link: &Link, number: u64) -> Option<Hold> {
    if link.is_own(number) {
        let own = hold::Hold::new(link.own_host()?, Holder::Others);
        return Listed::kin(&own, number);
    }
    let held = {
        let outbound = link.outbound();
        let connection = outbound.as_ref()?.connection.as_ref()?;
        connection.relayed.find(number)?
    };
    if held.number() == number {
        return Some(held);
    }
    Entry::in_hold(&held)?.kin(number)
}

fn find_host(link: &Link, number: u64) -> Option<Arc<Host>> {
    let actor = find_actor(link, number)?;
    Entry::in_hold(&actor)?.host().map(Arc::clone)
}

impl Request {
    /// Does what the child asks for. For the I/O thread, detached and without a lock.
    fn serve(self, asker: &Asker) {
        match self {
            Self::Post(address, number, body) => asker.post(address, number, *body),
            Self::Ask(number, question) => {
                let said = asker.answer(question);
                asker.send(encode_said(number, said), None);
            }
            Self::Forget(number, count) => {
                drop(asker.with_relayed(|relayed| relayed.forget(number, count)));
            }
            Self::Wait(number, awaited) => asker.wait(number, awaited),
            // What the callbacks have sent came before this.
            Self::Rest(ended) => {
                asker.with_relayed(|relayed| relayed.rest(ended));
            }
        }
    }
}

impl Asker {
    fn with_relayed<T>(&self, edit: impl FnOnce(&mut Relayed) -> T) -> Option<T> {
        let mut outbound = self.link.outbound();
        let connection = outbound.as_mut()?.connection.as_mut()?;
        // Otherwise the child that asked is dead.
        Arc::ptr_eq(&connection.region, &self.region).then(|| edit(&mut connection.relayed))
    }

    fn asked(&self, number: u64) -> Option<Asked> {
        self.with_relayed(|relayed| relayed.asked.get(&number).cloned())?
    }

    fn answer(&self, question: Question) -> bool {
        match question {
            Question::IsAlive(actor) => {
                let actor = find_actor(&self.link, actor);
                let target = actor.as_ref().and_then(Entry::in_hold);
                target
                    .and_then(Listed::host)
                    .is_some_and(|host| host.is_alive())
            }
            Question::HasBegun(number) => {
                let asked = self.asked(number);
                asked.is_some_and(|asked| asked.cell.phase() == Phase::Running)
            }
            Question::Cancel(number) => self.cancel(number),
            Question::Stop(number) => self.cancel(number) || self.stop(number),
        }
    }

    /// Asks a message that runs to stop. Returns whether it runs.
    fn stop(&self, number: u64) -> bool {
        let asked = self.asked(number);
        asked.is_some_and(|asked| settle::ask(&asked.cell))
    }

    fn cancel(&self, number: u64) -> bool {
        let Some(asked) = self.asked(number) else {
            return false;
        };
        // Only the relay watches the cell, so this needs no Python.
        match asked.cell.cancel(cell::Hold::Condition) {
            Cancel::Cancelled { message, .. } => {
                let has_permit = message.as_ref().is_some_and(Message::has_permit);
                drop(message);
                // One that still waited for room was never accepted, and is not counted.
                if has_permit || asked.host.mailbox.room().is_none() {
                    asked.host.tally.end(Completion::Cancelled);
                }
                true
            }
            Cancel::Already => true,
            Cancel::TooLate | Cancel::NeedsCondition => false,
        }
    }

    /// The main thread of the child waits, by the wait of this number. If that would never end, it is
    /// told so.
    fn wait(&self, number: u64, awaited: Awaited) {
        let (Awaited::Answer(message) | Awaited::Room(message)) = awaited;
        // If it has ended, the child is about to hear of that.
        let Some(asked) = self.asked(message) else {
            return;
        };
        let pending: Arc<dyn Pending> = match (awaited, asked.admitted) {
            (Awaited::Room(_), Some(admitted)) => admitted,
            _ => asked.cell,
        };
        let (waiter, target) = (&self.link.tally.node, &asked.host.tally.node);
        match EnteredWait::begin((waiter, &self.region), number, target, pending) {
            Ok(entered) => {
                let mut entered = Some(entered);
                self.with_relayed(|relayed| std::mem::swap(&mut relayed.wait, &mut entered));
                // Without the lock.
                drop(entered);
            }
            Err(Circle(names)) => self.send(encode_circle(number, &names), None),
        }
    }

    fn post(&self, address: Address, number: u64, body: Body) {
        let Some(host) = find_host(&self.link, address.target) else {
            return self.fail(number, |_| {
                PyRuntimeError::new_err("this process does not know that actor")
            });
        };
        let message = match host.transport.adopt(address.kind, body) {
            Ok(message) => message,
            Err(why) => {
                let text = format!("the message for actor {} cannot be sent: {why}", host.name);
                return self.fail(number, |_| PyRuntimeError::new_err(text));
            }
        };
        let is_told = message.wants().is_nothing();
        let cell = Arc::new(ActorCell::default());
        cell.post(message);
        let admitted = address.waits_for_room.then(Arc::<Latch>::default);
        let entering = Arc::new(Entering {
            asker: self.clone(),
            host: Arc::clone(&host),
            address,
            number,
            cell: Arc::clone(&cell),
            is_told,
            admitted: admitted.clone(),
            turn: Mutex::new(Turn::Queueing),
        });
        // One of `tell` can only be cancelled while it waits for room.
        if !is_told || address.waits_for_room {
            let asked = Asked {
                cell: Arc::clone(&cell),
                host: Arc::clone(&host),
                admitted,
            };
            self.with_relayed(|relayed| relayed.asked.insert(number, asked));
            let child = self.clone();
            let waits = host.mailbox.room().map(|_| Arc::downgrade(&entering));
            cell.on_end(move |cell| {
                if let Some(entering) = waits.and_then(|waits| waits.upgrade()) {
                    entering.give_up();
                }
                if is_told {
                    child.forget(number);
                } else {
                    child.end(number, cell);
                }
            });
        }
        entering.enter();
    }

    /// Nothing more can be asked about this message.
    fn forget(&self, number: u64) {
        drop(self.with_relayed(|relayed| relayed.asked.remove(&number)));
    }

    /// Sends what has become of a message.
    fn end(&self, number: u64, cell: &ActorCell) {
        let outcome = cell.outcome(|outcome| std::mem::replace(outcome, Outcome::Nothing));
        let sealed = match outcome {
            None => {
                let kind = match cell.phase() {
                    Phase::Stopped => Kind::Stopped,
                    _ => Kind::Cancelled,
                };
                return self.send(encode(kind, number, b""), Some(number));
            }
            Some(Outcome::Sealed(sealed)) => sealed,
            Some(other) => {
                return self.fail(number, |_| {
                    drop(other);
                    PyRuntimeError::new_err("the answer of that actor cannot be sent")
                });
            }
        };
        match sealed {
            Sealed::Answer(body) => self.reply(number, body),
            Sealed::Error(error) => {
                self.send(encode(Kind::Failed, number, &error), Some(number));
            }
            Sealed::Fault(fault) => self.fail(number, |py| {
                let (name, fault, started) = &*fault;
                to_error(py, name, fault, *started)
            }),
        }
    }

    fn reply(&self, number: u64, body: Arc<Body>) {
        let arena = self.link.arena();
        let what = What::Message(&self.link.name);
        let packed = Arc::into_inner(body)
            .ok_or_else(|| "something else has the answer".to_owned())
            .and_then(|body| body.repack(Kind::Reply).map_err(|error| error.to_string()));
        let fitting = packed
            .map_err(PyRuntimeError::new_err)
            .and_then(|mut packed| {
                if packed.is_for(&arena) {
                    return Ok(packed);
                }
                packed.for_child(&arena, &what)
            });
        match fitting {
            Ok(packed) => self.send_packed(number, packed),
            Err(error) => self.fail(number, |_| error),
        }
    }

    fn send_packed(&self, number: u64, mut packed: Packed) {
        let actors = packed.take_actors();
        packed.renumber(number);
        self.push(
            packed.into_frame(),
            Some(number),
            actors.map_or_else(Vec::new, |actors| *actors),
        );
    }

    /// Fails a message by an exception that is made here.
    fn fail(&self, number: u64, error: impl FnOnce(Python<'_>) -> PyErr) {
        let encoded = Python::attach(|py| dump_error(py, error(py)));
        // Whatever the exception, it can be encoded.
        let encoded = encoded.unwrap_or_default();
        self.send(encode(Kind::Failed, number, &encoded), Some(number));
    }

    /// Fails a message that is refused, and lets the child know that others will be, too.
    fn refuse(&self, address: Address, number: u64, host: &Host) {
        let encoded = Python::attach(|py| dump_error(py, host.refusal(py))).unwrap_or_default();
        let target = address.target.to_le_bytes();
        let frame = encode_in_two(Kind::Refused, number, &target, &encoded);
        self.send(frame, Some(number));
    }

    fn send(&self, frame: Vec<u8>, ends: Option<u64>) {
        self.push(frame.into(), ends, Vec::new());
    }

    /// Sends a frame, with references to `actors`, to the child that asked; `ends` is the message that
    /// it is the end of. If that child is dead, everything is dropped.
    fn push(&self, frame: Encoded, ends: Option<u64>, actors: Vec<Hold>) {
        let mut outbound = self.link.outbound();
        let connection = outbound
            .as_mut()
            .and_then(|outbound| outbound.connection.as_mut());
        let Some(connection) =
            connection.filter(|connection| Arc::ptr_eq(&connection.region, &self.region))
        else {
            // Without the lock: this may end an actor.
            drop(outbound);
            return drop(actors);
        };
        let ended = ends.and_then(|number| connection.relayed.end(number));
        connection.relayed.hold(actors);
        let surplus = connection.relayed.take_surplus();
        let flushed = connection.send(frame);
        drop(outbound);
        drop((ended, surplus));
        if flushed == Flush::Blocked {
            self.link.ring();
        }
    }
}

/// A message on its way into a mailbox. In a bounded one it waits for a place, first come, first served
/// with all other senders.
struct Entering {
    asker: Asker,
    host: Arc<Host>,
    address: Address,
    number: u64,
    cell: Arc<ActorCell>,
    is_told: bool,
    /// See `Asked`.
    admitted: Option<Arc<Latch>>,
    turn: Mutex<Turn>,
}

enum Turn {
    /// The seat is about to be there.
    Queueing,
    Seated(Seat),
    Granted,
}

impl Link {
    /// Whether the child has started the actor, and no callback runs there that could send messages. If
    /// that is not known, the child is asked.
    pub(super) fn has_child_at_rest(&self) -> bool {
        let mut outbound = self.outbound();
        let connection = outbound.as_mut().and_then(|o| o.connection.as_mut());
        let Some(connection) = connection.filter(|connection| !connection.has_hung_up) else {
            return true;
        };
        let asked = connection.relayed.ask_to_rest();
        let is_at_rest = connection.relayed.is_at_rest();
        let flushed = asked.map(|ended| connection.send(encode(Kind::Rest, ended, b"").into()));
        drop(outbound);
        if flushed == Some(Flush::Blocked) {
            self.ring();
        }
        is_at_rest
    }
}

impl Entering {
    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(self: &Arc<Self>) {
        let Some(room) = self.host.mailbox.room() else {
            return self.put(None);
        };
        let permit = room.try_acquire().or_else(|| {
            // A message may have begun without a report of that.
            drop(self.host.transport.begun());
            room.try_acquire()
        });
        if permit.is_some() {
            return self.put(permit);
        }
        let seat = room.queue(Arc::clone(self) as Arc<dyn Wake>);
        let mut turn = self.turn();
        if matches!(*turn, Turn::Granted) {
            drop(turn);
            return self.take(seat);
        }
        *turn = Turn::Seated(seat);
        drop(turn);
        // From here on the transport reports each message that begins.
        drop(self.host.transport.begun());
    }

    fn take(&self, seat: Seat) {
        self.put(seat.leave());
    }

    /// The message has ended. If it waited for room, it leaves the queue.
    fn give_up(&self) {
        let turn = std::mem::replace(&mut *self.turn(), Turn::Granted);
        // Without the lock: this locks the room.
        drop(turn);
    }

    fn put(&self, permit: Option<Permit>) {
        let mut permit = Some(permit);
        let place = |message: Message| (message.bounded(permit.take().flatten()), ());
        // If it was cancelled, the place is given back here.
        if self.cell.exchange(place).is_none() {
            return drop(permit);
        }
        if let Some(admitted) = &self.admitted {
            admitted.set();
            let ends = self.is_told.then_some(self.number);
            let admitted = encode(Kind::Admitted, self.number, b"");
            self.asker.send(admitted, ends);
        }
        // As in `Host::admit`: while the interpreter's exit drains, not to itself.
        let is_own = self.asker.link.tally.node.id == self.host.tally.node.id;
        let is_refused = is_own && lifecycle::is_exiting();
        let cell = Arc::clone(&self.cell);
        if is_refused || !self.host.accept_relayed(cell, self.is_told) {
            self.asker.refuse(self.address, self.number, &self.host);
        }
    }
}

impl Wake for Entering {
    fn wake(&self) {
        let turn = std::mem::replace(&mut *self.turn(), Turn::Granted);
        if let Turn::Seated(seat) = turn {
            self.take(seat);
        }
    }
}
