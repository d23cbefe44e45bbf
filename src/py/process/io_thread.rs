//! The I/O thread of a process actor: it serves the link to the child that there is.
//!
//! It touches Python only to run callbacks, to log, and to start a child again. What it does when the
//! child is dead is in `restart`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::inbound::{Event, Over};
use super::link::Link;
use super::start::Restarts;
use crate::engine::convoy;
use crate::engine::ending::Child;
use crate::engine::ipc::pipe::{Broken, Fill};
use crate::engine::sys::{self, Bell, Handle, Interest, Ready};
use crate::py::host::host::Host;

/// How often the I/O thread looks whether somebody reads, while it leaves that to who waits.
const READER_CHECK_INTERVAL: Duration = Duration::from_millis(5);
/// After so many ticks without a message it reads again itself, and then sleeps without end.
const IDLE_CHECKS: u32 = 4;
/// How often it looks for shared memory that nobody has used since the last time.
const TRIM_INTERVAL: Duration = Duration::from_secs(5);
/// How long it lets another thread finish a read.
const HANDOFF_POLL: Duration = Duration::from_millis(1);
/// After so many answers in a row that somebody waited for, with no other message ahead, it leaves
/// the reading to who waits.
const ONE_BY_ONE_ANSWERS: u32 = 8;

/// The I/O thread's side of an actor.
pub(super) struct IoThread<'a> {
    pub(super) host: &'a Arc<Host>,
    pub(super) link: Arc<Link>,
    pub(super) bell: Arc<Bell>,
    pub(super) answers: Arc<Handle>,
    /// Readable once the child has ended.
    pub(super) ended: Option<Arc<Handle>>,
    /// `None` once it has been reaped.
    pub(super) child: Option<Child>,
    /// `None`: a death is the end.
    pub(super) restarts: Option<Restarts>,
    /// Whether no child has died yet.
    pub(super) is_first: bool,
    /// Answers in a row after which the reading could have been left to who waited.
    pub(super) streak: u32,
    pub(super) convoy: convoy::Server,
    /// Ticks in a row without a message.
    pub(super) idle: u32,
    /// How many messages there had been at the last tick.
    pub(super) last: u64,
    /// When to look for unused memory next, if there is any memory.
    pub(super) trim_at: Option<Instant>,
}

/// What `IoThread::turn` found out for the next one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Wait,
    /// Another thread reads at this moment.
    Handoff,
}

impl IoThread<'_> {
    pub(super) fn serve(mut self) {
        loop {
            let over = self.serve_child();
            if self.end(over) == Then::Stop {
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
        let polled = sys::retry(|| sys::poll(interests, timeout));
        let [answers, ended, room, bell] = polled.map_err(Broken::Io)?;
        if room == Ready::Broken {
            self.link.hang_up();
        }
        let serves = self.convoy.turn(&self.link.convoy, Instant::now);
        if serves || bell.is_ready() || room.is_ready() {
            self.link.refill();
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
            // Who has it hears the bell too, which is left to ring until it lets go.
            if ended.is_ready() {
                self.bell.ring().map_err(Broken::Io)?;
            }
            return Ok(Next::Handoff);
        };
        if bell.is_ready() {
            self.bell.quiet().map_err(Broken::Io)?;
        }
        // It is there until `end`.
        let inbound = inbound.as_mut().ok_or(Over::Ended)?;
        let left = inbound.take_left();
        events.extend(left.events);
        if let Some(over) = left.over {
            return Err(over);
        }
        if answers.is_ready() && self.link.read(inbound, events)? == Fill::Eof {
            return Err(Over::Ended);
        }
        if ended.is_ready() {
            // What the child wrote before its end, whoever else holds the pipe.
            while matches!(self.link.read(inbound, events)?, Fill::Some | Fill::Full) {}
            return Err(Over::Ended);
        }
        Ok(Next::Wait)
    }

    /// Gives shared memory back that has not been used for a while. Returns how long until there may
    /// be such again; while there are no blocks at all, never.
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

    /// While the reading is left to who waits: takes it back if nobody does.
    fn check_reader(&mut self) {
        let sent = self.link.sent();
        let unread = self.link.messages_in_flight() > 0 && self.link.try_inbound().is_some();
        self.idle = if sent == self.last { self.idle + 1 } else { 0 };
        self.last = sent;
        if unread || self.idle >= IDLE_CHECKS {
            self.link.set_waiter_reads(false);
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
            [Event::Ended(cell, ..)] => {
                cell.done().is_awaited() && self.link.messages_in_flight() == 0
            }
            _ => false,
        };
        self.streak = if one_by_one { self.streak + 1 } else { 0 };
        if self.streak >= ONE_BY_ONE_ANSWERS {
            self.streak = 0;
            self.idle = 0;
            self.link.set_waiter_reads(true);
            // Who has sent one meanwhile may wait without reading.
            if self.link.messages_in_flight() > 0 {
                self.link.set_waiter_reads(false);
            }
        }
    }
}

/// What to do when a child is no more.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// Serve the next.
    Serve,
    Stop,
}
