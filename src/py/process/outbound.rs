//! The outbound side of a link: what is sent to the child, and what takes its place here.
//!
//! The link keeps all of it behind one lock. No call blocks, and none calls Python.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::held::Relayed;
use super::inflow::Inflow;
use crate::engine::arena::Arena;
use crate::engine::ipc::frame::{Encoded, Kind, encode};
use crate::engine::ipc::pipe::{Broken, Flush, Writer};
use crate::engine::ipc::region::Region;
use crate::engine::ipc::window::{Capacity, Window};
use crate::engine::mailbox::{Mailbox, Take};
use crate::engine::sys::{self, Bell};
use crate::py::codec::packed::Packed;
use crate::py::future::ActorCell;
use crate::py::message::message::Message;
use crate::py::message::request::Wants;
use crate::py::message::ticket::{Carrier, Ticket};

/// A message that has been sent and not yet answered.
pub(in crate::py) struct InFlight {
    pub(in crate::py) cell: Arc<ActorCell>,
    /// Sent by `tell`: the child need not report that it has been handled.
    pub(in crate::py) is_told: bool,
    /// If it is a stream.
    pub(in crate::py) inflow: Option<Inflow>,
}

/// The outbound side. The thread that posts a message writes it itself, without a hop to another
/// thread; the I/O thread writes what the pipe did not take.
pub(in crate::py) struct Outbound {
    /// `None` after a child has died, until the next one has started.
    pub(in crate::py) connection: Option<Connection>,
    /// Wakes the I/O thread.
    pub(in crate::py) bell: Arc<Bell>,
    /// The messages that the child has and has not answered.
    pub(in crate::py) in_flight: Window<InFlight>,
    /// Messages that a dead child had not begun, and one that is about to be sent. They are sent before
    /// those in the mailbox.
    pub(in crate::py) returned: VecDeque<Arc<ActorCell>>,
    pub(in crate::py) sending: Sending,
    /// Messages that the child skips. They fail when it has ended.
    pub(in crate::py) revoked: Vec<Arc<ActorCell>>,
}

/// The connection to one child.
pub(in crate::py) struct Connection {
    pub(in crate::py) writer: Writer,
    pub(in crate::py) region: Arc<Region>,
    /// Where the blocks of messages for this child are.
    arena: Arc<Arena>,
    /// The child does not read any more: it has ended, or is about to.
    pub(in crate::py) has_hung_up: bool,
    /// How many messages have been queued.
    queued: u64,
    /// The stop frame has been queued.
    is_told: bool,
    pub(super) relayed: Relayed,
}

impl Connection {
    pub(in crate::py) fn new(writer: Writer, region: &Arc<Region>, arena: &Arc<Arena>) -> Self {
        Self {
            writer,
            region: Arc::clone(region),
            arena: Arc::clone(arena),
            has_hung_up: false,
            queued: 0,
            is_told: false,
            relayed: Relayed::default(),
        }
    }

    /// Sends a frame that is about a message or a question of the child.
    pub(super) fn send(&mut self, frame: Encoded) -> Flush {
        self.writer.push(frame);
        self.queued += 1;
        self.flush()
    }

    /// Writes what the pipe takes.
    fn flush(&mut self) -> Flush {
        if self.has_hung_up {
            return Flush::Done;
        }
        // On an error the child is gone, or the system lacks some resource. The I/O thread tries again
        // and finds out.
        let flushed = self.writer.flush().unwrap_or(Flush::Blocked);
        if flushed == Flush::Done {
            self.region.sent().store(self.queued, Ordering::Relaxed);
        }
        flushed
    }
}

/// What `Outbound::pump` has done.
pub(in crate::py) struct Pumped {
    pub(in crate::py) flushed: Flush,
    /// The next message, if it is packed for no particular child or for an earlier one: it cannot be
    /// sent before its blocks have been copied.
    pub(in crate::py) to_copy: Option<Arc<ActorCell>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::py) enum Sending {
    Open,
    /// No more messages are sent. The stop frame has been queued, or is about to be.
    Stopping,
}

/// What there is to send of a message.
enum ToSend {
    Now(Packed, Option<Inflow>),
    /// Its blocks must be copied first.
    Later,
    /// It was ended or sent before.
    Nothing,
}

impl Outbound {
    pub(in crate::py) fn new(
        connection: Connection,
        bell: Arc<Bell>,
        max_concurrency: usize,
    ) -> Self {
        // `_class_options.py` refuses more.
        let capacity = Capacity::for_concurrency(max_concurrency).unwrap_or(Capacity::LEAST);
        Self {
            connection: Some(connection),
            bell,
            in_flight: Window::new(capacity),
            returned: VecDeque::new(),
            sending: Sending::Open,
            revoked: Vec::new(),
        }
    }

    /// Queues the stop frame, after which the child gets no more messages.
    pub(in crate::py) fn stop(&mut self) {
        if let Some(connection) = &mut self.connection
            && !connection.is_told
        {
            connection.writer.push(encode(Kind::Stop, 0, b""));
            connection.is_told = true;
            self.sending = Sending::Stopping;
        }
    }

    /// Sends from `mailbox` while fewer than `limit` messages are in flight. With `keeps`, the ticket
    /// of each message keeps it, so that it can be sent to the next child if this one dies.
    pub(in crate::py) fn pump(
        &mut self,
        mailbox: &Mailbox<Arc<ActorCell>>,
        carrier: &Arc<dyn Carrier>,
        keeps: bool,
        limit: usize,
    ) -> Pumped {
        let mut to_copy = None;
        while self.sending == Sending::Open
            && self.connection.is_some()
            && self.in_flight.has_room(limit)
        {
            if self.returned.is_empty() {
                match mailbox.try_take() {
                    Take::Item(cell) => self.returned.push_back(cell),
                    Take::Closed => {
                        self.stop();
                        break;
                    }
                    Take::Empty => break,
                }
            }
            if !self.send_next(carrier, keeps) {
                to_copy = self.returned.front().cloned();
                break;
            }
        }
        let flushed = match &mut self.connection {
            Some(connection) => connection.flush(),
            None => Flush::Done,
        };
        Pumped { flushed, to_copy }
    }

    /// Sends the first of `returned`, where it stays until it is in flight: a panic on the way does not
    /// lose it. Returns false if its blocks must be copied first.
    fn send_next(&mut self, carrier: &Arc<dyn Carrier>, keeps: bool) -> bool {
        let (Some(connection), Some(cell)) = (&mut self.connection, self.returned.front()) else {
            return true;
        };
        sys::moment();
        let sequence = self.in_flight.next_sequence();
        // Before another thread can withdraw it, and before the child can see it.
        connection.region.claims().offer(sequence);
        let sent = cell.exchange(|message| {
            let (message, permit) = match message {
                Message::Bounded(message, permit) => (*message, Some(permit)),
                message => (message, None),
            };
            let Message::Frame(mut packed, wants) = message else {
                return (message.bounded(permit), ToSend::Nothing);
            };
            if !packed.is_for(&connection.arena) {
                return (Message::Frame(packed, wants).bounded(permit), ToSend::Later);
            }
            packed.renumber(sequence);
            let kept = keeps.then(|| packed.split());
            let inflow = match &wants {
                Wants::Items(items) => {
                    let region = &connection.region;
                    Some(Inflow::begin(carrier, region, sequence, items))
                }
                _ => None,
            };
            let region = &connection.region;
            let ticket = Ticket::new(carrier, region, sequence, &packed, wants, permit, kept);
            (Message::Ticket(ticket), ToSend::Now(packed, inflow))
        });
        let (mut packed, inflow) = match sent {
            Some(ToSend::Now(packed, inflow)) => (packed, inflow),
            Some(ToSend::Later) => return false,
            Some(ToSend::Nothing) | None => {
                // It was cancelled.
                self.returned.pop_front();
                return true;
            }
        };
        sys::moment();
        let is_told = packed.kind.is_told();
        if let Some(actors) = packed.take_actors() {
            connection.relayed.hold(*actors);
        }
        let frame = packed.into_frame();
        if let Some(cell) = self.returned.pop_front() {
            self.in_flight.enter(
                frame.len(),
                InFlight {
                    cell,
                    is_told,
                    inflow,
                },
            );
        }
        connection.writer.push(frame);
        connection.queued += 1;
        true
    }

    /// Takes out every message that has left the mailbox and has not ended.
    pub(in crate::py) fn take_all(&mut self) -> Vec<Arc<ActorCell>> {
        let in_flight = self.in_flight.take_all().into_iter();
        let in_flight = in_flight.map(|sent| sent.cell);
        let rest = self.returned.drain(..).chain(self.revoked.drain(..));
        in_flight.chain(rest).collect()
    }

    /// Takes out a message of `tell` that the child has handled, as its claim word must say.
    pub(in crate::py) fn pass_told(&mut self, sequence: u64) -> Result<Arc<ActorCell>, Broken> {
        if self.is_passed(sequence) {
            Ok(self.in_flight.leave(sequence)?.cell)
        } else {
            Err(Broken::NoSuchMessage(sequence))
        }
    }

    fn is_passed(&self, sequence: u64) -> bool {
        let sent = self.in_flight.get(sequence);
        let region = self
            .connection
            .as_ref()
            .map(|connection| &connection.region);
        sent.is_some_and(|sent| sent.is_told)
            && region.is_some_and(|region| region.claims().has_handled(sequence))
    }

    /// The messages of `tell` that the child has handled, whether or not it has reported them.
    pub(in crate::py) fn passed(&self) -> Vec<u64> {
        let numbers = self.in_flight.iter().map(|(sequence, _)| sequence);
        numbers
            .filter(|sequence| self.is_passed(*sequence))
            .collect()
    }
}
