//! The process actor, in the parent: what starts a child, and the I/O thread that serves its link.
//!
//! The I/O thread touches Python only to run callbacks, to log, and to start a child again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::link::{Event, Link, Over};
use super::outbound::Wire;
use super::start::{Recipe, start_child};
use crate::engine::ending::Child;
use crate::engine::ipc::pipe::{Broken, Fill};
use crate::engine::mailbox::Mailbox;
use crate::engine::restarts::Budget;
use crate::engine::sys::{self, Bell, Handle, Interest, Ready};
use crate::engine::{cell, convoy};
use crate::py::codec::pickle;
use crate::py::executor::ExecutorCore;
use crate::py::future::{ActorCell, callbacks};
use crate::py::host::host::{Host, Transport};
use crate::py::interpreter::lifecycle::Start;
use crate::py::interpreter::{imports, lifecycle};
use crate::py::message::fault::{Fault, Started};
use crate::py::options::Options;

/// How often the I/O thread looks whether somebody reads, while it leaves that to who waits.
const TICK: Duration = Duration::from_millis(5);
/// After so many ticks without a message it reads again itself, and then sleeps without end.
const IDLE_TICKS: u32 = 4;
/// How often it looks for shared memory that nobody has used since the last time.
const LOOK: Duration = Duration::from_secs(5);
/// How long it lets another thread finish a read.
const PAUSE: Duration = Duration::from_millis(1);
/// After so many answers in a row that somebody waited for, with no other message ahead, it leaves
/// the reading to who waits.
const STREAK: u32 = 8;

/// How long a child whose link is gone has to end by itself.
const GRACE: Duration = Duration::from_secs(1);

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
        // Apart, since unpickling the class may run code that reads `sys.argv`.
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
            let side = Side {
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
                look_at: None,
            };
            side.serve();
        });
        if let Err(error) = started {
            // The ends of the pipes are closed with it, by which the child ends.
            drop(host);
            _ = py.detach(|| unserved.reap(Some(GRACE)));
            return Err(error);
        }
        let core = ExecutorCore::new(options.class, host);
        Ok(PyClassInitializer::from(core).add_subclass(Self))
    }
}

struct Restarts {
    recipe: Recipe,
    budget: Budget,
}

/// The I/O thread's side of an actor.
struct Side<'a> {
    host: &'a Arc<Host>,
    link: Arc<Link>,
    bell: Arc<Bell>,
    answers: Arc<Handle>,
    /// Readable once the child has ended.
    ended: Option<Arc<Handle>>,
    /// `None` once it has been reaped.
    child: Option<Child>,
    /// `None`: a death is the end.
    restarts: Option<Restarts>,
    /// Whether no child has died yet.
    is_first: bool,
    /// Answers in a row after which the reading could have been left to who waited.
    streak: u32,
    convoy: convoy::Server,
    /// Ticks in a row without a message.
    idle: u32,
    /// How many messages there had been at the last tick.
    last: u64,
    /// When to look for unused memory next, if there is any memory.
    look_at: Option<Instant>,
}

/// What `Side::turn` found out for the next one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Wait,
    /// Another thread reads at this moment.
    Pause,
}

impl Side<'_> {
    fn serve(mut self) {
        loop {
            let over = self.serve_child();
            if self.end(over) == Then::End {
                break;
            }
        }
        self.link.close_logs();
    }

    /// Serves the child that there is, until that is over.
    fn serve_child(&mut self) -> Over {
        self.link.refill();
        let mut next = Next::Wait;
        loop {
            let mut events = Vec::new();
            let turned = self.turn(next, &mut events);
            self.settle(events);
            match turned {
                Ok(then) => next = then,
                Err(over) => return over,
            }
        }
    }

    /// Waits for something to do and does it.
    fn turn(&mut self, next: Next, events: &mut Vec<Event>) -> Result<Next, Over> {
        let look = self.look();
        let by_waiter = self.link.is_by_waiter();
        let unsent = self.link.unsent();
        let reads = !by_waiter && next == Next::Wait;
        let interests = [
            reads.then(|| Interest::Readable(&self.answers)),
            self.ended.as_deref().map(Interest::Readable),
            unsent.as_deref().map(Interest::Writable),
            (next == Next::Wait).then(|| self.bell.rung()),
        ];
        let timeout = match next {
            Next::Pause => Some(PAUSE),
            Next::Wait => by_waiter.then_some(TICK),
        };
        let convoy = self.link.convoy.is_served().then_some(convoy::TICK);
        let timeout = timeout.into_iter().chain(convoy).chain(look).min();
        let polled = sys::retry(|| sys::poll(interests, timeout));
        let [answers, ended, room, bell] = polled.map_err(Broken::Io)?;
        if room == Ready::Broken {
            self.link.hang_up();
        }
        let serves = self.convoy.turn(&self.link.convoy, Instant::now);
        if serves || bell.is_ready() || room.is_ready() {
            self.link.refill();
        }
        if by_waiter {
            self.tick();
        }
        if ended.is_ready() {
            self.link.set_by_waiter(false);
        }
        if !answers.is_ready() && !ended.is_ready() && !bell.is_ready() && next == Next::Wait {
            return Ok(Next::Wait);
        }
        let Some(mut intake) = self.link.try_intake() else {
            // Who has it hears the bell too, which is left to ring until it lets go.
            if ended.is_ready() {
                self.bell.ring().map_err(Broken::Io)?;
            }
            return Ok(Next::Pause);
        };
        if bell.is_ready() {
            self.bell.quiet().map_err(Broken::Io)?;
        }
        // It is there until `end`.
        let intake = intake.as_mut().ok_or(Over::Ended)?;
        let left = intake.take_left();
        events.extend(left.events);
        if let Some(over) = left.over {
            return Err(over);
        }
        if answers.is_ready() && self.link.read(intake, events)? == Fill::End {
            return Err(Over::Ended);
        }
        if ended.is_ready() {
            // What the child wrote before its end, whoever else holds the pipe.
            while matches!(self.link.read(intake, events)?, Fill::Some | Fill::Full) {}
            return Err(Over::Ended);
        }
        Ok(Next::Wait)
    }

    /// Gives shared memory back that has not been used for a while. Returns how long until there may
    /// be such again; while there are no blocks at all, never.
    fn look(&mut self) -> Option<Duration> {
        let arena = self.link.arena();
        if self.look_at.is_some_and(|at| Instant::now() >= at) {
            self.look_at = None;
            arena.age();
        }
        if !arena.has_memory() {
            self.look_at = None;
            return None;
        }
        let at = *self.look_at.get_or_insert_with(|| Instant::now() + LOOK);
        Some(at.saturating_duration_since(Instant::now()))
    }

    /// While the reading is left to who waits: takes it back if nobody does.
    fn tick(&mut self) {
        let sent = self.link.sent();
        let unread = self.link.ahead_messages() > 0 && self.link.try_intake().is_some();
        self.idle = if sent == self.last { self.idle + 1 } else { 0 };
        self.last = sent;
        if unread || self.idle >= IDLE_TICKS {
            self.link.set_by_waiter(false);
        }
    }

    fn settle(&mut self, events: Vec<Event>) {
        if !events.is_empty() {
            self.count_streak(&events);
        }
        self.link.settle(events);
    }

    fn count_streak(&mut self, events: &[Event]) {
        let one_by_one = match events {
            [Event::Ended(cell, ..)] => cell.done().is_awaited() && self.link.ahead_messages() == 0,
            _ => false,
        };
        self.streak = if one_by_one { self.streak + 1 } else { 0 };
        if self.streak >= STREAK {
            self.streak = 0;
            self.idle = 0;
            self.link.set_by_waiter(true);
            // Who has sent one meanwhile may wait without reading.
            if self.link.ahead_messages() > 0 {
                self.link.set_by_waiter(false);
            }
        }
    }

    /// The child is dead, or to be ended: takes in what it has left, and has another started if
    /// that may be.
    fn end(&mut self, over: Over) -> Then {
        self.link.take_back();
        let mut events = self.link.take_left().events;
        self.link.read_spilled(&mut events);
        self.link.settle(events);
        let could_not_start = self.is_first && matches!(over, Over::InitFailed(_));
        let is_told_to_end = self.host.force.get().is_some() || self.link.has_stopped();
        if self.restarts.is_none() || could_not_start || is_told_to_end {
            self.give_up(over);
            return Then::End;
        }
        self.is_first = false;
        let pid = self.pid();
        let exitcode = self.reap(IfItLives::Kill);
        let fault = match over {
            Over::InitFailed(body) => Fault::InitSent(Arc::new(body)),
            Over::Ended => self.death(pid, exitcode, None),
            Over::Broken(broken) => self.death(pid, exitcode, Some(broken)),
        };
        let begun = self.link.disconnect();
        let begun = begun.into_iter().map(|cell| (cell, Started::Yes));
        self.host.fail_each(&fault, begun);
        self.start_again(fault)
    }

    /// Starts a child in the place of one that ended by `fault`, if the budget allows.
    fn start_again(&mut self, fault: Fault) -> Then {
        while let Some(restarts) = &mut self.restarts
            && self.host.force.get().is_none()
            && !self.link.is_drained()
            && restarts.budget.spend(Instant::now())
        {
            let name = &self.host.name;
            self.host.tally.restart();
            log::warn!(target: "futures_actors", "actor {name}: its process has died, and is started again");
            match Python::attach(|py| start_child(py, &restarts.recipe)) {
                Ok((child, ends)) => {
                    self.child = Some(child);
                    self.answers = Arc::clone(ends.reader.handle());
                    self.ended.clone_from(&ends.process.watch);
                    self.link.reconnect(ends);
                    self.end_by_force();
                    return Then::Serve;
                }
                Err(error) => {
                    log::error!(target: "futures_actors", "actor {name}: cannot start a process: {error}");
                }
            }
        }
        self.fail(fault);
        Then::End
    }

    /// Whoever used force while there was no child could not signal it.
    fn end_by_force(&self) {
        if let Some(force) = self.host.force.get()
            && let Err(error) = self.link.signal(force)
        {
            let name = &self.host.name;
            log::error!(target: "futures_actors", "actor {name}: cannot signal its process: {error}");
        }
    }

    /// Reaps the child and fails what it leaves behind.
    fn give_up(&mut self, over: Over) {
        let pid = self.pid();
        match over {
            Over::InitFailed(body) => {
                // Nobody need wait for what else the child has to do before it ends.
                let wire = self.fail(Fault::InitSent(Arc::new(body)));
                self.reap(IfItLives::Kill);
                drop(wire);
            }
            Over::Ended if self.host.force.get().is_none() && self.link.has_stopped() => {
                self.reap(IfItLives::Wait);
                drop(self.link.close_wire());
            }
            Over::Ended => {
                let exitcode = self.reap(IfItLives::Kill);
                self.fail(self.death(pid, exitcode, None));
            }
            Over::Broken(broken) => {
                let exitcode = self.reap(IfItLives::Kill);
                self.fail(self.death(pid, exitcode, Some(broken)));
            }
        }
    }

    fn death(&self, pid: u32, exitcode: Option<i32>, broken: Option<Broken>) -> Fault {
        Fault::Died {
            pid,
            exitcode,
            broken,
            force: self.host.force.get(),
        }
    }

    /// Ends the actor, and with it whatever it has not answered. A child that lives ends at once
    /// when what is returned is dropped: its request pipe hangs up.
    fn fail(&self, fault: Fault) -> Option<Wire> {
        let mut wire = self.link.close_wire()?;
        let ahead = wire.ahead.take_all().map(|ahead| ahead.cell);
        let rest = wire.returned.drain(..).chain(wire.revoked.drain(..));
        let taken = ahead.chain(rest).map(|cell| {
            let started = has_started(&cell);
            (cell, started)
        });
        let taken = taken.collect();
        self.host.fail(fault, taken);
        Some(wire)
    }

    fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, |child| child.pid)
    }

    /// Waits for the child's end. One whose link is gone would never hear of us again.
    fn reap(&mut self, if_it_lives: IfItLives) -> Option<i32> {
        let child = self.child.take()?;
        let reaped = child.reap((if_it_lives == IfItLives::Kill).then_some(GRACE));
        // Who reads in this thread's place has let go of it, since the child has ended.
        self.link.close_intake();
        self.link.forget_process();
        reaped.unwrap_or_else(|error| {
            let name = &self.host.name;
            log::error!(target: "futures_actors", "actor {name}: cannot reap its child: {error}");
            None
        })
    }
}

/// What to do when a child is no more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    /// Serve the next.
    Serve,
    End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum IfItLives {
    Wait,
    Kill,
}

fn has_started(cell: &ActorCell) -> Started {
    if cell.phase() == cell::Phase::Running {
        Started::Yes
    } else {
        Started::No
    }
}
