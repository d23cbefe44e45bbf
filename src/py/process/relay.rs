//! What a child does with other actors of this process: its messages are put into their mailboxes, and
//! what becomes of them is sent back.
//!
//! # Threads
//! The child's I/O thread takes what the child asks for. The thread that ends a message sends the
//! answer, most often the I/O thread of the other actor. Such a thread attaches to Python only to make
//! an error here. None holds a lock of one link while it takes one of another.

use std::sync::{Arc, OnceLock};

use pyo3::exceptions::PyRuntimeError;

use super::admission::{Entering, Reserving};
use super::asker::Asker;
use super::held::{Asked, EnteredWait};
use super::link::Link;
use super::onward::Onward;
use crate::engine::cell::Phase;
use crate::engine::holding::Holder;
use crate::engine::ipc::frame::{Frame, Kind, encode};
use crate::engine::ipc::pipe::{Broken, Flush};
use crate::engine::ipc::relay::{
    Address, Awaited, Place, Question, encode_circle, encode_said, forgotten,
};
use crate::engine::latch::Latch;
use crate::engine::waits::{Refuse, Refused};
use crate::py::codec::actors::Hold;
use crate::py::codec::body::Body;
use crate::py::future::ActorCell;
use crate::py::host::host::Host;
use crate::py::message::items::Items;
use crate::py::reference::hold;
use crate::py::reference::target::{Entry, Listed};

/// Something that the child has asked for.
enum Request {
    Post(Address, u64, Box<Body>),
    Ask(u64, Question),
    Forget(u64, u64),
    Wait(u64, Vec<Awaited>),
    Taken(u64),
    Rest(u64),
}

/// What a frame asks for, to be done without a lock.
pub(super) fn request(link: &Arc<Link>, frame: Frame) -> Result<Box<dyn FnOnce() + Send>, Broken> {
    let number = frame.sequence;
    let mut body = frame.body;
    let request = match frame.kind {
        Kind::Post => {
            let address = Address::take(&mut body)?;
            let mut body = Body::receive(|| link.arena(), body)?;
            body.hold_actors(|number| find_actor(link, number));
            Request::Post(address, number, Box::new(body))
        }
        Kind::Ask => Request::Ask(number, Question::decode(&body)?),
        Kind::Forget => {
            let (actor, count) = forgotten(&body)?;
            Request::Forget(actor, count)
        }
        Kind::Taken => Request::Taken(number),
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
            Self::Ask(number, Question::Place(target)) => asker.reserve(target, number, true),
            Self::Ask(number, Question::PlaceNow(target)) => asker.reserve(target, number, false),
            Self::Ask(number, question) => {
                let said = asker.answer(question);
                asker.send(encode_said(number, said), None);
            }
            Self::Forget(number, count) => {
                drop(asker.with_relayed(|relayed| relayed.forget(number, count)));
            }
            Self::Wait(number, awaited) => asker.wait(number, &awaited),
            Self::Taken(number) => {
                let stream = asker.asked(number).and_then(|asked| asked.stream.clone());
                if let Some(stream) = stream {
                    stream.confirm();
                }
            }
            // What the callbacks have sent came before this.
            Self::Rest(ended) => {
                asker.with_relayed(|relayed| relayed.rest(ended));
            }
        }
    }
}

/// Tells the child that its wait of this number would never end.
struct RefusesChild {
    asker: Asker,
    number: u64,
}

impl Refuse for RefusesChild {
    fn refuse(&self, refused: Refused) {
        let Refused { target, circle } = refused;
        let frame = encode_circle(self.number, target, &circle.0);
        self.asker.send(frame, None);
    }
}

impl Asker {
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
            Question::Cancel(number) => self.asked(number).is_some_and(|asked| asked.cancel()),
            Question::Stop(number) => self.asked(number).is_some_and(|asked| asked.stop()),
            Question::Abandon(number) => self.asked(number).is_some_and(|asked| asked.abandon()),
            Question::Leave(number) => self.leave(number),
            // It is answered once there is one.
            Question::Place(_) | Question::PlaceNow(_) => false,
        }
    }

    /// The main thread of the child waits until one of these has happened, by the wait of this number.
    /// If that would never end, it is told so.
    fn wait(&self, number: u64, awaited: &[Awaited]) {
        let targets = awaited.iter().map(|one| self.target(*one));
        // If one has ended, the child is about to hear of that.
        let Some(targets) = targets.collect() else {
            return;
        };
        let waiter = (&self.link.tally.node, &self.region);
        let refuse = RefusesChild {
            asker: self.clone(),
            number,
        };
        let refuse = Arc::new(refuse);
        match EnteredWait::begin(waiter, number, targets, Arc::clone(&refuse) as _) {
            Ok(entered) => {
                let mut entered = Some(entered);
                self.with_relayed(|relayed| std::mem::swap(&mut relayed.wait, &mut entered));
                // Without the lock.
                drop(entered);
            }
            Err(refused) => refuse.refuse(refused),
        }
    }

    /// The child asks for a place in a mailbox, for its message of this number.
    fn reserve(&self, target: u64, number: u64, can_wait: bool) {
        let Some(host) = find_host(&self.link, target) else {
            return self.fail_unknown(number);
        };
        let reserving = Arc::new(Reserving {
            asker: self.clone(),
            host,
            target,
            number,
            turn: Arc::default(),
        });
        reserving.enter(can_wait);
    }

    fn fail_unknown(&self, number: u64) {
        self.fail(number, |_| {
            PyRuntimeError::new_err("this process does not know that actor")
        });
    }

    fn post(&self, address: Address, number: u64, body: Body) {
        let Some(host) = find_host(&self.link, address.target) else {
            return self.fail_unknown(number);
        };
        let is_stream = address.kind.is_stream();
        if is_stream && self.with_relayed(|_| ()).is_none() {
            // The child that asked is dead, so its stream has no taker.
            return;
        }
        let items = is_stream.then(|| Arc::new(Items::new(address.ahead as usize)));
        let message = match host.transport.adopt(address.kind, body, items.clone()) {
            Ok(message) => message,
            Err(why) => {
                let text = format!("the message for actor {} cannot be sent: {why}", host.name);
                return self.fail(number, |_| PyRuntimeError::new_err(text));
            }
        };
        let is_told = message.wants().is_nothing();
        let cell = Arc::new(ActorCell::default());
        cell.post(message);
        let waits = address.place == Place::Awaited;
        let admitted = waits.then(Arc::<Latch>::default);
        let stream = items.map(|items| Onward::new(Box::new(self.clone()), number, &cell, items));
        let entering = Arc::new(Entering {
            asker: self.clone(),
            host: Arc::clone(&host),
            address,
            number,
            cell: Arc::clone(&cell),
            is_told,
            admitted: admitted.clone(),
            stream: stream.clone(),
            accepted: OnceLock::new(),
        });
        // One of `tell` can only be cancelled while it waits for room.
        if !is_told || waits {
            let asked = Arc::new(Asked {
                cell: Arc::clone(&cell),
                host: Arc::clone(&host),
                admitted,
                stream: stream.clone(),
            });
            self.with_relayed(|relayed| relayed.asked.insert(number, asked));
            if let Some(stream) = &stream {
                stream.pass_on();
            }
            let child = self.clone();
            cell.on_end(move |cell| match &stream {
                Some(stream) => stream.end(),
                None if is_told => child.forget(number),
                None => child.end(number, cell),
            });
        }
        entering.enter();
    }
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
