//! What a link of a pool does besides: it takes from the mailbox of the pool too, says how much its
//! member has to do, and gives back messages that the child has not begun.

use std::sync::Arc;

use super::crew::Seat;
use super::outbound::{Outbound, Sending, Waiting, Whose, waiting};
use crate::engine::cell::{Hold, Phase};
use crate::engine::loads::AWAY;
use crate::engine::mailbox::{Mailbox, Take};
use crate::engine::roster::Turn;
use crate::py::future::ActorCell;
use crate::py::message::message::Message;

impl Outbound {
    /// Tells the rest of the pool how much this member has to do.
    pub(in crate::py) fn publish(&self, seat: &Seat) {
        let takes = self.is_constructed && self.sending == Sending::Open;
        let takes = takes && self.connection.is_some();
        let load = if takes { self.load() } else { AWAY };
        seat.crew.loads.publish(seat.index, load);
    }

    /// So many messages have ended. From this follows how many may be sent ahead.
    pub(in crate::py) fn note_ended(&mut self, count: usize, seat: &Seat) {
        let ahead = self.pace.ended(count);
        seat.crew.loads.set_ahead(seat.index, ahead);
    }

    /// Takes the next message for a member out of its own mailbox or that of the pool.
    pub(super) fn take_as_member(
        &mut self,
        own: &Mailbox<Arc<ActorCell>>,
        Seat { crew, index }: &Seat,
    ) -> Take<Waiting> {
        let shared = &*crew.team.mailbox;
        if !self.is_constructed || !crew.team.opened.is_set() {
            // Nothing begins before the constructors have returned. But the pool may have ended.
            let is_over =
                own.is_closed() && own.is_empty() && shared.is_closed() && shared.is_empty();
            return if is_over { Take::Closed } else { Take::Empty };
        }
        let load = self.load();
        // The caller of `pump` publishes the load again.
        let may_share = crew.loads.may_take(*index, load);
        match self.turns.try_take_from(own, may_share.then_some(shared)) {
            // A member may still have to take what another one has not begun.
            (Take::Closed, _) if load > 0 || !crew.loads.others_behind(*index, load).is_empty() => {
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
}
