//! The outbound side of a link: what is sent to the child, and what takes its place here.
//!
//! The link keeps all of it behind one lock. No call blocks, and none calls Python.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::crew::Seat;
use super::held::Relayed;
use super::inflow::Inflow;
use crate::engine::arena::Arena;
use crate::engine::cell::{Hold, Phase};
use crate::engine::ipc::frame::{Encoded, Kind, encode};
use crate::engine::ipc::pipe::{Broken, Flush, Writer};
use crate::engine::ipc::region::Region;
use crate::engine::ipc::window::{Capacity, Window};
use crate::engine::loads::AWAY;
use crate::engine::mailbox::{Mailbox, Take};
use crate::engine::pace::Pace;
use crate::engine::roster::{Turn, Turns};
use crate::engine::sys::{self, Bell};
use crate::py::codec::packed::Packed;
use crate::py::future::ActorCell;
use crate::py::message::message::Message;
use crate::py::message::ticket::{Carrier, Ticket};

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
    taken_back: usize,
    /// Of a member: whether the constructor has returned in this child.
    pub(in crate::py) is_constructed: bool,
    turns: Turns,
    pace: Pace,
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

fn waiting(taken: Take<Arc<ActorCell>>, whose: Whose) -> Take<Waiting> {
    match taken {
        Take::Item(cell) => Take::Item(Waiting { cell, whose }),
        Take::Empty => Take::Empty,
        Take::Closed => Take::Closed,
    }
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

    /// Tells the rest of the pool how much this member has to do.
    pub(in crate::py) fn publish(&self, seat: &Seat) {
        let takes = self.is_constructed && self.sending == Sending::Open;
        let takes = takes && self.connection.is_some();
        let load = if takes { self.load() } else { AWAY };
        seat.crew.loads.publish(seat.index, load);
    }

    /// So many messages have ended. From this follows how many may be sent ahead.
    pub(in crate::py) fn note_ended(&mut self, count: usize, seat: &Seat) {
        let limit = self.pace.ended(count);
        seat.crew.loads.set_limit(seat.index, limit);
    }

    /// Whether another message may be sent, if at most `limit` may be in flight.
    fn has_room(&self, source: &Source<'_>, limit: usize) -> bool {
        match source.seat {
            None => self.in_flight.has_room(limit),
            Some(seat) => {
                let ahead = seat.crew.loads.limit(seat.index);
                let in_flight = self.in_flight.len() - self.taken_back;
                self.in_flight.has_room(usize::MAX) && in_flight < limit.min(ahead)
            }
        }
    }

    /// Takes the next message out of the mailbox, or out of the two.
    fn take(&mut self, source: &Source<'_>) -> Take<Waiting> {
        let own = source.mailbox;
        let Some(Seat { crew, index }) = source.seat else {
            return waiting(own.try_take(), Whose::Own);
        };
        let shared = &*crew.team.mailbox;
        if !self.is_constructed || !crew.team.opened.is_set() {
            // Nothing begins before the constructors have returned. But the pool may have ended.
            let is_over =
                own.is_closed() && own.is_empty() && shared.is_closed() && shared.is_empty();
            return if is_over { Take::Closed } else { Take::Empty };
        }
        let load = self.load();
        let is_idle = load == 0;
        // Otherwise an idle one gets it. Whoever called `pump` publishes the load again.
        let may_share = is_idle || crew.loads.may_take_ahead(*index, load);
        match self.turns.try_take_from(own, may_share.then_some(shared)) {
            // A member may still have to take what another one has not begun.
            (Take::Closed, _) if !is_idle || !crew.loads.others_behind(*index).is_empty() => {
                Take::Empty
            }
            (taken, Turn::Own) => waiting(taken, Whose::Own),
            (taken, Turn::Shared) => waiting(taken, Whose::Shared),
        }
    }

    /// Takes out the messages that any member may handle, and that the child has not begun and never
    /// will: it is dead.
    pub(in crate::py) fn take_unbegun(&mut self) -> Vec<Arc<ActorCell>> {
        let mut unbegun = self.take_in_flight(0, usize::MAX, Message::into_unsent);
        let returned = std::mem::take(&mut self.returned).into_iter();
        let (shared, own): (Vec<_>, _) =
            returned.partition(|waiting| waiting.whose == Whose::Shared);
        self.returned = own.into();
        unbegun.extend(shared.into_iter().map(|waiting| waiting.cell));
        unbegun
    }

    /// Takes back half of the messages that any member may handle and that the child has not begun.
    /// The first that it has stays: if the child has not begun that, it is about to.
    pub(in crate::py) fn take_half(&mut self) -> Vec<Arc<ActorCell>> {
        let shared = self
            .in_flight
            .iter()
            .skip_while(|(_, sent)| sent.whose == Whose::TakenBack);
        let shared = shared
            .skip(1)
            .filter(|(_, sent)| sent.whose == Whose::Shared);
        let shared = shared
            .filter(|(_, sent)| sent.cell.phase() == Phase::Pending)
            .count();
        self.take_in_flight(1, shared.div_ceil(2), Message::take_back)
    }

    /// Takes out the oldest `most` shared messages in flight, but not the `first` ones, each of which
    /// `take` must have made a packed message again.
    fn take_in_flight(
        &mut self,
        first: usize,
        most: usize,
        take: fn(Message) -> (Message, bool),
    ) -> Vec<Arc<ActorCell>> {
        let live = self
            .in_flight
            .iter()
            .filter(|(_, sent)| sent.whose != Whose::TakenBack);
        let shared = live
            .skip(first)
            .filter(|(_, sent)| sent.whose == Whose::Shared);
        let numbers: Vec<u64> = shared.map(|(sequence, _)| sequence).collect();
        let mut taken = Vec::new();
        for sequence in numbers {
            if taken.len() == most {
                break;
            }
            if let Some(sent) = self.in_flight.get_mut(sequence)
                && sent.cell.exchange(take) == Some(true)
            {
                // A cell that has ended stands for it until the child has skipped it.
                let void = Arc::<ActorCell>::default();
                drop(void.cancel(Hold::Nothing));
                taken.push(std::mem::replace(&mut sent.cell, void));
                sent.whose = Whose::TakenBack;
                sent.inflow = None;
                self.taken_back += 1;
            }
        }
        taken
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
        carrier: &Arc<dyn Carrier>,
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
            if !self.send_next(carrier, keeps) {
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
    fn send_next(&mut self, carrier: &Arc<dyn Carrier>, keeps: bool) -> bool {
        let (Some(connection), Some(Waiting { cell, .. })) =
            (&mut self.connection, self.returned.front())
        else {
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
            let Message::Frame(mut packed, items) = message else {
                return (message.bounded(permit), ToSend::Nothing);
            };
            if !packed.is_for(&connection.arena) {
                return (Message::Frame(packed, items).bounded(permit), ToSend::Later);
            }
            packed.renumber(sequence);
            let kept = keeps.then(|| packed.split());
            let region = &connection.region;
            let inflow = items
                .as_ref()
                .map(|items| Inflow::begin(carrier, region, sequence, items));
            let ticket = Ticket::new(carrier, region, sequence, &packed, items, permit, kept);
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
