//! The I/O thread of a process actor: it serves the link to the current child.
//!
//! It touches Python only to run callbacks, to log, and to start the next child. What it does when
//! the child is dead is in `restart.rs`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use super::inbound::{Event, Events, Over};
use super::link::Link;
use super::sending::SentBy;
use super::start::{Restarts, keep_interpreter};
use crate::engine::cell::Begin;
use crate::engine::convoy;
use crate::engine::ending::Child;
use crate::engine::ipc::pipe::{Broken, Fill};
use crate::engine::sys::{self, Bell, Handle, Interest, Ready};
use crate::py::codec::pickle::What;
use crate::py::future::{ActorCell, callbacks};
use crate::py::host::host::Host;
use crate::py::host::run::Serve;
use crate::py::interpreter::rest;
use crate::py::message::items::Items;
use crate::py::message::message::Message;

/// How often the I/O thread checks that a waiting thread reads, while it leaves the reading to those.
const READER_CHECK_INTERVAL: Duration = Duration::from_millis(5);
/// After this many checks without a new message it reads again itself, and then sleeps until
/// something happens.
const IDLE_CHECKS: u32 = 4;
/// How often it gives back shared memory that was not used since the last time.
const TRIM_INTERVAL: Duration = Duration::from_secs(5);
/// How long it waits before it tries again, while another thread is in the middle of a read.
const HANDOFF_POLL: Duration = Duration::from_millis(1);
/// After this many answers in a row for which a thread was waiting, with no other message in flight,
/// it leaves the reading to the waiting thread.
const ONE_BY_ONE_ANSWERS: u32 = 8;

/// The state of an actor's I/O thread.
pub(super) struct IoThread {
    pub(super) host: Arc<Host>,
    pub(super) link: Arc<Link>,
    pub(super) bell: Arc<Bell>,
    pub(super) answers: Arc<Handle>,
    /// Readable once the child has ended.
    pub(super) ended: Option<Arc<Handle>>,
    /// `None` after it has been reaped.
    pub(super) child: Option<Child>,
    /// `None` if a dead child is not replaced.
    pub(super) restarts: Option<Restarts>,
    /// Whether no child has died yet.
    pub(super) is_first: bool,
    /// How many answers in a row, or items of one stream, came while a thread waited for them and
    /// nothing else was in flight.
    pub(super) streak: u32,
    pub(super) convoy: convoy::Server,
    /// How many checks in a row have found no new message.
    pub(super) idle: u32,
    /// How many messages had been sent at the last check, and how often threads had read that wait.
    pub(super) last: u64,
    /// When to look for unused shared memory next. `None` if there is none at all.
    pub(super) trim_at: Option<Instant>,
    /// What it has read and has not settled yet.
    pub(super) events: Events,
}

/// What the next `IoThread::turn` must do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Wait,
    /// Wait briefly until another thread has finished its read.
    Handoff,
}

impl Serve for IoThread {
    fn serve(&mut self, _host: &Arc<Host>) {
        callbacks::trace_here();
        loop {
            let over = self.serve_child();
            if self.end(over) == Then::Stop {
                break;
            }
        }
        self.leave();
    }

    fn abandon(&mut self, _host: &Arc<Host>) {
        self.link.resume_reading_and_ring();
        self.events.extend(self.link.take_left().events);
        self.fail_by_panic();
        self.leave();
    }
}

impl IoThread {
    /// The last thing that this thread does, and the last that needs Python.
    fn leave(&mut self) {
        self.restarts = None;
        self.link.close_logs();
    }

    /// Serves the current child until nothing more can be read from it.
    fn serve_child(&mut self) -> Over {
        self.refill();
        let mut next = Next::Wait;
        let mut keeps = sys::KEEPS_INTERPRETER;
        loop {
            let turned = self.turn(next);
            let has_heard = !self.events.is_empty();
            self.settle();
            if keeps && has_heard {
                keeps = false;
                if let Some(child) = &self.child {
                    keep_interpreter(&self.link.region(), child.pid);
                }
            }
            match turned {
                Ok(then) => next = then,
                Err(over) => return over,
            }
        }
    }

    /// Waits for something to do and does it.
    fn turn(&mut self, next: Next) -> Result<Next, Over> {
        let trim = self.trim_memory();
        let waiter_reads = self.link.waiter_reads();
        let unsent = self.link.unsent();
        let reads = !waiter_reads && next == Next::Wait;
        let interests = [
            reads.then(|| Interest::Readable(&self.answers)),
            self.ended.as_deref().map(Interest::Readable),
            unsent.as_deref().map(Interest::Writable),
            (next == Next::Wait).then(|| self.bell.rung()),
        ];
        let timeout = match next {
            Next::Handoff => Some(HANDOFF_POLL),
            Next::Wait => waiter_reads.then_some(READER_CHECK_INTERVAL),
        };
        let convoy = self
            .link
            .convoy
            .is_served()
            .then_some(convoy::MAILBOX_INTERVAL);
        let timeout = timeout.into_iter().chain(convoy).chain(trim).min();
        self.link.is_io_thread_waiting.store(true, Ordering::SeqCst);
        rest::comes_to_rest();
        let polled = sys::retry(|| sys::poll(interests, timeout));
        self.link
            .is_io_thread_waiting
            .store(false, Ordering::SeqCst);
        let [answers, ended, room, bell] = polled.map_err(Broken::Io)?;
        if room == Ready::Broken {
            self.link.hang_up();
        }
        let serves = self.convoy.turn(&self.link.convoy, Instant::now);
        if serves || bell.is_ready() || room.is_ready() {
            self.refill();
        }
        if waiter_reads {
            self.check_reader();
        }
        if ended.is_ready() {
            self.link.set_waiter_reads(false);
        }
        if !answers.is_ready() && !ended.is_ready() && !bell.is_ready() && next == Next::Wait {
            return Ok(Next::Wait);
        }
        let Some(mut inbound) = self.link.try_inbound() else {
            // The thread that has it polls the bell too, so the bell is left ringing until that
            // thread has released it.
            if ended.is_ready() {
                self.bell.ring().map_err(Broken::Io)?;
            }
            return Ok(Next::Handoff);
        };
        if bell.is_ready() {
            self.bell.quiet().map_err(Broken::Io)?;
        }
        // Only `end` takes it away.
        let inbound = inbound.as_mut().ok_or(Over::Ended)?;
        let left = inbound.take_left();
        self.events.extend(left.events);
        if let Some(over) = left.over {
            return Err(over);
        }
        if answers.is_ready() && self.link.read(&mut inbound.reader, &mut self.events)? == Fill::Eof
        {
            return Err(Over::Ended);
        }
        if ended.is_ready() {
            // What the child wrote before its end. Another process may hold the pipe open, so there
            // may be no end-of-file.
            while matches!(
                self.link.read(&mut inbound.reader, &mut self.events)?,
                Fill::Some | Fill::Full
            ) {}
            return Err(Over::Ended);
        }
        Ok(Next::Wait)
    }

    /// Fills the window. Copies the blocks of messages that were packed for another child, or for
    /// none, into the arena of this one.
    fn refill(&self) {
        while let Some(cell) = self.link.pump(usize::MAX, SentBy::IoThread) {
            let Some(Some(mut packed)) = cell.message(Message::share_packed) else {
                continue;
            };
            let name = &self.host.name;
            match packed.for_child(&self.link.arena(), &What::Message(name)) {
                // The old one is dropped without the cell's lock. If the message was cancelled
                // meanwhile, so is the new one.
                Ok(copied) => drop(cell.message(|message| message.replace_packed(copied))),
                Err(error) => self.fail_one(&cell, error),
            }
        }
    }

    /// Fails a message that cannot be sent.
    fn fail_one(&self, cell: &Arc<ActorCell>, error: PyErr) {
        if let Begin::Message(message) = cell.begin() {
            let wants = message.wants();
            drop(message);
            Python::attach(|py| self.host.finish(py, cell, &wants, Err(error)));
        }
    }

    /// Gives back shared memory that was not used for a while. Returns when to look again, as a
    /// time from now; `None` if there are no blocks at all.
    fn trim_memory(&mut self) -> Option<Duration> {
        let arena = self.link.arena();
        if self.trim_at.is_some_and(|at| Instant::now() >= at) {
            self.trim_at = None;
            arena.age();
        }
        if !arena.has_memory() {
            self.trim_at = None;
            return None;
        }
        let at = *self
            .trim_at
            .get_or_insert_with(|| Instant::now() + TRIM_INTERVAL);
        Some(at.saturating_duration_since(Instant::now()))
    }

    /// While the reading is left to waiting threads: reads again itself if none of them reads.
    fn check_reader(&mut self) {
        let progress = self.link.sent() + self.link.reads_by_waiters.load(Ordering::Relaxed);
        let is_same = progress == self.last;
        let unread =
            is_same && self.link.messages_in_flight() > 0 && self.link.try_inbound().is_some();
        self.idle = if is_same { self.idle + 1 } else { 0 };
        self.last = progress;
        if unread || self.idle >= IDLE_CHECKS {
            self.link.set_waiter_reads(false);
        }
    }

    fn settle(&mut self) {
        let is_item = |event: &Event| matches!(event, Event::Item(_));
        if self.events.is_empty() {
            return;
        }
        if self.events.iter().all(is_item) {
            let awaited = self.link.settle(&mut self.events);
            self.count_items(awaited);
        } else {
            self.count_streak();
            self.link.settle(&mut self.events);
        }
    }

    /// Items have come, and are in their queues. If a thread waited for one, it may read the next itself.
    ///
    /// Only after they have entered the queues: a thread that reads must find there what was read before.
    fn count_items(&mut self, awaited: Option<Arc<Items>>) {
        let Some(items) = awaited else {
            return;
        };
        self.streak = if self.has_one_message() {
            self.streak + 1
        } else {
            0
        };
        if self.streak >= ONE_BY_ONE_ANSWERS {
            self.leave_reading();
            // A thread may already wait without reading.
            if items.is_awaited() || !self.has_one_message() {
                self.link.set_waiter_reads(false);
            }
        }
    }

    /// Whether the child has one message, and nothing to ask about other actors: that must not wait for a
    /// taker that is busy.
    fn has_one_message(&self) -> bool {
        self.link.messages_in_flight() == 1 && !self.link.has_asked.load(Ordering::Relaxed)
    }

    /// From now on a waiting thread reads.
    fn leave_reading(&mut self) {
        self.streak = 0;
        self.idle = 0;
        self.link.set_waiter_reads(true);
    }

    fn count_streak(&mut self) {
        let one_by_one = match &*self.events.make_contiguous() {
            [Event::Ended(cell, ..)] => {
                cell.done().is_awaited() && self.link.messages_in_flight() == 0
            }
            _ => false,
        };
        self.streak = if one_by_one { self.streak + 1 } else { 0 };
        if self.streak >= ONE_BY_ONE_ANSWERS {
            self.leave_reading();
            // A thread that has sent one in the meantime may already wait without reading.
            if self.link.messages_in_flight() > 0 {
                self.link.set_waiter_reads(false);
            }
        }
    }
}

/// What to do after a child has ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// Serve the next child.
    Serve,
    Stop,
}
