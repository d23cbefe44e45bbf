//! The link to a child: frames go out, and answers come in and end their messages.
//!
//! Messages go ahead to the child, as many as the window has room for; who gets one of those, a
//! `cancel()` here or `handle` there, is decided by its claim. Two locks, each held detached and
//! for non-blocking calls: `wire`, to send, and `intake`, to read. Order: intake, then wire. Python
//! is called, and messages are ended, holding neither.
//!
//! Answers are read by the I/O thread, unless messages and answers go to and fro one by one: then
//! the thread that waits in `result()` reads, which saves a hop. See [`Link::read_for`].

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pyo3::exceptions::PyNotImplementedError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use rustix::event::PollFlags;
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;

use super::error::Sealed;
use super::future;
use super::host::{Dump, Transport};
use super::logs::Logs;
use super::message::{ActorCell, Message, Outcome};
use super::packet::{self, Giver, Packet};
use super::permit::Permit;
use super::pickle::What;
use super::stats::{End, Progress, Tally};
use super::stop::{Force, Signalled};
use super::wire::{Ahead, Out, Phase, Wire};
use super::{lifecycle, wait};
use crate::engine::arena::Arena;
use crate::engine::cell;
use crate::engine::crowd::Crowd;
use crate::engine::frame::{Frame, Kind};
use crate::engine::link::{Broken, Fill, Flush, Reader, Writer};
use crate::engine::mailbox::Mailbox;
use crate::engine::shared::Shared;
use crate::engine::sys::{self, Bell, Interest, Signal};
use crate::engine::trace::{Trace, Traces};
use crate::engine::window::WINDOW_MESSAGES;

/// With so many ahead, who posts leaves the writing to the I/O thread, which fills the window with
/// few writes as answers come in: a child that has so much to do does not wait for more.
const AHEAD_BY_POSTING: usize = 16;

/// The receiving side.
pub(super) struct Intake {
    reader: Reader,
    /// Why there is nothing more to read, found by a thread that is not the I/O thread.
    over: Option<Over>,
}

/// Why nothing more is read.
pub(super) enum Over {
    /// The stream or the process has ended.
    Ended,
    InitFailed(Vec<u8>),
    Broken(Broken),
}

impl From<Broken> for Over {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

/// This process's ends of what it shares with a child, and that.
pub(super) struct Line {
    pub(super) reader: Reader,
    pub(super) writer: Writer,
    pub(super) shared: Arc<Shared>,
    pub(super) arena: Arc<Arena>,
    pub(super) traces: Option<Traces>,
    pub(super) process: Process,
}

/// The child, as long as it can get signals.
pub(super) struct Process {
    pub(super) pid: u32,
    /// Readable once it has ended; `None` where the system has no such descriptor.
    pub(super) watch: Option<Arc<OwnedFd>>,
}

/// What a frame has told. Holds what is dropped without a lock.
pub(super) enum Event {
    /// The message has left the child with an outcome; its place is another's.
    Ended(Arc<ActorCell>, Sealed, Option<Permit>),
    /// It has left the child, which did not begin it.
    Skipped(Arc<ActorCell>),
    /// It has begun; its place is another's.
    Begun(Option<Permit>),
    /// These were told, and have been handled.
    Done(Vec<Arc<ActorCell>>),
}

/// Ends messages and runs their callbacks.
fn settle_all(events: Vec<Event>, tally: &Tally) {
    for event in events {
        match event {
            Event::Ended(cell, outcome, permit) => {
                // First, so that who hears of the end finds room, and it counted.
                drop(permit);
                tally.end(match outcome {
                    Sealed::Answer(_) => End::Handled,
                    Sealed::Error(_) | Sealed::Fault(_) => End::Failed,
                });
                future::settle(&cell, Outcome::Sealed(outcome));
            }
            Event::Skipped(cell) => drop(cell),
            Event::Begun(permit) => drop(permit),
            Event::Done(cells) => {
                for cell in cells {
                    tally.end(End::Handled);
                    future::settle(&cell, Outcome::Nothing);
                }
            }
        }
    }
}

/// How it went to read in the place of the I/O thread.
enum Turn {
    Read,
    /// There may be a signal to see to, or the time is over.
    Look,
    /// The answer is another thread's to read, or has been read.
    Leave,
}

/// Who sends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Poster,
    Reader,
}

pub(super) struct Link {
    name: String,
    pub(super) mailbox: Arc<Mailbox<Arc<ActorCell>>>,
    tally: Arc<Tally>,
    /// Whether messages are kept until they are answered, for the next child should this one die.
    pub(super) keeps: bool,
    /// With the child that is there, or was the last.
    shared: Mutex<Arc<Shared>>,
    /// On how many told messages earlier children have failed.
    failed_before: AtomicU64,
    is_restarting: AtomicBool,
    /// As `shared`.
    arena: Mutex<Arc<Arena>>,
    /// `None` once the child has been reaped.
    process: Mutex<Option<Process>>,
    /// How many are ahead. Stored under the wire's lock, and after an answer before the mailbox
    /// is looked into for the next: so who has put a message there and then reads
    /// `AHEAD_BY_POSTING` or more here knows that it will be found.
    ahead_messages: AtomicUsize,
    /// `None` once the child is gone, as is `intake`: descriptors do not outlive it.
    wire: Mutex<Option<Wire>>,
    intake: Mutex<Option<Intake>>,
    /// The I/O thread leaves the answers to who waits for them. It alone sets this; anybody who
    /// is to hear of an answer without waiting takes it back (`attend`), and where nobody does,
    /// the I/O thread's next tick.
    by_waiter: AtomicBool,
    pub(super) crowd: Crowd,
    logs: Logs,
    /// `None` once the child is gone.
    traces: Mutex<Option<Traces>>,
    has_traces: bool,
    pub(super) generation: u32,
}

impl Link {
    pub(super) fn new(
        name: String,
        mailbox: Arc<Mailbox<Arc<ActorCell>>>,
        tally: Arc<Tally>,
        bell: Arc<Bell>,
        keeps: bool,
        line: Line,
    ) -> Self {
        let intake = Intake::new(line.reader);
        let wire = Wire::new(Out::new(line.writer, &line.shared), bell);
        Self {
            logs: Logs::new(name.clone()),
            has_traces: line.traces.is_some(),
            traces: Mutex::new(line.traces),
            generation: lifecycle::generation(),
            name,
            mailbox,
            tally,
            keeps,
            shared: Mutex::new(line.shared),
            failed_before: AtomicU64::new(0),
            is_restarting: AtomicBool::new(false),
            process: Mutex::new(Some(line.process)),
            arena: Mutex::new(line.arena),
            ahead_messages: AtomicUsize::new(0),
            wire: Mutex::new(Some(wire)),
            intake: Mutex::new(Some(intake)),
            by_waiter: AtomicBool::new(false),
            crowd: Crowd::default(),
        }
    }

    /// The child is dead and reaped. What it had and has not begun goes to the next one; what is
    /// returned had begun.
    pub(super) fn disconnect(&self) -> Vec<Arc<ActorCell>> {
        self.is_restarting.store(true, Ordering::SeqCst);
        let failed = self.shared().failed().load(Ordering::Relaxed);
        self.failed_before.fetch_add(failed, Ordering::Relaxed);
        let mut wire = self.wire();
        let Some(wire) = wire.as_mut() else {
            return Vec::new();
        };
        wire.out = None;
        wire.phase = Phase::Open;
        let (mut begun, mut back) = (Vec::new(), VecDeque::new());
        for Ahead { cell, .. } in wire.ahead.take_all() {
            match cell.exchange(Message::take_back) {
                Some(true) => back.push_back(cell),
                Some(false) if cell.phase() == cell::Phase::Running => begun.push(cell),
                Some(false) => wire.revoked.push(cell),
                // It was cancelled.
                None => {}
            }
        }
        back.append(&mut wire.returned);
        wire.returned = back;
        self.ahead_messages.store(0, Ordering::SeqCst);
        begun
    }

    /// There is a new child.
    pub(super) fn reconnect(&self, line: Line) {
        let shared = line.shared;
        // First, so that whatever is sent is answered to somebody.
        *self.intake.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Intake::new(line.reader));
        *self.traces() = line.traces;
        *self.arena.lock().unwrap_or_else(PoisonError::into_inner) = line.arena;
        *self.shared.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&shared);
        *self.process() = Some(line.process);
        let mut wire = self.wire();
        if let Some(wire) = wire.as_mut() {
            let has_waiters = self.mailbox.room().is_some_and(|room| room.has_waiters());
            shared.set_curious(has_waiters);
            wire.out = Some(Out::new(line.writer, &shared));
            wire.phase = Phase::Open;
        }
        self.is_restarting.store(false, Ordering::SeqCst);
    }

    /// Whether the child was told that there is no more, and has answered everything.
    pub(super) fn has_stopped(&self) -> bool {
        let wire = self.wire();
        let wire = wire.as_ref();
        wire.is_some_and(|wire| wire.phase == Phase::Stopping && wire.ahead.is_empty())
    }

    /// Whether nothing waits to be handled, and nothing will come.
    pub(super) fn is_drained(&self) -> bool {
        let wire = self.wire();
        let mut returned = wire.iter().flat_map(|wire| &wire.returned);
        self.mailbox.is_closed()
            && self.mailbox.is_empty()
            && returned.all(|cell| cell.phase().is_done())
    }

    pub(super) fn arena(&self) -> Arc<Arena> {
        Arc::clone(&self.arena.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn wire(&self) -> MutexGuard<'_, Option<Wire>> {
        self.wire.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The receiving side, unless another thread has it.
    pub(super) fn try_intake(&self) -> Option<MutexGuard<'_, Option<Intake>>> {
        self.intake.try_lock().ok()
    }

    /// Takes the sending side away; its descriptor is closed with it.
    pub(super) fn close_wire(&self) -> Option<Wire> {
        self.wire().take()
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The child has been reaped: its number may be another's from now on.
    pub(super) fn forget_process(&self) {
        drop(self.process().take());
    }

    /// Has the child begin none of the messages that it has, nor get any more. They stay pending.
    /// What is returned is to be dropped without a lock.
    fn revoke_all(&self) -> Vec<Message> {
        let mut wire = self.wire();
        let Some(wire) = wire.as_mut() else {
            return Vec::new();
        };
        // The latest first, so that none begins because an earlier one is gone.
        let cells = wire.ahead.iter().rev();
        let revoked = cells.filter_map(|ahead| ahead.cell.revoke(Message::Revoked));
        let revoked: Vec<Message> = revoked.collect();
        // Nothing is sent from now on.
        wire.phase = Phase::Stopping;
        revoked
    }

    /// Takes the receiving side away. Blocks while another thread reads.
    pub(super) fn close_intake(&self) {
        let mut intake = self.intake.lock().unwrap_or_else(PoisonError::into_inner);
        drop(intake.take());
        self.arena().close();
        drop(self.traces().take());
    }

    fn traces(&self) -> MutexGuard<'_, Option<Traces>> {
        self.traces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn ahead_messages(&self) -> usize {
        self.ahead_messages.load(Ordering::SeqCst)
    }

    /// How many messages have been sent so far.
    pub(super) fn sent(&self) -> u64 {
        self.wire()
            .as_ref()
            .map_or(0, |wire| wire.ahead.next_sequence())
    }

    pub(super) fn is_by_waiter(&self) -> bool {
        self.by_waiter.load(Ordering::SeqCst)
    }

    pub(super) fn set_by_waiter(&self, by_waiter: bool) {
        self.by_waiter.store(by_waiter, Ordering::SeqCst);
    }

    /// The descriptor to write to, while there is something that the pipe did not take.
    pub(super) fn unsent(&self) -> Option<Arc<OwnedFd>> {
        let wire = self.wire();
        let wire = wire.as_ref()?;
        let out = wire.out.as_ref()?;
        (!out.writer.is_empty() && !out.has_hung_up).then(|| out.writer.fd())
    }

    /// The child has closed its end: nothing is written any more. The I/O thread will see its end.
    pub(super) fn hang_up(&self) {
        if let Some(wire) = self.wire().as_mut()
            && let Some(out) = &mut wire.out
        {
            out.has_hung_up = true;
        }
    }

    /// Sends from the mailbox while fewer than `limit` are ahead. Of what the pipe does not take,
    /// a poster tells the I/O thread.
    fn pump(self: &Arc<Self>, limit: usize, who: Who) {
        let mut wire = self.wire();
        let Some(wire) = wire.as_mut() else { return };
        let flushed = wire.pump(self, limit);
        self.ahead_messages
            .store(wire.ahead.len(), Ordering::SeqCst);
        if flushed == Flush::Blocked && who == Who::Poster {
            self.ring(wire);
        }
    }

    /// As `pump`, for who has just read, or has seen room in the pipe.
    pub(super) fn refill(self: &Arc<Self>) {
        self.pump(WINDOW_MESSAGES, Who::Reader);
    }

    /// The bell, if the answer to message `sequence` has not been read. For who has the intake,
    /// without which nobody reads it.
    fn bell_while_ahead(&self, sequence: u64) -> Option<Arc<Bell>> {
        let wire = self.wire();
        let wire = wire.as_ref()?;
        let is_ahead = wire.ahead.contains(sequence);
        is_ahead.then(|| Arc::clone(&wire.bell))
    }

    fn ring(&self, wire: &Wire) {
        if let Err(error) = wire.bell.ring() {
            log::error!(target: "futures_actors", "actor {}: cannot wake its thread: {error}", self.name);
        }
    }

    /// Has the I/O thread look into the mailbox by itself for a while.
    fn serve_crowd(&self) {
        if let Some(wire) = self.wire().as_ref() {
            self.crowd.serve();
            self.ring(wire);
        }
    }

    /// Has the I/O thread read from now on.
    fn give_back(&self) {
        if self.by_waiter.swap(false, Ordering::SeqCst)
            && let Some(wire) = self.wire().as_ref()
        {
            self.ring(wire);
        }
    }

    /// Somebody is to hear of an answer without waiting for it.
    pub(super) fn attend(&self, py: Python<'_>) {
        if self.is_by_waiter() {
            py.detach(|| self.give_back());
        }
    }

    /// Takes in what one read gives; what it tells is the caller's to settle.
    pub(super) fn read(
        self: &Arc<Self>,
        intake: &mut Intake,
        events: &mut Vec<Event>,
    ) -> Result<Fill, Over> {
        let fill = intake.reader.fill()?;
        let before = events.len();
        while let Some(frame) = intake.reader.next_frame()? {
            if frame.kind == Kind::Log {
                self.logs.take(frame.body);
            } else {
                self.receive(frame, events)?;
            }
        }
        if events.len() > before {
            // There is room: the child gets its next messages before callbacks of these run.
            self.refill();
        }
        Ok(fill)
    }

    /// Reads in the place of the I/O thread until `cell` is done, which was sent as `sequence`, if
    /// that leaves it to who waits. Otherwise, or if something else is to be seen to, returns early:
    /// the latch is to be waited for. An error is what a signal's handler raised, or a callback that
    /// it ran.
    pub(super) fn read_for(
        self: &Arc<Self>,
        py: Python<'_>,
        cell: &ActorCell,
        sequence: u64,
        deadline: Option<Instant>,
    ) -> PyResult<()> {
        while self.is_by_waiter() && !cell.done().is_set() {
            let until = wait::until(deadline);
            let turn = wait::raising(|| Ok(py.detach(|| self.read_once(sequence, until))))?;
            match turn {
                Turn::Read => {}
                Turn::Look => {
                    py.check_signals()?;
                    if deadline.is_some_and(|at| Instant::now() >= at) {
                        break;
                    }
                }
                Turn::Leave => break,
            }
        }
        Ok(())
    }

    /// Waits for answers, and ends their messages.
    fn read_once(self: &Arc<Self>, sequence: u64, until: Option<Instant>) -> Turn {
        let mut events = Vec::new();
        let turn = self.read_as_waiter(sequence, until, &mut events);
        // Without the lock: callbacks may run.
        self.settle(events);
        turn
    }

    /// Ends messages, once the records that came with their answers are handled. Detached, and
    /// without a lock.
    pub(super) fn settle(&self, events: Vec<Event>) {
        self.logs.wait();
        settle_all(events, &self.tally);
    }

    /// There are no more records to come.
    pub(super) fn close_logs(&self) {
        self.logs.close();
    }

    fn read_as_waiter(
        self: &Arc<Self>,
        sequence: u64,
        until: Option<Instant>,
        events: &mut Vec<Event>,
    ) -> Turn {
        let mut intake = self.try_intake();
        let Some(intake) = intake.as_mut().and_then(|intake| intake.as_mut()) else {
            // Two wait: the I/O thread serves both.
            self.give_back();
            return Turn::Leave;
        };
        // Another may have read this answer, and be about to end its message. Then nothing need
        // come here any more.
        let Some(bell) = self.bell_while_ahead(sequence) else {
            return Turn::Leave;
        };
        let fd = intake.reader.fd();
        let read = |fd| Interest {
            fd,
            flags: PollFlags::IN,
        };
        let interests = [
            Some(read(fd.as_fd())),
            // Rung when this is to be the I/O thread's business again: so when the child has ended.
            Some(read((*bell).as_fd())),
        ];
        let timeout = until.map(|until| until.saturating_duration_since(Instant::now()));
        match sys::poll(interests, timeout) {
            Ok(ready) if ready.iter().all(PollFlags::is_empty) => Turn::Look,
            Ok([answers, _]) if !answers.is_empty() => {
                match self.read(intake, events) {
                    Ok(Fill::End) => self.give_back(),
                    Ok(_) => {}
                    Err(over) => {
                        intake.over = Some(over);
                        self.give_back();
                    }
                }
                Turn::Read
            }
            Err(Errno::INTR) => Turn::Look,
            Ok(_) | Err(_) => {
                self.give_back();
                Turn::Leave
            }
        }
    }

    /// Takes in a frame, which tells that messages have left the child, or that one has begun.
    fn receive(&self, frame: Frame, events: &mut Vec<Event>) -> Result<(), Over> {
        let (body, sequence) = (frame.body, frame.sequence);
        let outcome = match frame.kind {
            Kind::Error if sequence == 0 => return Err(Over::InitFailed(body)),
            Kind::Answer => {
                let packet = Packet::receive(&self.arena(), body).map_err(Broken::Frame)?;
                Some(Sealed::Answer(Arc::new(packet)))
            }
            Kind::Error => Some(Sealed::Error(Arc::new(body))),
            _ => None,
        };
        let mut wire = self.wire();
        // It is there until the I/O thread takes it, after the last read.
        let wire = wire.as_mut().ok_or(Over::Ended)?;
        let reached = sequence + u64::from(frame.kind == Kind::Done);
        let passed = wire.pass_told(reached);
        if !passed.is_empty() {
            events.push(Event::Done(passed));
        }
        let event = match (frame.kind, outcome) {
            (_, Some(outcome)) => Some(self.receive_end(wire, sequence, outcome)?),
            (Kind::Done, _) => None,
            (Kind::Begun, _) => Some(self.receive_begun(wire, sequence)?),
            (Kind::Skipped, _) => {
                let cell = wire.ahead.leave(sequence)?.cell;
                if !cell.phase().is_done() {
                    wire.revoked.push(Arc::clone(&cell));
                }
                Some(Event::Skipped(cell))
            }
            (kind, _) => return Err(Broken::Unexpected(kind).into()),
        };
        self.ahead_messages
            .store(wire.ahead.len(), Ordering::SeqCst);
        events.extend(event);
        Ok(())
    }

    fn receive_end(
        &self,
        wire: &mut Wire,
        sequence: u64,
        outcome: Sealed,
    ) -> Result<Event, Broken> {
        let cell = wire.ahead.leave(sequence)?.cell;
        let is_bounded = self.mailbox.room().is_some();
        let permit = is_bounded.then(|| cell.message(Message::take_permit));
        Ok(Event::Ended(cell, outcome, permit.flatten().flatten()))
    }

    fn receive_begun(&self, wire: &Wire, sequence: u64) -> Result<Event, Broken> {
        let oldest = wire.ahead.oldest();
        let Some((_, ahead)) = oldest.filter(|oldest| oldest.0 == sequence) else {
            return Err(Broken::OutOfOrder(sequence));
        };
        let permit = ahead.cell.message(Message::take_permit).flatten();
        // Who begins to wait from now on says so under the wire's lock.
        if self.mailbox.room().is_none_or(|room| !room.has_waiters())
            && let Some(out) = &wire.out
        {
            out.shared.set_curious(false);
        }
        Ok(Event::Begun(permit))
    }

    /// Takes in the answers that the child had given when it died and that were still to leave it.
    pub(super) fn read_spilled(&self, events: &mut Vec<Event>) {
        let shared = self.shared();
        for frame in shared.spill().frames() {
            // Some may have left the child before it died; then another message is the next.
            if self.is_next(&frame) {
                // What makes no sense here is the end of what can be known.
                _ = self.receive(frame, events);
            }
        }
        let done = shared.done().load(Ordering::SeqCst);
        if let Some(wire) = self.wire().as_mut() {
            events.push(Event::Done(wire.pass_told(done + 1)));
        }
    }

    /// Whether a frame is about the message that is the next to be answered.
    fn is_next(&self, frame: &Frame) -> bool {
        let wire = self.wire();
        let Some(wire) = wire.as_ref() else {
            return false;
        };
        let oldest = wire.ahead.oldest().map_or(0, |(oldest, _)| oldest);
        let mut ahead = (oldest..).zip(wire.ahead.iter());
        let next = ahead.find(|(number, ahead)| !ahead.is_told || *number >= frame.sequence);
        next.is_some_and(|(number, _)| number == frame.sequence)
    }

    fn message(&self, kind: Kind, object: &Bound<'_, PyAny>) -> PyResult<Message> {
        let what = What::Message(&self.name);
        let giver = if self.keeps {
            Giver::Repeats
        } else {
            Giver::Keeps
        };
        let packed = packet::pack(&self.arena(), kind, object.clone(), &what, giver)?;
        Ok(Message::Frame(packed))
    }
}

impl Intake {
    fn new(reader: Reader) -> Self {
        Self { reader, over: None }
    }

    pub(super) fn take_over(&mut self) -> Option<Over> {
        self.over.take()
    }
}

impl Transport for Arc<Link> {
    fn post(&self, object: &Bound<'_, PyAny>) -> PyResult<Message> {
        self.message(Kind::Message, object)
    }

    fn tell(&self, object: &Bound<'_, PyAny>) -> PyResult<Message> {
        self.message(Kind::Told, object)
    }

    fn call(
        &self,
        function: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Message> {
        let call = (function, args, kwargs).into_pyobject(function.py())?;
        self.message(Kind::Call, call.as_any())
    }

    fn call_method(
        &self,
        name: &Bound<'_, PyString>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Message> {
        let call = (name, args, kwargs).into_pyobject(name.py())?;
        self.message(Kind::Method, call.as_any())
    }

    fn rouse(&self, py: Python<'_>) {
        let ahead = self.ahead_messages();
        if ahead > 0 {
            // No longer one by one.
            self.attend(py);
        }
        // With so many ahead an answer is to come, after which the mailbox is looked into. Nothing
        // to do here, so no reason to let another thread have the GIL.
        if ahead >= AHEAD_BY_POSTING || self.crowd.is_served() {
            return;
        }
        let sent = py.detach(|| {
            self.pump(AHEAD_BY_POSTING, Who::Poster);
            if self.crowd.is_there() {
                self.serve_crowd();
            }
            Instant::now()
        });
        self.crowd.waited(sent.elapsed());
    }

    fn sent_ahead(&self) -> Vec<Arc<ActorCell>> {
        let wire = self.wire();
        let Some(wire) = wire.as_ref() else {
            return Vec::new();
        };
        let ahead = wire.ahead.iter().map(|ahead| &ahead.cell);
        ahead.chain(&wire.returned).map(Arc::clone).collect()
    }

    fn begun(&self) -> Vec<Permit> {
        // Somebody wants to hear of what happens.
        self.give_back();
        let wire = self.wire();
        let Some(wire) = wire.as_ref() else {
            return Vec::new();
        };
        if self.mailbox.room().is_some_and(|room| room.has_waiters())
            && let Some(out) = &wire.out
        {
            out.shared.set_curious(true);
        }
        let mut begun = Vec::new();
        for ahead in wire.ahead.iter() {
            // In this order: the child may begin it between the two.
            match ahead.cell.phase() {
                cell::Phase::Pending => break,
                cell::Phase::Running => {
                    begun.extend(ahead.cell.message(Message::take_permit).flatten());
                }
                // Cancelled: it has no place any more.
                _ => {}
            }
        }
        begun
    }

    fn is_own_thread(&self) -> bool {
        self.logs.is_own_thread()
    }

    fn dump_traceback(&self, py: Python<'_>, deadline: Option<Instant>) -> PyResult<Dump> {
        const PAUSE: Duration = Duration::from_millis(2);
        let mut request = None;
        loop {
            let polled = py.detach(|| {
                let mut traces = self.traces();
                let polled = traces
                    .as_mut()
                    .map(|traces| traces.poll(&self.shared(), &mut request));
                polled.transpose()
            });
            let why = match polled {
                Ok(Some(Trace::Text(text))) => return Ok(Dump::Text(text)),
                Ok(Some(Trace::NotReady)) => "its process has not started yet",
                Ok(Some(Trace::Pending)) => "its process does not react, not even to a signal",
                Ok(None) if !self.has_traces => {
                    let text = "the system gives no handle on the process to ask for it";
                    return Err(PyNotImplementedError::new_err(text));
                }
                Ok(None) | Err(Errno::SRCH) if self.keeps && self.wire().is_some() => {
                    "its process has died, and may be started again"
                }
                // The child is gone, and the I/O thread knows it or is about to.
                Ok(None) | Err(Errno::SRCH) => return Ok(Dump::Ended),
                Err(error) => return Err(std::io::Error::from(error).into()),
            };
            if deadline.is_some_and(|at| Instant::now() >= at) {
                return Ok(Dump::TimedOut(why));
            }
            // Nobody rings when it is done: it was written by the handler of a signal.
            py.detach(|| std::thread::sleep(PAUSE));
            py.check_signals()?;
        }
    }

    fn signal(&self, force: Force) -> Result<Signalled, Errno> {
        drop(self.revoke_all());
        if let Some(process) = self.process().as_ref() {
            let signal = match force {
                Force::Terminate => Signal::TERM,
                Force::Kill => Signal::KILL,
            };
            let pid = i32::try_from(process.pid).unwrap_or_default();
            sys::signal_process(process.watch.as_deref(), pid, signal)?;
        }
        // After the signal, or the child might take this for a graceful end.
        if let Some(wire) = self.wire().as_mut() {
            wire.stop();
            self.ring(wire);
        }
        Ok(Signalled::Yes)
    }

    fn progress(&self) -> Progress {
        let shared = self.shared();
        if self.is_restarting() {
            return Progress {
                since: 0,
                failed: self.failed_before.load(Ordering::Relaxed),
            };
        }
        let failed = shared.failed().load(Ordering::Relaxed);
        Progress {
            since: shared.since().load(Ordering::Relaxed),
            failed: failed + self.failed_before.load(Ordering::Relaxed),
        }
    }

    fn is_restarting(&self) -> bool {
        self.is_restarting.load(Ordering::SeqCst)
    }

    fn pid(&self) -> Option<u32> {
        Some(self.process().as_ref()?.pid)
    }
}
