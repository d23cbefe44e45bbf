//! The way to other actors: sends messages to the parent, which passes them on, and waits for what the
//! parent says of them. This file sends; `waiting.rs` waits, and `sorting.rs` takes what the parent says.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use pyo3::prelude::*;

use super::ended::{Ended, Queue, Start, Watched};
use super::inbox::{Inbox, broken};
use super::outbox::send;
use super::relay::{Forget, Inquiry, Known, Pending, Relay};
use crate::engine::arena::Arena;
use crate::engine::ipc::body::{self, Reference};
use crate::engine::ipc::outbox::{Haste, Outbox};
use crate::engine::ipc::region::Region;
use crate::engine::ipc::relay::{Awaited, Question, encode_forget};
use crate::engine::latch::Latch;
use crate::engine::sync::Mutex;
use crate::engine::sys::Bell;
use crate::engine::waits;
use crate::py::codec::actors::{Description, Hold};
use crate::py::codec::body::Body;
use crate::py::codec::packed::Few;
use crate::py::interpreter::lifecycle;
use crate::py::message::tally::Tally;
use crate::py::message::ticket::{Ask, Carrier};

/// Makes what a packet lists for an actor that this process knows and reaches through its parent.
type EntryOf = fn(Arc<Known>, Arc<Way>) -> Hold;

pub(super) struct Way {
    pub(super) inbox: Inbox,
    pub(super) relay: Relay,
    pub(super) arena: Arc<Arena>,
    pub(super) answers: &'static Outbox,
    /// Makes what a packet lists for an actor.
    entry: EntryOf,
    /// What was read and has not been settled yet.
    pub(super) ended: Queue<Ended>,
    /// Held by the thread that ends messages, so that they end in the order in which they came. It is
    /// taken detached, and never held while Python code runs.
    pub(super) settling: Mutex<()>,
    /// Whether the actor has started.
    pub(super) start: Mutex<Start>,
    /// What the callbacks thread must settle, since that runs Python code.
    pub(super) watched: Queue<Watched>,
    /// The actors that the last answer refers to.
    leaving: Mutex<Few<Hold>>,
    /// Whether the callbacks thread could be started.
    pub(super) callbacks: OnceLock<bool>,
    /// Wakes a thread that reads and can do something else.
    pub(super) bell: OnceLock<Option<Bell>>,
    /// Whether the helper thread could be started.
    pub(super) helper: OnceLock<bool>,
    generation: u32,
    pub(super) region: Arc<Region>,
    /// The number of this process's own actor.
    pub(super) own_number: u64,
    /// What the futures of messages to this process's own actor have. Set before its code runs.
    own: OnceLock<Arc<Tally>>,
    /// Itself, for the objects that it makes.
    me: OnceLock<Weak<Way>>,
}

impl Way {
    pub(super) fn new(
        inbox: Inbox,
        region: &Arc<Region>,
        arena: &Arc<Arena>,
        answers: &'static Outbox,
        entry: EntryOf,
    ) -> Arc<Self> {
        let way = Arc::new(Self {
            inbox,
            relay: Relay::default(),
            arena: Arc::clone(arena),
            answers,
            entry,
            ended: Queue::default(),
            settling: Mutex::default(),
            start: Mutex::default(),
            watched: Queue::default(),
            leaving: Mutex::default(),
            callbacks: OnceLock::new(),
            bell: OnceLock::new(),
            helper: OnceLock::new(),
            generation: lifecycle::generation(),
            region: Arc::clone(region),
            own_number: region.own().load(Ordering::SeqCst),
            own: OnceLock::new(),
            me: OnceLock::new(),
        });
        // It is new, so `set` cannot fail.
        _ = way.me.set(Arc::downgrade(&way));
        way.inbox.set_sorter(Arc::clone(&way) as _);
        way
    }

    /// The actor of this name is about to be made, and this thread will handle its messages, so many at
    /// a time.
    pub(super) fn begin_own(&self, name: &str, places: usize) {
        let own = self
            .own
            .get_or_init(|| Arc::new(Tally::new(name.to_owned())));
        own.streams.set_places(places);
        waits::serve(&own.node);
    }

    /// What the futures of messages to an actor have.
    pub(super) fn tally(&self, known: &Known, description: &Description) -> Arc<Tally> {
        let own = self.own.get().filter(|_| known.number == self.own_number);
        let new = || {
            let tally = Tally::new(description.name());
            tally.streams.set_places(description.places);
            if description.index().is_none() {
                tally.streams.set_members(description.size);
            }
            Arc::new(tally)
        };
        let of_others = || known.tally.get_or_init(new);
        Arc::clone(own.unwrap_or_else(of_others))
    }

    /// Whether this thread handles the messages of the actor of this number.
    pub(super) fn serves_here(&self, number: u64) -> bool {
        let own = self.own.get().filter(|_| number == self.own_number);
        own.is_some_and(|own| waits::is_served_here(&own.node))
    }

    pub(super) fn me(&self) -> Arc<Self> {
        let me = self.me.get().and_then(Weak::upgrade);
        me.expect("it is set by `new`, and the caller has it")
    }

    /// What keeps an actor known that a packet refers to.
    pub(super) fn arrive(&self, number: u64) -> Hold {
        let way = self.me();
        let forget = Arc::clone(&way) as Arc<dyn Forget>;
        (self.entry)(self.relay.arrive(number, &forget), way)
    }

    /// The body of a message that has come. It keeps the actors known that it refers to.
    pub(super) fn receive(&self, py: Python<'_>, body: Vec<u8>) -> PyResult<Body> {
        let received = Body::receive_attached(py, &self.arena, body);
        let mut body = received.map_err(|error| broken(error.into()))?;
        body.hold_actors(|number| Some(self.arrive(number)));
        Ok(body)
    }

    /// The actor of this process, which has this number.
    pub(super) fn know_itself(&self, number: u64) -> Arc<Known> {
        let forget = self.me() as Arc<dyn Forget>;
        self.relay.arrive(number, &forget)
    }

    /// A member of a pool that this process refers to, or the pool of a member.
    pub(super) fn derive(&self, number: u64, by: &Arc<Known>) -> Arc<Known> {
        let forget = self.me() as Arc<dyn Forget>;
        self.relay.derive(number, &forget, by)
    }

    /// Keeps the actors known that an answer refers to, which is sent before the next one is packed.
    pub(super) fn keep_until_next(&self, actors: Few<Hold>) {
        let before = std::mem::replace(&mut *self.leaving.lock(), actors);
        drop(before);
    }

    /// A message that refers to actors is dropped without being loaded.
    pub(super) fn skip(&self, body: &[u8]) {
        // The parent has made it.
        if let Ok(pieces) = body::pieces(body) {
            pieces
                .actors
                .into_iter()
                .for_each(|number| drop(self.arrive(number)));
        }
    }

    /// Asks the parent, and waits for the answer.
    pub(super) fn ask_parent(&self, py: Python<'_>, question: Question) -> PyResult<bool> {
        let inquiry = Arc::new(Inquiry::default());
        let number = self.relay.number();
        self.relay
            .enter(number, Pending::Question(Arc::clone(&inquiry)));
        self.send(py, question.encode(number))?;
        self.wait(py, &inquiry.done, None)?;
        Ok(inquiry.said())
    }

    /// Asks the parent, and does not wait for the answer, which is dropped. Call it detached.
    pub(super) fn ask_parent_soon(&self, question: Question) {
        // If the parent is gone, this process ends.
        _ = self
            .answers
            .send([question.encode(self.relay.number())], Haste::Now);
    }

    pub(super) fn send(&self, py: Python<'_>, frame: Vec<u8>) -> PyResult<()> {
        send(py, self.answers, [frame], Haste::Now)
    }
}

fn question(ask: Ask, number: u64) -> Question {
    match ask {
        Ask::HasBegun => Question::HasBegun(number),
        Ask::Cancel => Question::Cancel(number),
        Ask::Stop => Question::Stop(number),
        Ask::Abandon => Question::Abandon(number),
    }
}

impl Forget for Way {
    fn forget(&self, number: u64) {
        if self.is_ours()
            && let Some(count @ 1..) = self.relay.forget(number)
        {
            // If the parent is gone, it has forgotten everything.
            _ = self
                .answers
                .send([encode_forget(number, count)], Haste::Soon);
        }
    }
}

impl Carrier for Way {
    /// A callback waits, or the message was ended here.
    fn resume_io_thread(&self, _py: Python<'_>) {
        if self.relay.begin_help() {
            self.inbox.ask_helper();
            self.start_helper();
        }
        self.ring();
    }

    fn read_for(
        self: Arc<Self>,
        py: Python<'_>,
        done: &Latch,
        sequence: u64,
        deadline: Option<Instant>,
    ) -> PyResult<()> {
        let awaited = Awaited::Answer(sequence);
        self.wait_for_actor(py, done, awaited, deadline).map(drop)
    }

    fn read_item_for(
        self: Arc<Self>,
        py: Python<'_>,
        done: &Latch,
        sequence: u64,
        deadline: Option<Instant>,
    ) -> PyResult<()> {
        let awaited = Awaited::Item(sequence);
        self.wait_for_actor(py, done, awaited, deadline).map(drop)
    }

    fn ask_soon(&self, py: Python<'_>, sequence: u64, ask: Ask) {
        if self.relay.fate(sequence).is_some() {
            py.detach(|| self.ask_parent_soon(question(ask, sequence)));
        }
    }

    fn ask(&self, py: Python<'_>, sequence: u64, ask: Ask) -> PyResult<Option<bool>> {
        let Some(fate) = self.relay.fate(sequence) else {
            return Ok(None);
        };
        let said = self.ask_parent(py, question(ask, sequence))?;
        match ask {
            Ask::HasBegun if said => fate.set_begun(),
            Ask::Cancel if said => fate.set_withdrawn(),
            // If it was cancelled instead, the parent has said that first, and it stays so.
            Ask::Stop if said => fate.set_asked(),
            _ => {}
        }
        Ok(Some(said))
    }

    fn wake_child(&self) {}

    fn free(&self, _references: &[Reference]) {}

    fn is_ours(&self) -> bool {
        self.generation == lifecycle::generation()
    }
}
