//! The process actor, in the parent: what starts a child, and the I/O thread that serves its link.
//!
//! The I/O thread touches Python only to run callbacks and to reap the child.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};
use rustix::event::PollFlags;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;

use super::error::{Fault, Started};
use super::executor::ExecutorCore;
use super::host::Host;
use super::link::{Event, Line, Link, Over, Phase, Process};
use super::message::ActorCell;
use super::options::Options;
use super::{imports, lifecycle, pickle};
use crate::engine::arena::Arena;
use crate::engine::cell;
use crate::engine::frame::{Kind, encode};
use crate::engine::link::{Broken, Fill, Reader, Writer};
use crate::engine::mailbox::Mailbox;
use crate::engine::shared::Shared;
use crate::engine::sys::{self, Bell, Interest};
use crate::engine::trace::Traces;

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

/// The core of a `ProcessActorExecutor`.
#[pyclass(extends = ExecutorCore, subclass, frozen, module = "futures_actors._core")]
pub(super) struct ProcessExecutorCore;

#[pymethods]
impl ProcessExecutorCore {
    #[new]
    #[pyo3(signature = (actor, /, *args, **kwargs))]
    fn new(
        actor: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let py = actor.py();
        let options = Options::of(actor)?;
        let name = options.name.clone();
        let what = format!("class or constructor arguments of actor {name}");
        let start = (&options.class, args, kwargs).into_pyobject(py)?;
        let start = pickle::dumps(start.as_any(), &what)?;
        // Apart, since unpickling the class may run code that reads `sys.argv`.
        let sys_argv = py.import("sys")?.getattr("argv")?;
        let levels = imports::log_levels(py)?.call0()?;
        let authkey = imports::authkey(py)?.call0()?;
        let start = (&name, (sys_argv, levels, authkey), start).into_pyobject(py)?;
        let start = pickle::dumps(start.as_any(), "sys.argv")?;
        let bell = Arc::new(Bell::new().map_err(std::io::Error::from)?);
        let (child, ends) = start_child(py, &start, &options)?;

        let (mailbox, tally) = (Mailbox::new(options.mailbox_size), Arc::default());
        let mailbox = Arc::new(mailbox);
        let ended = ends.process.watch.clone();
        let answers = ends.reader.fd();
        let link = Link::new(
            name,
            Arc::clone(&mailbox),
            Arc::clone(&tally),
            Arc::clone(&bell),
            ends,
        );
        let link = Arc::new(link);
        let transport = Box::new(Arc::clone(&link));
        let host = Arc::new(Host::new(&options, mailbox, tally, transport));
        let object = child.object.clone_ref(py);
        let started = host.start(move |host| {
            let side = Side {
                host,
                link,
                bell,
                answers,
                ended,
                child,
                streak: 0,
                idle: 0,
                last: 0,
                look_at: None,
            };
            side.serve();
        });
        if let Err(error) = started {
            // The ends of the pipes are closed with it, by which the child ends.
            drop(host);
            object.call_method1(py, intern!(py, "reap"), (true,))?;
            return Err(error);
        }
        Ok(PyClassInitializer::from(ExecutorCore { host }).add_subclass(Self))
    }
}

/// A child as `_spawn` gives it.
struct Child {
    object: Py<PyAny>,
    pid: u32,
}

fn start_child(
    py: Python<'_>,
    start: &Bound<'_, PyBytes>,
    options: &Options<'_>,
) -> PyResult<(Child, Line)> {
    let io = |error: Errno| std::io::Error::from(error);
    let (request_read, request_write) = sys::pipe().map_err(io)?;
    let (answer_read, answer_write) = sys::pipe().map_err(io)?;
    let (shared, file) = Shared::create().map_err(io)?;
    let (shared, file) = (Arc::new(shared), Arc::new(file));
    let arena = Arena::create(
        Arc::clone(&shared),
        Arc::clone(&file),
        options.shared_memory,
    );
    let arena = Arc::new(arena);
    lifecycle::register_arena(&arena);
    sys::set_nonblocking(&request_write).map_err(io)?;
    sys::set_nonblocking(&answer_read).map_err(io)?;
    let mut writer = Writer::new(request_write);
    writer.push(encode(Kind::Start, 0, start.as_bytes()));
    // The child finds it there; what the pipe does not take, the I/O thread writes.
    _ = writer.flush().map_err(io)?;
    let theirs = [&request_read, &answer_write, &*file].map(AsRawFd::as_raw_fd);
    let start_method = options.start_method.as_deref();
    let object = imports::start_child(py)?.call1((theirs.to_vec(), start_method))?;
    let pid = object.getattr(intern!(py, "pid"))?.extract()?;
    let object = object.unbind();
    let reader = Reader::new(answer_read);
    let watch = i32::try_from(pid).ok().and_then(sys::watch_process);
    let process = Process {
        pid,
        watch: watch.map(Arc::new),
    };
    // Without a descriptor for them it does without them: the child has been started.
    let traces = process.watch.clone();
    let traces = traces.and_then(|process| Traces::new(file, process).ok());
    let line = Line {
        reader,
        writer,
        shared,
        arena,
        traces,
        process,
    };
    Ok((Child { object, pid }, line))
}

/// The I/O thread's side of an actor.
struct Side<'a> {
    host: &'a Arc<Host>,
    link: Arc<Link>,
    bell: Arc<Bell>,
    answers: Arc<OwnedFd>,
    /// Readable once the child has ended.
    ended: Option<Arc<OwnedFd>>,
    child: Child,
    /// Answers in a row after which the reading could have been left to who waited.
    streak: u32,
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
        self.link.refill();
        let mut next = Next::Wait;
        let over = loop {
            let mut events = Vec::new();
            let turned = self.turn(next, &mut events);
            self.settle(events);
            match turned {
                Ok(then) => next = then,
                Err(over) => break over,
            }
        };
        let link = Arc::clone(&self.link);
        self.end(over);
        link.close_logs();
    }

    /// Waits for something to do and does it.
    fn turn(&mut self, next: Next, events: &mut Vec<Event>) -> Result<Next, Over> {
        let look = self.look();
        let by_waiter = self.link.is_by_waiter();
        let unsent = self.link.unsent();
        let reads = !by_waiter && next == Next::Wait;
        let interests = [
            reads.then(|| interest(self.answers.as_fd(), PollFlags::IN)),
            self.ended
                .as_deref()
                .map(|fd| interest(fd.as_fd(), PollFlags::IN)),
            unsent
                .as_deref()
                .map(|fd| interest(fd.as_fd(), PollFlags::OUT)),
            (next == Next::Wait).then(|| interest((*self.bell).as_fd(), PollFlags::IN)),
        ];
        let timeout = match next {
            Next::Pause => Some(PAUSE),
            Next::Wait => by_waiter.then_some(TICK),
        };
        let timeout = timeout.into_iter().chain(look).min();
        let polled = sys::retry(|| sys::poll(interests, timeout));
        let [answers, ended, room, bell] = polled.map_err(Broken::Io)?;
        if room.contains(PollFlags::ERR) {
            self.link.hang_up();
        }
        if !bell.is_empty() || !room.is_empty() {
            self.link.refill();
        }
        if by_waiter {
            self.tick();
        }
        if !ended.is_empty() {
            self.link.set_by_waiter(false);
        }
        if answers.is_empty() && ended.is_empty() && bell.is_empty() && next == Next::Wait {
            return Ok(Next::Wait);
        }
        let Some(mut intake) = self.link.try_intake() else {
            // Who has it hears the bell too, which is left to ring until it lets go.
            return Ok(Next::Pause);
        };
        if !bell.is_empty() {
            self.bell.quiet().map_err(Broken::Io)?;
        }
        // It is there until `end`.
        let intake = intake.as_mut().ok_or(Over::Ended)?;
        if let Some(over) = intake.take_over() {
            return Err(over);
        }
        if !answers.is_empty() && self.link.read(intake, events)? == Fill::End {
            return Err(Over::Ended);
        }
        if !ended.is_empty() {
            // What the child wrote before its end, whoever else holds the pipe.
            while matches!(self.link.read(intake, events)?, Fill::Some | Fill::Full) {}
            return Err(Over::Ended);
        }
        Ok(Next::Wait)
    }

    /// Gives shared memory back that has not been used for a while. Returns how long until there may
    /// be such again; while there are no blocks at all, never.
    fn look(&mut self) -> Option<Duration> {
        let arena = &self.link.arena;
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
        }
    }

    /// Reaps the child and fails what it leaves behind.
    fn end(self, over: Over) {
        self.link.set_by_waiter(false);
        let mut events = Vec::new();
        self.link.read_spilled(&mut events);
        self.link.settle(events);
        // Kept until the child is reaped: it ends at once when its request pipe hangs up.
        let Some(mut wire) = self.link.close_wire() else {
            return;
        };
        let ahead: Vec<_> = wire.ahead.take_all().map(|ahead| ahead.cell).collect();
        let revoked = std::mem::take(&mut wire.revoked);
        let force = self.host.force.get();
        let stopped = wire.phase == Phase::Stopping && ahead.is_empty() && force.is_none();
        let (host, pid) = (self.host, self.child.pid);
        let fail = |fault| {
            let taken = ahead.into_iter().chain(revoked).map(|cell| {
                let started = has_started(&cell);
                (cell, started)
            });
            host.fail(fault, taken.collect());
        };
        let broken = match over {
            Over::InitFailed(body) => {
                // Nobody need wait for what else the child has to do before it ends.
                fail(Fault::InitSent(Arc::new(body)));
                self.reap(IfItLives::Kill);
                return;
            }
            Over::Ended if stopped => {
                self.reap(IfItLives::Wait);
                return;
            }
            Over::Ended => None,
            Over::Broken(broken) => Some(broken),
        };
        let exitcode = self.reap(IfItLives::Kill);
        fail(Fault::Died {
            pid,
            exitcode,
            broken,
            force,
        });
    }

    /// Waits for the child's end. One whose link is gone would never hear of us again.
    fn reap(self, if_it_lives: IfItLives) -> Option<i32> {
        let child = self.child.object;
        let reaped = Python::attach(|py| {
            let kill = if_it_lives == IfItLives::Kill;
            let child = child.into_bound(py);
            child.call_method1(intern!(py, "reap"), (kill,))?.extract()
        });
        // Who reads in this thread's place has let go of it, since the child has ended.
        self.link.close_intake();
        self.link.forget_process();
        reaped.unwrap_or_else(|error: PyErr| {
            let name = &self.host.name;
            log::error!(target: "futures_actors", "actor {name}: cannot reap its child: {error}");
            None
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum IfItLives {
    Wait,
    Kill,
}

fn interest(fd: BorrowedFd<'_>, flags: PollFlags) -> Interest<'_> {
    Interest { fd, flags }
}

fn has_started(cell: &ActorCell) -> Started {
    if cell.phase() == cell::Phase::Running {
        Started::Yes
    } else {
        Started::No
    }
}
