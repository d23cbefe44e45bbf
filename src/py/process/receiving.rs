//! What the frames of a child report: messages that have left it, items of streams, and messages that
//! have begun. Whichever thread reads them, it ends no message here, but makes events of them.

use std::sync::Arc;

use super::inbound::{Event, Events, Over};
use super::link::Link;
use super::outbound::{Outbound, release};
use super::relay;
use crate::engine::cell::{Begin, Phase};
use crate::engine::ipc::frame::{Frame, Kind, done_sequences};
use crate::engine::ipc::pipe::Broken;
use crate::engine::sys;
use crate::py::codec::body::Body;
use crate::py::future::settle;
use crate::py::message::outcome::{Outcome, Sealed};
use crate::py::message::tally::Completion;

/// What a frame reports, of the message that it names or of those that it lists.
enum News {
    Ended(Outcome),
    Item(Vec<u8>),
    Begun,
    Skipped,
    Done(Vec<u64>),
}

impl Link {
    /// Processes a frame, which reports that messages have left the child, or that one has begun. The
    /// caller must count what is in flight afterwards.
    pub(super) fn receive(&self, frame: Frame, events: &mut Events) -> Result<(), Over> {
        sys::moment();
        let (body, sequence) = (frame.body, frame.sequence);
        let news = match frame.kind {
            Kind::Error if sequence == 0 => return Err(Over::InitFailed(body)),
            Kind::Error => News::Ended(Outcome::Sealed(Sealed::Error(Arc::new(body)))),
            Kind::Stopped => News::Ended(Outcome::Stopped),
            Kind::Answer => {
                let mut body = Body::receive(|| self.arena(), body).map_err(Broken::Frame)?;
                body.hold_actors(|number| relay::find_actor(self, number));
                News::Ended(Outcome::Sealed(Sealed::Answer(Arc::new(body))))
            }
            Kind::Item => News::Item(body),
            Kind::Begun => News::Begun,
            Kind::Skipped => News::Skipped,
            Kind::Done => News::Done(done_sequences(&body).map_err(Broken::Frame)?),
            kind => return Err(Broken::Unexpected(kind).into()),
        };
        let mut guard = self.outbound();
        // The I/O thread takes it away, but only after the last read.
        let outbound = guard.as_mut().ok_or(Over::Ended)?;
        match news {
            News::Ended(outcome) => {
                events.push_back(self.receive_end(outbound, sequence, outcome)?);
            }
            News::Item(body) => {
                let arena = self.arena();
                let load = |body| Body::receive(|| Arc::clone(&arena), body).map_err(Broken::Frame);
                let sent = outbound.in_flight.get(sequence);
                let sent = sent.ok_or(Broken::NoSuchMessage(sequence))?;
                let inflow = sent.inflow.as_ref();
                let inflow = inflow.ok_or(Broken::Unexpected(Kind::Item))?;
                let arrived = inflow.receive(&sent.cell, body, load)?;
                events.extend(arrived.map(Event::Item));
            }
            News::Begun => events.push_back(self.receive_begun(outbound, sequence)?),
            News::Skipped => {
                let cell = outbound.leave(sequence)?.cell;
                if !cell.phase().is_done() {
                    outbound.revoked.push(Arc::clone(&cell));
                }
                events.push_back(Event::Skipped(cell));
            }
            News::Done(sequences) => self.pass_told(outbound, sequences, events)?,
        }
        drop(guard);
        // This locks `outbound`.
        if let Some(Event::Item(arrived)) = events.back_mut() {
            arrived.hold_actors(|number| relay::find_actor(self, number));
        }
        Ok(())
    }

    fn receive_end(
        &self,
        outbound: &mut Outbound,
        sequence: u64,
        outcome: Outcome,
    ) -> Result<Event, Broken> {
        let cell = outbound.leave(sequence)?.cell;
        let granted = release(&cell);
        // Before the claim word is used for another message: after that the ticket could not tell
        // that this one has begun.
        let ticket = match cell.begin() {
            Begin::Message(ticket) => Some(ticket),
            Begin::Gone => None,
        };
        let completion = match outcome {
            Outcome::Stopped => Completion::Cancelled,
            Outcome::Sealed(Sealed::Answer(_)) => Completion::Handled,
            _ => Completion::Failed,
        };
        settle::count(&self.tally, &cell, completion);
        Ok(Event::Ended(cell, Some(outcome), (granted, ticket)))
    }

    /// Counts and reports messages of `tell` that the child has handled. If that is not true of one,
    /// the ones before it are reported, and the others stay.
    fn pass_told(
        &self,
        outbound: &mut Outbound,
        sequences: Vec<u64>,
        events: &mut Events,
    ) -> Result<(), Broken> {
        let mut cells = Vec::with_capacity(sequences.len());
        let mut granted = Vec::new();
        let passed = sequences.into_iter().try_for_each(|sequence| {
            let cell = outbound.pass_told(sequence)?;
            granted.extend(release(&cell));
            settle::count(&self.tally, &cell, Completion::Handled);
            cells.push(cell);
            Ok(())
        });
        if !cells.is_empty() {
            events.push_back(Event::Done(cells, granted));
        }
        passed
    }

    fn receive_begun(&self, outbound: &Outbound, sequence: u64) -> Result<Event, Broken> {
        let sent = outbound.in_flight.get(sequence);
        // The claim word says whether it has begun. A future that was ended by hand is done.
        let Some(sent) = sent.filter(|sent| sent.cell.phase() != Phase::Pending) else {
            return Err(Broken::NoSuchMessage(sequence));
        };
        let granted = release(&sent.cell);
        // A thread that begins to wait later sets this again, also with `outbound` locked.
        if self.mailbox.room().is_none_or(|room| !room.has_waiters())
            && let Some(connection) = &outbound.connection
        {
            connection.region.set_notify_begun(false);
        }
        Ok(Event::Begun(granted))
    }

    /// Processes the answers that the child had given when it died but had not written to the pipe.
    pub(in crate::py) fn read_spilled(&self, events: &mut Events) {
        if let Some(outbound) = self.outbound().as_mut() {
            let passed = outbound.passed();
            // It cannot fail: the claim words have just said that these were handled.
            _ = self.pass_told(outbound, passed, events);
        }
        for frame in self.region().spill().frames() {
            // Some may have been written before it died. Then their messages are not in flight.
            if self.is_in_flight(frame.sequence) {
                // An error means nonsense: then nothing more can be known.
                _ = self.receive(frame, events);
            }
        }
    }

    fn is_in_flight(&self, sequence: u64) -> bool {
        let outbound = self.outbound();
        outbound
            .as_ref()
            .is_some_and(|outbound| outbound.in_flight.contains(sequence))
    }
}
