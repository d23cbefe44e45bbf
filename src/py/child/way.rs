//! The way to other actors: sends messages to the parent, which passes them on, and waits for what the
//! parent says of them.
//!
//! A thread that waits reads the request pipe itself, if no other thread does. Otherwise the helper
//! thread reads for it: see `engine::ipc::inbox`. The helper also reads while callbacks wait for
//! something, since no thread waits then. It runs no Python code of the user, so it is always there to
//! read; it attaches for a moment to wake the event loop of an async actor.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use super::inbox::{Heard, Inbox, Sort};
use super::outbox::send;
use super::relay::{Forget, Inquiry, Known, Pending, Refusal, Relay, Sent};
use crate::engine::arena::Arena;
use crate::engine::ipc::body::{self, Reference};
use crate::engine::ipc::frame::{Frame, Kind, encode};
use crate::engine::ipc::outbox::{Haste, Outbox};
use crate::engine::ipc::pipe::Broken;
use crate::engine::ipc::region::Region;
use crate::engine::ipc::relay::{Awaited, Question, circle_names, encode_forget};
use crate::engine::latch::{Latch, Wait};
use crate::engine::sync::{Condvar, Mutex};
use crate::engine::sys::{self, Bell};
use crate::engine::waits;
use crate::py::codec::actors::Hold;
use crate::py::codec::body::Body;
use crate::py::codec::packed::Few;
use crate::py::future::deadlock::MOMENT;
use crate::py::future::{ActorCell, callbacks, settle};
use crate::py::interpreter::{lifecycle, wait};
use crate::py::message::fault::Unending;
use crate::py::message::outcome::{Outcome, Sealed};
use crate::py::message::tally::Tally;
use crate::py::message::ticket::{Ask, Carrier};

/// How long a thread that cannot read waits at most before it tries again, if there is no helper.
const RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// How often a wait that the parent has been told of looks whether the parent refuses it, while
/// another thread reads.
const REFUSAL_INTERVAL: Duration = Duration::from_millis(250);

/// Callbacks are Python code.
const CALLBACK_STACK_BYTES: usize = 8 << 20;

/// Makes what packets list of an actor that this process knows, and reaches on this way.
type EntryOf = fn(Arc<Known>, Arc<Way>) -> Hold;

pub(super) struct Way {
    pub(super) inbox: Inbox,
    pub(super) relay: Relay,
    pub(super) arena: Arc<Arena>,
    pub(super) answers: &'static Outbox,
    /// Makes what packets list of an actor.
    entry: EntryOf,
    /// What was read and has not been settled yet.
    ended: Queue<Ended>,
    /// Held by the thread that settles, so that what comes later is settled later. Not attached, and
    /// not while Python code runs.
    settling: Mutex<()>,
    /// Whether the actor has started.
    start: Mutex<Start>,
    /// What the callbacks thread must settle, since that runs Python code.
    watched: Queue<Watched>,
    /// The actors that the last answer refers to.
    leaving: Mutex<Few<Hold>>,
    /// Whether the callbacks thread could be started.
    callbacks: OnceLock<bool>,
    /// Wakes a thread that reads and can do something else.
    bell: OnceLock<Option<Bell>>,
    /// Whether the helper thread could be started.
    helper: OnceLock<bool>,
    generation: u32,
    region: Arc<Region>,
    /// The number of this process's own actor.
    pub(super) own_number: u64,
    /// What the futures of messages to this process's own actor have. Set before its code runs.
    own: OnceLock<Arc<Tally>>,
    /// This, for what it makes.
    me: OnceLock<Weak<Way>>,
}

/// A message to another actor that has ended, and that a callback waits for.
enum Watched {
    Ended(Arc<ActorCell>, Outcome),
    Cancelled(Arc<ActorCell>),
    /// The callbacks of what ended before this have run: the parent wants to know, by this number.
    Rest(&'static Outbox, u64),
}

impl Watched {
    fn settle(self) {
        match self {
            // If the parent is gone, nobody waits for that.
            Self::Rest(answers, number) => {
                _ = answers.send([encode(Kind::Rests, number, b"")], Haste::Now);
            }
            Self::Ended(cell, outcome) => _ = settle::settle(&cell, outcome),
            Self::Cancelled(cell) => Python::attach(|py| {
                if let Err(error) = settle::cancel(py, &cell, None) {
                    error.write_unraisable(py, None);
                }
            }),
        }
    }
}

struct Queue<T> {
    items: Mutex<VecDeque<T>>,
    changed: Condvar,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            items: Mutex::default(),
            changed: Condvar::new(),
        }
    }
}

impl<T> Queue<T> {
    fn push(&self, item: T) {
        self.items.lock().push_back(item);
        self.changed.notify_one();
    }

    fn pop(&self) -> Option<T> {
        self.items.lock().pop_front()
    }

    fn wait(&self) -> T {
        let mut items = self.items.lock();
        loop {
            if let Some(item) = items.pop_front() {
                return item;
            }
            items = self.changed.wait(items);
        }
    }
}

/// How far the start of this process's actor is.
enum Start {
    /// Its constructor or `on_start` may run. The parent has asked whether it rests, by this number.
    Runs(Option<u64>),
    IsOver,
}

impl Default for Start {
    fn default() -> Self {
        Self::Runs(None)
    }
}

/// A message to another actor that has ended.
enum Ended {
    By(Arc<ActorCell>, Outcome),
    Cancelled(Arc<ActorCell>),
    /// All that came before it has.
    Rest(u64),
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

    /// The actor of this name is about to be made, and this thread will handle its messages.
    pub(super) fn begin_own(&self, name: &str) {
        let own = self
            .own
            .get_or_init(|| Arc::new(Tally::new(name.to_owned())));
        waits::serve(&own.node);
    }

    /// What the futures of messages to an actor have.
    pub(super) fn tally(&self, number: u64, name: &str) -> Arc<Tally> {
        let own = self.own.get().filter(|_| number == self.own_number);
        own.map_or_else(|| Arc::new(Tally::new(name.to_owned())), Arc::clone)
    }

    /// Whether this thread handles the messages of the actor of this number.
    pub(super) fn serves_here(&self, number: u64) -> bool {
        let own = self.own.get().filter(|_| number == self.own_number);
        own.is_some_and(|own| waits::is_served_here(&own.node))
    }

    /// The actor has started: `on_start` has returned. Call it detached.
    pub(super) fn has_started(&self) {
        let start = std::mem::replace(&mut *self.start.lock(), Start::IsOver);
        if let Start::Runs(Some(number)) = start {
            self.ended.push(Ended::Rest(number));
            self.settle();
        }
    }

    /// Whether the parent can be told that this process rests. Otherwise it is told when the actor has
    /// started.
    fn may_rest(&self, number: u64) -> bool {
        match &mut *self.start.lock() {
            Start::Runs(asked) => {
                *asked = Some(number);
                false
            }
            Start::IsOver => true,
        }
    }

    fn me(&self) -> Arc<Self> {
        let me = self.me.get().and_then(Weak::upgrade);
        me.expect("it is set by `new`, and the caller has it")
    }

    /// What keeps an actor known that a packet refers to.
    pub(super) fn arrive(&self, number: u64) -> Hold {
        let way = self.me();
        let forget = Arc::clone(&way) as Arc<dyn Forget>;
        (self.entry)(self.relay.arrive(number, &forget), way)
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

    /// For an answer that is not sent at once: what keeps the actors known that it refers to.
    pub(super) fn take_leaving(&self) -> Few<Hold> {
        self.leaving.lock().take()
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

    fn bell(&self) -> Option<&Bell> {
        self.bell.get_or_init(|| Bell::new().ok()).as_ref()
    }

    fn ring(&self) {
        // Without a bell no thread sleeps for long.
        if let Some(bell) = self.bell.get().and_then(Option::as_ref) {
            // An error only delays the thread that reads.
            _ = bell.ring();
        }
    }

    /// Waits until `done` is set (true) or `deadline` has passed (false). An error is what a signal
    /// handler raised.
    pub(super) fn wait(
        &self,
        py: Python<'_>,
        done: &Latch,
        deadline: Option<Instant>,
    ) -> PyResult<bool> {
        self.wait_unless(py, done, deadline, None)
    }

    /// Like `wait`, for what another actor must do. If this is the thread that handles messages and the
    /// wait would never end, the error is an `ActorDeadlock`.
    pub(super) fn wait_for_actor(
        &self,
        py: Python<'_>,
        done: &Latch,
        awaited: Awaited,
        deadline: Option<Instant>,
    ) -> PyResult<bool> {
        let own = self.own.get();
        if !own.is_some_and(|own| waits::is_served_here(&own.node)) {
            return self.wait(py, done, deadline);
        }
        let looked_at = Instant::now() + MOMENT;
        if deadline.is_some_and(|deadline| deadline <= looked_at) {
            return self.wait(py, done, deadline);
        }
        if self.wait(py, done, Some(looked_at))? {
            return Ok(true);
        }
        self.wait_in_sight(py, done, awaited, deadline)
    }

    /// Like `wait_for_actor`, in the thread that handles messages. Tells the parent at once.
    pub(super) fn wait_in_sight(
        &self,
        py: Python<'_>,
        done: &Latch,
        awaited: Awaited,
        deadline: Option<Instant>,
    ) -> PyResult<bool> {
        let shown = Shown {
            way: self,
            number: self.relay.number(),
            refusal: Arc::default(),
        };
        let pending = Pending::Wait(Arc::clone(&shown.refusal));
        self.relay.enter(shown.number, pending);
        self.region.waits().store(shown.number, Ordering::SeqCst);
        self.send(py, awaited.encode(shown.number))?;
        let ended = self.wait_unless(py, done, deadline, Some(&shown.refusal))?;
        match shown.refusal.circle() {
            Some(circle) if !ended => Err(match awaited {
                Awaited::Answer(_) => Unending::Answer.error(&circle),
                Awaited::Room(_) => Unending::Room.error(&circle),
            }),
            _ => Ok(ended),
        }
    }

    fn wait_unless(
        &self,
        py: Python<'_>,
        done: &Latch,
        deadline: Option<Instant>,
        refusal: Option<&Refusal>,
    ) -> PyResult<bool> {
        let is_refused = || refusal.is_some_and(|refusal| refusal.circle().is_some());
        while !done.is_set() {
            if is_refused() {
                return Ok(false);
            }
            let until = wait::until(deadline);
            let turn = wait::raising(|| Ok(py.detach(|| self.read_once(done, until))))?;
            match turn {
                Heard::Something => continue,
                Heard::Nothing => {}
                Heard::Elsewhere => {
                    // A refusal does not set the latch.
                    let looked_at = refusal.map(|_| Instant::now() + REFUSAL_INTERVAL);
                    let until = until.into_iter().chain(looked_at).min();
                    let set = py.detach(|| self.wait_for_helper(done, until));
                    if set == Wait::Set {
                        return Ok(true);
                    }
                }
            }
            py.check_signals()?;
            if deadline.is_some_and(|at| Instant::now() >= at) {
                return Ok(done.is_set());
            }
        }
        Ok(true)
    }

    /// Reads once in the place of the helper, if no thread reads.
    fn read_once(&self, done: &Latch, until: Option<Instant>) -> Heard {
        self.inbox.read_until(|| done.is_set(), self.bell(), until)
    }

    fn wait_for_helper(&self, done: &Latch, until: Option<Instant>) -> Wait {
        self.inbox.ask_helper();
        let retry = (!self.start_helper()).then(|| Instant::now() + RETRY_INTERVAL);
        let waited = done.wait(until.into_iter().chain(retry).min());
        if self.inbox.release_helper() {
            self.ring();
        }
        waited
    }

    /// Starts the helper thread, if it does not run yet. False if it cannot be started.
    fn start_helper(&self) -> bool {
        *self.helper.get_or_init(|| {
            let way = self.me();
            sys::spawn("references".to_owned(), 256 << 10, move || way.help()).is_ok()
        })
    }

    fn help(&self) {
        while self
            .inbox
            .read_as_helper(self.bell(), || self.relay.end_help())
        {}
    }

    /// Starts the callbacks thread, if it does not run yet. Callbacks have a thread of their own, since
    /// one may wait for something that another thread must read.
    fn start_callbacks(&self) {
        let runs = *self.callbacks.get_or_init(|| {
            let way = self.me();
            let run = move || {
                callbacks::trace_here();
                loop {
                    way.watched.wait().settle();
                }
            };
            sys::spawn("callbacks".to_owned(), CALLBACK_STACK_BYTES, run).is_ok()
        });
        if !runs && let Some(watched) = self.watched.pop() {
            watched.settle();
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

    pub(super) fn send(&self, py: Python<'_>, frame: Vec<u8>) -> PyResult<()> {
        send(py, self.answers, [frame], Haste::Now)
    }

    fn end_message(&self, number: u64, outcome: Outcome) {
        if let Some(Pending::Message(sent)) = self.relay.leave(number) {
            self.end_sent(sent, outcome);
        }
    }

    fn end_sent(&self, sent: Sent, outcome: Outcome) {
        if let Some(admitted) = sent.admitted {
            admitted.set();
        }
        self.ended.push(Ended::By(sent.cell, outcome));
    }
}

impl Sort for Way {
    fn sort(&self, frame: Frame) -> Result<(), Broken> {
        let number = frame.sequence;
        match frame.kind {
            Kind::Wake => {}
            Kind::Reply => {
                let mut body = Body::receive(&self.arena, frame.body).map_err(Broken::Frame)?;
                body.hold_actors(|number| Some(self.arrive(number)));
                self.end_message(number, Outcome::Sealed(Sealed::Answer(Arc::new(body))));
            }
            Kind::Failed => self.end_message(number, failed(frame.body)),
            Kind::Stopped => self.end_message(number, Outcome::Stopped),
            Kind::Refused => {
                let Some((target, error)) = frame.body.split_first_chunk() else {
                    return Err(Broken::Unexpected(frame.kind));
                };
                if let Some(known) = self.relay.known(u64::from_le_bytes(*target)) {
                    // If it is known already, that stays.
                    _ = known.refusal.set(error.to_vec());
                }
                match self.relay.leave(number) {
                    Some(Pending::Message(sent)) => {
                        self.end_sent(sent, failed(error.to_vec()));
                    }
                    Some(Pending::Told(admitted)) => admitted.set(),
                    Some(Pending::Question(_) | Pending::Wait(_)) | None => {}
                }
            }
            Kind::Cancelled => {
                if let Some(Pending::Message(sent)) = self.relay.leave(number) {
                    sent.fate.set_withdrawn();
                    if let Some(admitted) = sent.admitted {
                        admitted.set();
                    }
                    self.ended.push(Ended::Cancelled(sent.cell));
                }
            }
            Kind::Said => {
                if let Some(Pending::Question(inquiry)) = self.relay.leave(number) {
                    inquiry.answer(frame.body == [1]);
                }
            }
            Kind::Rest => self.ended.push(Ended::Rest(number)),
            Kind::Circle => {
                let names = circle_names(&frame.body).map_err(Broken::Frame)?;
                if let Some(Pending::Wait(refusal)) = self.relay.leave(number) {
                    refusal.set(names);
                }
            }
            Kind::Admitted => {
                if let Some(admitted) = self.relay.admit(number) {
                    admitted.set();
                }
            }
            kind => return Err(Broken::Unexpected(kind)),
        }
        Ok(())
    }

    fn settle(&self) {
        let mut rests = None;
        let settling = self.settling.lock();
        while let Some(ended) = self.ended.pop() {
            let rest = match ended {
                Ended::By(cell, outcome) => {
                    let settled = settle::settle_unwatched(&cell, outcome);
                    settled.err().map(|outcome| Watched::Ended(cell, outcome))
                }
                Ended::Cancelled(cell) => Some(Watched::Cancelled(cell)),
                Ended::Rest(number) if !self.may_rest(number) => None,
                Ended::Rest(number) if self.callbacks.get().is_none() => {
                    // No message has had callbacks so far.
                    rests = Some(Watched::Rest(self.answers, number));
                    None
                }
                Ended::Rest(number) => Some(Watched::Rest(self.answers, number)),
            };
            if let Some(watched) = rest {
                self.watched.push(watched);
                self.start_callbacks();
            }
        }
        drop(settling);
        if let Some(rests) = rests {
            rests.settle();
        }
    }
}

/// The end of a message by an encoded exception.
fn failed(error: Vec<u8>) -> Outcome {
    Outcome::Sealed(Sealed::Error(Arc::new(error)))
}

/// A wait of which the parent has been told. Dropped before the thread goes on.
struct Shown<'a> {
    way: &'a Way,
    number: u64,
    refusal: Arc<Refusal>,
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        self.way.region.waits().store(0, Ordering::SeqCst);
        drop(self.way.relay.leave(self.number));
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

    fn ask(&self, py: Python<'_>, sequence: u64, ask: Ask) -> PyResult<Option<bool>> {
        let Some(fate) = self.relay.fate(sequence) else {
            return Ok(None);
        };
        let question = match ask {
            Ask::HasBegun => Question::HasBegun(sequence),
            Ask::Cancel => Question::Cancel(sequence),
            Ask::Stop => Question::Stop(sequence),
        };
        let said = self.ask_parent(py, question)?;
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
