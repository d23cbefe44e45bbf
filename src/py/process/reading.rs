//! Reads what comes from the child: on the I/O thread, or in its place on a thread that waits for
//! an answer. What the frames report is in `receiving.rs`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use pyo3::prelude::*;

use super::crew::Seat;
use super::inbound::{Event, Events, Inbound, Left, Over};
use super::link::Link;
use super::relay;
use crate::engine::handoff::LastCpu;
use crate::engine::ipc::body::Reference;
use crate::engine::ipc::frame::{Kind, encode};
use crate::engine::ipc::pipe::{Fill, Flush, Reader};
use crate::engine::latch::Latch;
use crate::engine::sys::{self, Bell, Interest, Ready};
use crate::py::interpreter::{lifecycle, wait};
use crate::py::message::items::Items;
use crate::py::message::ticket::Carrier;

/// The result of one read in the place of the I/O thread.
enum Turn {
    /// It has read, maybe only for other threads, or has waited in vain. If the latch is not set, the
    /// caller must check for signals and for the deadline.
    Waited,
    /// Another thread reads the answer, or has read it: the caller must only wait for the latch.
    Leave,
}

impl Carrier for Link {
    fn resume_io_thread(&self, py: Python<'_>) {
        if self.waiter_reads() {
            py.detach(|| self.resume_reading());
        }
    }

    fn read_item_for(
        self: Arc<Self>,
        py: Python<'_>,
        done: &Latch,
        sequence: u64,
        deadline: Option<Instant>,
    ) -> PyResult<()> {
        self.read_for(py, done, sequence, deadline)
    }

    fn read_for(
        self: Arc<Self>,
        py: Python<'_>,
        done: &Latch,
        sequence: u64,
        deadline: Option<Instant>,
    ) -> PyResult<()> {
        while self.waiter_reads() && !done.is_set() {
            let until = wait::until(deadline);
            let turn = wait::raising(|| Ok(py.detach(|| self.read_once(done, sequence, until))))?;
            match turn {
                Turn::Waited if done.is_set() => break,
                Turn::Waited => {
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

    fn wake_child(&self) {
        if !self.region().credits().wake() {
            return;
        }
        let mut outbound = self.outbound();
        let connection = outbound.as_mut().and_then(|o| o.connection.as_mut());
        let Some(connection) = connection.filter(|connection| !connection.has_hung_up) else {
            return;
        };
        connection.writer.push(encode(Kind::Wake, 0, b""));
        let flushed = connection.writer.flush();
        drop(outbound);
        // After an error the I/O thread tries again and finds out.
        if !matches!(flushed, Ok(Flush::Done)) {
            self.ring();
        }
    }

    fn free(&self, references: &[Reference]) {
        let arena = self.arena();
        for reference in references {
            arena.free(*reference);
        }
    }

    fn is_ours(&self) -> bool {
        self.generation == lifecycle::generation()
    }
}

impl Link {
    /// The bell, if the answer to message `sequence` has not been read. The caller has `inbound`
    /// locked, so no other thread can read it now.
    fn bell_while_in_flight(&self, sequence: u64) -> Option<Arc<Bell>> {
        let outbound = self.outbound();
        let outbound = outbound.as_ref()?;
        let is_in_flight = outbound.in_flight.contains(sequence);
        is_in_flight.then(|| Arc::clone(&outbound.bell))
    }

    /// From now on the I/O thread reads, and waiting threads stop reading.
    pub(in crate::py) fn resume_reading(&self) {
        if self.waiter_reads.swap(false, Ordering::SeqCst) {
            self.ring();
        }
    }

    /// Like `resume_reading`, but wakes the I/O thread even if it reads already.
    pub(in crate::py) fn resume_reading_and_ring(&self) {
        self.set_waiter_reads(false);
        self.ring();
    }

    /// What was left to the I/O thread. Blocks while another thread reads;
    /// `resume_reading_and_ring` makes such a thread stop.
    pub(in crate::py) fn take_left(&self) -> Left {
        let mut inbound = self.inbound.lock().unwrap_or_else(PoisonError::into_inner);
        let left = inbound.as_mut().map(Inbound::take_left);
        left.unwrap_or_default()
    }

    /// Reads once and adds what was read to `events`, which the caller must settle.
    pub(in crate::py) fn read(
        self: &Arc<Self>,
        reader: &mut Reader,
        events: &mut Events,
    ) -> Result<Fill, Over> {
        let fill = reader.fill()?;
        let before = events.len();
        let mut is_new = false;
        if let Err(over) = self.receive_all(reader, events, &mut is_new) {
            if let Some(outbound) = self.outbound().as_ref() {
                self.count_in_flight(outbound);
            }
            return Err(over);
        }
        if let Some(seat) = &self.seat {
            let ended = events.range(before..).map(Event::ended).sum();
            self.go_on_in_pool(seat, ended, is_new || events.len() > before);
            if is_new && seat.crew.team.be_born(seat.index) {
                // One by one to the one with the least to do, and then what is only for one.
                seat.crew.dispatch();
                seat.crew.serve_all();
            }
        } else if events.len() > before {
            // The window has room again. The child gets its next messages before callbacks run.
            self.refill();
        }
        Ok(fill)
    }

    /// Processes what was read. The caller must count what is in flight afterwards.
    fn receive_all(
        self: &Arc<Self>,
        reader: &mut Reader,
        events: &mut Events,
        is_new: &mut bool,
    ) -> Result<(), Over> {
        while let Some(frame) = reader.next_frame()? {
            match frame.kind {
                Kind::Log => self.logs.take(frame.body),
                Kind::Post | Kind::Ask | Kind::Forget | Kind::Waits | Kind::Taken | Kind::Rests => {
                    self.has_asked.store(true, Ordering::Relaxed);
                    let serve = relay::request(self, frame)?;
                    events.push_back(Event::Request(Some(serve)));
                }
                Kind::Begun if frame.sequence == 0 => {
                    *is_new = true;
                    self.constructed();
                }
                _ => self.receive(frame, events)?,
            }
        }
        Ok(())
    }

    /// Like `refill` after a read, for a member of a pool: so many messages have ended.
    fn go_on_in_pool(self: &Arc<Self>, seat: &Seat, ended: usize, has_room: bool) {
        let Seat { crew, index } = seat;
        if !has_room {
            return;
        }
        if ended > 0
            && let Some(outbound) = self.outbound().as_mut()
        {
            outbound.note_ended(ended, seat);
        }
        self.refill();
        crew.take_back_for(*index);
        if crew.team.mailbox.is_closed() {
            // Some may have waited for what this one might have left.
            crew.serve_all();
        }
    }

    /// Waits until there is something to read, and settles what sets the latch `done`: the answer to
    /// message `sequence`, or an item of it.
    fn read_once(self: &Arc<Self>, done: &Latch, sequence: u64, until: Option<Instant>) -> Turn {
        let mut own = Events::new();
        let read = || self.read_as_waiter(done, sequence, until, &mut own);
        // What it has read is among what is left to the I/O thread, which ends the actor.
        let Ok(turn) = catch_unwind(AssertUnwindSafe(read)) else {
            self.leave_panic();
            return Turn::Leave;
        };
        // Without the lock: this may give a place in the mailbox to a thread that waits for one.
        for mut event in own {
            event.settle();
        }
        turn
    }

    /// Ends messages, after the log records that came with their answers are handled. Only the I/O
    /// thread calls it, detached and without a lock: log handlers and callbacks may take any time.
    ///
    /// Returns the stream of one of the items, if a thread waited for it.
    pub(in crate::py) fn settle(&self, events: &mut Events) -> Option<Arc<Items>> {
        let mut awaited = None;
        if !events.is_empty() {
            self.logs.wait();
        }
        while let Some(event) = events.front_mut() {
            event.settle();
            if let Event::Item(arrived) = event {
                awaited = awaited.or_else(|| arrived.awaited());
            }
            events.pop_front();
        }
        awaited
    }

    /// Says that the thread that read has panicked.
    fn leave_panic(&self) {
        let mut inbound = self.inbound.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(inbound) = inbound.as_mut() {
            inbound.left.over = Some(Over::Panicked);
        }
        drop(inbound);
        self.resume_reading_and_ring();
    }

    /// A thread that waits for an answer may have a deadline, and a signal may end its wait. So it
    /// does no work for other threads that may take long: it runs no callbacks and does not wait for
    /// log handlers. What it reads besides its own answer, it leaves to the I/O thread.
    fn read_as_waiter(
        self: &Arc<Self>,
        done: &Latch,
        sequence: u64,
        until: Option<Instant>,
        own: &mut Events,
    ) -> Turn {
        let mut inbound = self.try_inbound();
        let Some(inbound) = inbound.as_mut().and_then(|inbound| inbound.as_mut()) else {
            // Two threads wait for answers: the I/O thread serves both.
            self.resume_reading();
            return Turn::Leave;
        };
        // Otherwise another thread has read this answer and is about to end its message. There may
        // never be anything more to read.
        let Some(bell) = self.bell_while_in_flight(sequence) else {
            return Turn::Leave;
        };
        if !self.waiter_reads() {
            // The I/O thread reads again, and may be about to close the link. It does not ring the
            // bell for a thread that comes after that.
            return Turn::Leave;
        }
        if done.is_set() {
            // Another thread has read the item that this one waits for.
            return Turn::Waited;
        }
        let answers = Arc::clone(inbound.reader.handle());
        let interests = [
            Some(Interest::Readable(&answers)),
            // It rings when the I/O thread must read again, also when the child has ended.
            Some(bell.rung()),
        ];
        let timeout = until.map(|until| until.saturating_duration_since(Instant::now()));
        let region = self.region();
        let cpus = [LastCpu(region.parent_cpu()), LastCpu(region.child_cpu())];
        let seen = inbound.seen;
        let has_come = || region.written().load(Ordering::Relaxed) != seen;
        // While it polls it does not check the bell, which can wait that long.
        let found = self.patience.wait(
            cpus,
            || (),
            || has_come().then_some(Ok([Ready::Yes, Ready::No])),
            || sys::poll(interests, timeout),
        );
        match found {
            Ok([Ready::No, Ready::No]) | Err(sys::Error::INTERRUPTED) => Turn::Waited,
            Ok([answers, _]) if answers.is_ready() => {
                // First: what is written from now on may not be read.
                inbound.seen = region.written().load(Ordering::Relaxed);
                self.reads_by_waiters.fetch_add(1, Ordering::Relaxed);
                let events = &mut inbound.left.events;
                let read = self.read(&mut inbound.reader, events);
                if read.is_ok() && !self.logs.is_behind() {
                    while let Some(event) = events.front_mut()
                        && event.is_for_waiter(done)
                    {
                        own.extend(events.pop_front());
                    }
                }
                match read {
                    Ok(Fill::Eof) if events.is_empty() => self.resume_reading(),
                    Ok(_) if events.is_empty() => {}
                    read => {
                        inbound.left.over = read.err();
                        self.resume_reading_and_ring();
                    }
                }
                Turn::Waited
            }
            Ok(_) | Err(_) => {
                self.resume_reading();
                Turn::Leave
            }
        }
    }
}
