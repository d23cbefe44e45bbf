//! The outbound side of a link: what is sent to the child, and what takes its place here.
//!
//! The link keeps all of it behind one lock. No call blocks, and none calls Python.

use std::collections::VecDeque;
use std::sync::Arc;

use super::connection::Connection;
use super::crew::Seat;
use super::inflow::Inflow;
use crate::engine::cell::Phase;
use crate::engine::ipc::frame::{Kind, encode};
use crate::engine::ipc::pipe::{Broken, Flush};
use crate::engine::ipc::window::{Capacity, Window};
use crate::engine::mailbox::{Mailbox, Take};
use crate::engine::pace::Pace;
use crate::engine::room::Granted;
use crate::engine::roster::Turns;
use crate::engine::sys::{self, Bell};
use crate::py::codec::packed::Packed;
use crate::py::future::ActorCell;
use crate::py::host::streams::RunningStream;
use crate::py::message::message::Message;
use crate::py::message::ticket::{Carrier, Passage, Ticket};

/// A message that has been sent and not yet answered.
pub(in crate::py) struct InFlight {
    pub(in crate::py) cell: Arc<ActorCell>,
    /// Sent by `tell`: the child need not report that it has been handled.
    pub(in crate::py) is_told: bool,
    /// If it is a stream.
    pub(in crate::py) inflow: Option<Inflow>,
    pub(in crate::py) whose: Whose,
}

/// Who may handle a message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::py) enum Whose {
    /// Only this actor.
    Own,
    /// Any member of its pool.
    Shared,
    /// Another member: the message was taken back, and the child will skip it.
    TakenBack,
}

/// A message that is sent before those in the mailbox.
pub(in crate::py) struct Waiting {
    pub(in crate::py) cell: Arc<ActorCell>,
    pub(in crate::py) whose: Whose,
}

/// Where the messages come from.
pub(in crate::py) struct Source<'a> {
    pub(in crate::py) mailbox: &'a Mailbox<Arc<ActorCell>>,
    /// In a pool of several, its mailbox, too.
    pub(in crate::py) seat: Option<&'a Seat>,
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
    pub(in crate::py) returned: VecDeque<Waiting>,
    pub(in crate::py) sending: Sending,
    /// Messages that the child skips. They fail when it has ended.
    pub(in crate::py) revoked: Vec<Arc<ActorCell>>,
    /// How many of those in flight were taken back.
    pub(super) taken_back: usize,
    /// Of a member: whether the constructor has returned in this child.
    pub(in crate::py) is_constructed: bool,
    pub(super) turns: Turns,
    pub(super) pace: Pace,
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

pub(super) fn waiting(taken: Take<Arc<ActorCell>>, whose: Whose) -> Take<Waiting> {
    match taken {
        Take::Item(cell) => Take::Item(Waiting { cell, whose }),
        Take::Empty => Take::Empty,
        Take::Closed => Take::Closed,
    }
}

/// Releases the place of a message that has begun. Another thread that finds out by `outbound` that it
/// has begun must also find its place free, so this is called with `outbound` locked, before the message
/// leaves that.
pub(super) fn release(cell: &ActorCell) -> Option<Granted> {
    // Not under the cell's lock: that of a waiter may be taken here.
    let permit = cell.message(Message::take_permit).flatten()?;
    permit.release()
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
            taken_back: 0,
            is_constructed: false,
            turns: Turns::default(),
            pace: Pace::default(),
        }
    }

    /// How many messages the child has to handle, or is about to get.
    pub(in crate::py) fn load(&self) -> usize {
        self.in_flight.len() - self.taken_back + self.returned.len()
    }

    /// How many messages the child has begun and not ended.
    pub(super) fn begun(&self) -> usize {
        let runs = |(sequence, sent): &(u64, &InFlight)| {
            sent.whose != Whose::TakenBack
                && sent.cell.phase() == Phase::Running
                && !self.is_passed(*sequence)
        };
        self.in_flight.iter().filter(runs).count()
    }

    /// The messages in flight that the child has begun: those that run, and those whose ends have not
    /// been read.
    fn begun_in_flight(&self) -> impl Iterator<Item = &Arc<ActorCell>> {
        // They begin in the order in which they were sent, in whatever order they end.
        let phases = self
            .in_flight
            .iter()
            .map(|(_, sent)| (sent.cell.phase(), &sent.cell));
        phases
            .take_while(|(phase, _)| *phase != Phase::Pending)
            .filter(|(phase, _)| *phase == Phase::Running)
            .map(|(_, cell)| cell)
    }

    /// How many they are.
    pub(super) fn started(&self) -> usize {
        self.begun_in_flight().count()
    }

    /// Releases the places of the messages that the child has begun.
    pub(super) fn release_begun(&self) -> Vec<Granted> {
        self.begun_in_flight()
            .filter_map(|cell| release(cell))
            .collect()
    }

    /// The streams among those in flight.
    pub(super) fn streams(&self) -> Vec<RunningStream> {
        let stream = |(_, sent): (u64, &InFlight)| {
            let inflow = sent.inflow.as_ref()?;
            Some(RunningStream {
                items: inflow.items(),
                cell: Arc::clone(&sent.cell),
            })
        };
        self.in_flight.iter().filter_map(stream).collect()
    }

    /// Whether another message may be sent, if at most `limit` may be in flight.
    fn has_room(&self, source: &Source<'_>, limit: usize) -> bool {
        match source.seat {
            None => self.in_flight.has_room(limit),
            Some(seat) => {
                let most = seat.crew.loads.limit(seat.index);
                let in_flight = self.in_flight.len() - self.taken_back;
                self.in_flight.has_room(usize::MAX) && in_flight < limit.min(most)
            }
        }
    }

    /// Takes the next message out of the mailbox, or out of the two.
    fn take(&mut self, source: &Source<'_>) -> Take<Waiting> {
        match source.seat {
            None => waiting(source.mailbox.try_take(), Whose::Own),
            Some(seat) => self.take_as_member(source.mailbox, seat),
        }
    }

    /// A message leaves the window: it was answered or skipped, or its link has broken.
    pub(in crate::py) fn leave(&mut self, sequence: u64) -> Result<InFlight, Broken> {
        let sent = self.in_flight.leave(sequence)?;
        self.taken_back -= usize::from(sent.whose == Whose::TakenBack);
        Ok(sent)
    }

    /// For a child that is dead: takes out everything in flight.
    pub(in crate::py) fn take_sent(&mut self) -> Vec<InFlight> {
        self.taken_back = 0;
        let sent = self.in_flight.take_all().into_iter();
        sent.filter(|sent| sent.whose != Whose::TakenBack).collect()
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

    /// Sends from `source` while fewer than `limit` messages are in flight. With `keeps`, the ticket
    /// of each message keeps it, so that it can be sent to the next child if this one dies.
    pub(in crate::py) fn pump(
        &mut self,
        source: &Source<'_>,
        carrier: impl Fn() -> Arc<dyn Carrier>,
        keeps: bool,
        limit: usize,
    ) -> Pumped {
        let mut to_copy = None;
        while self.sending == Sending::Open
            && self.connection.is_some()
            && self.has_room(source, limit)
        {
            if self.returned.is_empty() {
                match self.take(source) {
                    Take::Item(waiting) => self.returned.push_back(waiting),
                    Take::Closed => {
                        self.stop();
                        break;
                    }
                    Take::Empty => break,
                }
            }
            if !self.send_next(&carrier, keeps) {
                to_copy = self
                    .returned
                    .front()
                    .map(|waiting| Arc::clone(&waiting.cell));
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
    fn send_next(&mut self, carrier: impl Fn() -> Arc<dyn Carrier>, keeps: bool) -> bool {
        let (Some(connection), Some(Waiting { cell, .. })) =
            (&mut self.connection, self.returned.front())
        else {
            return true;
        };
        sys::moment();
        let sequence = self.in_flight.next_sequence();
        // Before another thread can withdraw it, and before the child can see it.
        connection.region.claims().offer(sequence);
        let passage = connection.passage.get_or_insert_with(|| {
            Arc::new(Passage {
                carrier: carrier(),
                region: Arc::clone(&connection.region),
            })
        });
        let sent = cell.exchange(|message| {
            let (message, permit) = match message {
                Message::Bounded(message, permit) => (*message, Some(permit)),
                message => (message, None),
            };
            let Message::Frame(mut packed, items) = message else {
                return (message.bounded(permit), ToSend::Nothing);
            };
            if !packed.is_for(&connection.arena) {
                return (Message::Frame(packed, items).bounded(permit), ToSend::Later);
            }
            packed.renumber(sequence);
            let kept = keeps.then(|| packed.split());
            let inflow = items
                .as_ref()
                .map(|items| Inflow::begin(passage, sequence, items));
            let ticket = Ticket::new(passage, sequence, &packed, items, permit, kept);
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
        if let Some(Waiting { cell, whose }) = self.returned.pop_front() {
            let sent = InFlight {
                cell,
                is_told,
                inflow,
                whose,
            };
            if self.in_flight.len() == self.taken_back {
                self.pace.begin();
            }
            self.in_flight.enter(frame.len(), sent);
        }
        connection.writer.push(frame);
        connection.queued += 1;
        true
    }

    /// Takes out every message that has left the mailbox and has not ended.
    pub(in crate::py) fn take_all(&mut self) -> Vec<Arc<ActorCell>> {
        let in_flight = self.take_sent().into_iter();
        let in_flight = in_flight.map(|sent| sent.cell);
        let returned = self.returned.drain(..).map(|waiting| waiting.cell);
        let rest = returned.chain(self.revoked.drain(..));
        in_flight.chain(rest).collect()
    }

    /// Takes out a message of `tell` that the child has handled, as its claim word must say.
    pub(in crate::py) fn pass_told(&mut self, sequence: u64) -> Result<Arc<ActorCell>, Broken> {
        if self.is_passed(sequence) {
            Ok(self.leave(sequence)?.cell)
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
