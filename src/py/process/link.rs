//! The link to a child: it sends messages as frames, and reads the answers, which end the messages.
//!
//! Messages are sent before the child is ready for them, as many as the window has room for. Each
//! has a claim, which decides whether a `cancel()` here or `handle` there gets the message.
//!
//! # Locks
//! `outbound` is for sending and `inbound` for reading. A thread that takes both takes `inbound`
//! first. It holds them only while detached and only for calls that do not block, and holds
//! neither while it calls Python or ends a message.
//!
//! # Which thread reads
//! The I/O thread, except while messages and answers go to and fro one by one, or the only message is a
//! stream whose taker waits again and again: then the thread that waits in `result()` or `next()` reads,
//! which saves a hop. See [`Carrier::read_for`].

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError, Weak};

use super::connection::Connection;
use super::crew::{IN_FLIGHT_BY_POSTING, Seat};
pub(in crate::py) use super::endpoints::{Endpoints, Process};
use super::inbound::Inbound;
use super::logs::Logs;
use super::outbound::{InFlight, Outbound, Sending, Waiting};
use crate::engine::arena::Arena;
use crate::engine::cell;
use crate::engine::convoy::Convoy;
use crate::engine::handoff::Patience;
use crate::engine::ipc::region::Region;
use crate::engine::ipc::relay::split_number;
use crate::engine::ipc::traceback::Tracebacks;
use crate::engine::mailbox::Mailbox;
use crate::engine::sys::Bell;
use crate::py::future::ActorCell;
use crate::py::host::host::Host;
use crate::py::host::streams::{RunningStream, Stalled};
use crate::py::interpreter::lifecycle;
use crate::py::message::message::Message;
use crate::py::message::tally::Tally;
use crate::py::message::ticket::Carrier;
use crate::py::options::Options;

pub(in crate::py) struct Link {
    pub(super) name: String,
    pub(in crate::py) mailbox: Arc<Mailbox<Arc<ActorCell>>>,
    pub(super) tally: Arc<Tally>,
    /// Whether each message is kept until it is answered, so that it can be sent to the next child
    /// if this one dies.
    pub(in crate::py) keeps: bool,
    /// The memory shared with the current child, or with the last one.
    pub(super) region: Mutex<Arc<Region>>,
    /// How many of the messages sent by `tell` failed in earlier children.
    pub(super) failed_before: AtomicU64,
    pub(super) is_restarting: AtomicBool,
    /// Of the same child as `region`.
    pub(super) arena: Mutex<Arc<Arena>>,
    /// `None` once the child has been reaped.
    pub(super) process: Mutex<Option<Process>>,
    /// How many messages are in flight. Stored with `outbound` locked. After a read it is stored
    /// before the mailbox is searched for the next message. So if a thread puts a message into the
    /// mailbox and then reads `in_flight_by_posting` or more here, that message will be found.
    pub(super) messages_in_flight: AtomicUsize,
    /// `IN_FLIGHT_BY_POSTING`, beside those that an async actor may handle at a time.
    pub(super) in_flight_by_posting: usize,
    /// `None` once the last child is gone, like `inbound`: descriptors do not outlive it.
    pub(super) outbound: Mutex<Option<Outbound>>,
    pub(super) inbound: Mutex<Option<Inbound>>,
    /// While set, a thread blocked in `result()` or `next()` reads itself, which saves a hop. Only
    /// the I/O thread sets it. A caller that wants to be notified without blocking clears it by
    /// `resume_io_thread`; the I/O thread clears it when it finds that no thread reads.
    pub(super) waiter_reads: AtomicBool,
    /// How often threads have read in the place of the I/O thread. Relaxed: only the I/O thread looks.
    pub(super) reads_by_waiters: AtomicU64,
    /// Whether a child has ever asked for something about another actor. Relaxed: a hint.
    pub(super) has_asked: AtomicBool,
    /// Set while the I/O thread waits. Then it has settled all that it has read.
    pub(super) is_io_thread_waiting: AtomicBool,
    pub(in crate::py) convoy: Convoy,
    /// Decides whether a thread that reads in the place of the I/O thread polls first.
    pub(super) patience: Patience,
    pub(super) logs: Logs,
    /// Among the other links of a pool of several.
    pub(in crate::py) seat: Option<Seat>,
    /// `None` once the child is gone.
    pub(super) tracebacks: Mutex<Option<Tracebacks>>,
    pub(super) has_tracebacks: bool,
    pub(in crate::py) generation: u32,
    /// The host that this link belongs to, and its number, or that of its pool.
    own: OnceLock<(u64, Weak<Host>)>,
}

impl Link {
    pub(in crate::py) fn new(
        options: &Options<'_>,
        mailbox: Arc<Mailbox<Arc<ActorCell>>>,
        tally: Arc<Tally>,
        bell: Arc<Bell>,
        seat: Option<Seat>,
        endpoints: Endpoints,
    ) -> Self {
        let name = options.name.clone();
        // Those that may be sent again, after a death or because a pool takes them back.
        let keeps = options.max_restarts > 0 || seat.is_some();
        let max_concurrency = options.max_concurrency;
        let inbound = Inbound::new(endpoints.reader);
        let mut connection = Connection::new(endpoints.writer, &endpoints.region, &endpoints.arena);
        connection.relayed.hold(endpoints.actors);
        let outbound = Outbound::new(connection, bell, max_concurrency);
        Self {
            logs: Logs::new(name.clone()),
            seat,
            has_tracebacks: endpoints.tracebacks.is_some(),
            tracebacks: Mutex::new(endpoints.tracebacks),
            generation: lifecycle::generation(),
            name,
            mailbox,
            tally,
            keeps,
            region: Mutex::new(endpoints.region),
            failed_before: AtomicU64::new(0),
            is_restarting: AtomicBool::new(false),
            process: Mutex::new(Some(endpoints.process)),
            arena: Mutex::new(endpoints.arena),
            messages_in_flight: AtomicUsize::new(0),
            in_flight_by_posting: IN_FLIGHT_BY_POSTING + max_concurrency - 1,
            outbound: Mutex::new(Some(outbound)),
            inbound: Mutex::new(Some(inbound)),
            waiter_reads: AtomicBool::new(false),
            reads_by_waiters: AtomicU64::new(0),
            has_asked: AtomicBool::new(false),
            is_io_thread_waiting: AtomicBool::new(false),
            convoy: Convoy::default(),
            patience: Patience::default(),
            own: OnceLock::new(),
        }
    }

    /// Says which host the link belongs to. Called once, before the I/O thread starts.
    pub(super) fn set_own(&self, host: &Arc<Host>, number: u64) {
        let (number, _) = split_number(number);
        // It is called once, so `set` cannot fail.
        _ = self.own.set((number, Arc::downgrade(host)));
        if let Some(outbound) = self.outbound().as_mut()
            && let Some(connection) = &mut outbound.connection
        {
            connection.relayed.own = Some(number);
        }
    }

    /// Whether this is the number of the child's own actor, or of its pool or a member of that.
    pub(super) fn is_own(&self, number: u64) -> bool {
        let (number, _) = split_number(number);
        self.own.get().is_some_and(|(own, _)| *own == number)
    }

    pub(super) fn own_host(&self) -> Option<Arc<Host>> {
        self.own.get().and_then(|(_, host)| host.upgrade())
    }

    /// For when the child is dead and reaped. Messages that it had not begun go to the next child.
    /// Returns those that it had begun.
    pub(in crate::py) fn disconnect(&self) -> Vec<Arc<ActorCell>> {
        self.is_restarting.store(true, Ordering::SeqCst);
        let failed = self.region().failed().load(Ordering::Relaxed);
        self.failed_before.fetch_add(failed, Ordering::Relaxed);
        // Dropped last, without the lock: it may hold other actors.
        let _connection;
        let mut outbound = self.outbound();
        let Some(outbound) = outbound.as_mut() else {
            return Vec::new();
        };
        _connection = outbound.connection.take();
        outbound.sending = Sending::Open;
        outbound.is_constructed = false;
        self.hand_on(outbound);
        let (mut begun, mut back) = (Vec::new(), VecDeque::new());
        for InFlight { cell, whose, .. } in outbound.take_sent() {
            match cell.exchange(Message::into_unsent) {
                Some(true) => back.push_back(Waiting { cell, whose }),
                Some(false) if cell.phase() == cell::Phase::Running => begun.push(cell),
                Some(false) => outbound.revoked.push(cell),
                // It was cancelled.
                None => {}
            }
        }
        back.append(&mut outbound.returned);
        outbound.returned = back;
        self.count_in_flight(outbound);
        begun
    }

    /// Puts what a dead child had not begun, and any member may handle, back into the mailbox of the
    /// pool. The caller must then call `dispatch` of the pool, without the lock.
    fn hand_on(&self, outbound: &mut Outbound) {
        if let Some(Seat { crew, .. }) = &self.seat {
            crew.team.give_back(outbound.take_unbegun());
        }
    }

    /// For a child that is dead and has no successor: hands on what others may handle.
    pub(super) fn hand_on_all(&self) {
        // Dropped last, without the lock: it may hold other actors.
        let _connection;
        let mut outbound = self.outbound();
        if self.seat.is_some()
            && let Some(outbound) = outbound.as_mut()
        {
            _connection = outbound.connection.take();
            self.hand_on(outbound);
            self.count_in_flight(outbound);
        }
    }

    /// The streams that have left the mailbox and have not ended.
    pub(super) fn streams_in_flight(&self) -> Vec<RunningStream> {
        let outbound = self.outbound();
        outbound.as_ref().map_or_else(Vec::new, Outbound::streams)
    }

    /// Whether no message has left the mailbox and has not been answered but those that are stalled, and
    /// such as cannot begin before these go on.
    pub(super) fn has_only(&self, stalled: Stalled) -> bool {
        // Under the lock: a message leaves the mailbox and is in flight in one step.
        let outbound = self.outbound();
        outbound.as_ref().is_none_or(|outbound| {
            let is_all = outbound.load() == stalled.count;
            (stalled.fills_places() || is_all) && outbound.begun() == stalled.count
        })
    }

    /// Whether no thread reads, and none has left to the I/O thread what it has read. A thread that reads
    /// may wait for something that only the end of a stream brings about: it stops, so that the next look
    /// can tell.
    pub(super) fn has_nothing_left(&self) -> bool {
        let Some(inbound) = self.try_inbound() else {
            self.resume_reading_and_ring();
            return false;
        };
        inbound.as_ref().is_none_or(Inbound::has_nothing_left)
    }

    /// The constructor has returned in the child.
    pub(super) fn constructed(&self) {
        let has_waiters = self.mailbox.room().is_some_and(|room| room.has_waiters());
        let mut outbound = self.outbound();
        let Some(outbound) = outbound.as_mut() else {
            return;
        };
        outbound.is_constructed = true;
        if let Some(connection) = &outbound.connection {
            connection.region.set_notify_begun(has_waiters);
        }
        self.count_in_flight(outbound);
    }

    /// Connects the link to a new child.
    pub(in crate::py) fn reconnect(&self, endpoints: Endpoints) {
        let region = endpoints.region;
        // Before anything is sent, so that every answer finds a reader.
        *self.inbound.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Inbound::new(endpoints.reader));
        *self.tracebacks() = endpoints.tracebacks;
        let arena = Arc::clone(&endpoints.arena);
        *self.arena.lock().unwrap_or_else(PoisonError::into_inner) = endpoints.arena;
        *self.region.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&region);
        *self.process() = Some(endpoints.process);
        let mut outbound = self.outbound();
        if let Some(outbound) = outbound.as_mut() {
            let has_waiters = self.mailbox.room().is_some_and(|room| room.has_waiters());
            // A pool waits for the notice that the constructor has returned.
            region.set_notify_begun(has_waiters || self.seat.is_some());
            let mut connection = Connection::new(endpoints.writer, &region, &arena);
            connection.relayed.own = self.own.get().map(|(number, _)| *number);
            connection.relayed.hold(endpoints.actors);
            outbound.connection = Some(connection);
            outbound.sending = Sending::Open;
        }
        self.is_restarting.store(false, Ordering::SeqCst);
    }

    /// Whether the child has come far enough to serve messages.
    pub(super) fn has_begun(&self) -> bool {
        self.region().has_begun()
    }

    /// Whether the child was told to stop, and has answered everything.
    pub(in crate::py) fn has_stopped(&self) -> bool {
        let outbound = self.outbound();
        let outbound = outbound.as_ref();
        outbound.is_some_and(|outbound| {
            outbound.sending == Sending::Stopping && outbound.in_flight.is_empty()
        })
    }

    /// Whether no message waits to be handled, and none can be posted any more.
    pub(in crate::py) fn is_drained(&self) -> bool {
        let outbound = self.outbound();
        let mut returned = outbound.iter().flat_map(|outbound| &outbound.returned);
        let shared = self.seat.as_ref().map(|seat| &seat.crew.team.mailbox);
        self.mailbox.is_closed()
            && self.mailbox.is_empty()
            && shared.is_none_or(|shared| shared.is_closed() && shared.is_empty())
            && returned.all(|waiting| waiting.cell.phase().is_done())
    }

    pub(super) fn carrier(self: &Arc<Self>) -> Arc<dyn Carrier> {
        Arc::clone(self) as _
    }

    pub(in crate::py) fn arena(&self) -> Arc<Arena> {
        Arc::clone(&self.arena.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn region(&self) -> Arc<Region> {
        Arc::clone(&self.region.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(in crate::py) fn outbound(&self) -> MutexGuard<'_, Option<Outbound>> {
        self.outbound.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The inbound side, locked, unless another thread has it.
    pub(in crate::py) fn try_inbound(&self) -> Option<MutexGuard<'_, Option<Inbound>>> {
        match self.inbound.try_lock() {
            Ok(inbound) => Some(inbound),
            Err(TryLockError::Poisoned(inbound)) => Some(inbound.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Takes the outbound side away; dropping it closes its descriptor.
    pub(in crate::py) fn close_outbound(&self) -> Option<Outbound> {
        self.outbound().take()
    }

    pub(super) fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For when the child has been reaped: from now on its pid may be another process's.
    pub(in crate::py) fn forget_process(&self) {
        drop(self.process().take());
    }

    /// Makes sure that the child begins none of the messages that it has, and gets no more. They
    /// stay pending. The caller must drop what is returned without holding a lock.
    pub(super) fn revoke_all(&self) -> Vec<Message> {
        let mut outbound = self.outbound();
        let Some(outbound) = outbound.as_mut() else {
            return Vec::new();
        };
        // The latest first: otherwise the child could skip an early one and begin the next.
        let latest_first = outbound.in_flight.iter().rev();
        let revoked = latest_first.filter_map(|(_, sent)| sent.cell.revoke(Message::Revoked));
        let revoked: Vec<Message> = revoked.collect();
        // Nothing is sent from now on.
        outbound.sending = Sending::Stopping;
        revoked
    }

    /// Drops the inbound side. Blocks while another thread reads.
    pub(in crate::py) fn close_inbound(&self) {
        let mut inbound = self.inbound.lock().unwrap_or_else(PoisonError::into_inner);
        drop(inbound.take());
        self.arena().close();
        drop(self.tracebacks().take());
    }

    /// For when no more log records will come.
    pub(in crate::py) fn close_logs(&self) {
        self.logs.close();
    }

    pub(super) fn tracebacks(&self) -> MutexGuard<'_, Option<Tracebacks>> {
        self.tracebacks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::py) fn waiter_reads(&self) -> bool {
        self.waiter_reads.load(Ordering::SeqCst)
    }

    pub(in crate::py) fn set_waiter_reads(&self, waiter_reads: bool) {
        self.waiter_reads.store(waiter_reads, Ordering::SeqCst);
    }
}
