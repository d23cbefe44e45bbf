//! What the parent says of messages, questions and waits: takes its frames, and ends the messages.
//!
//! The thread that reads a frame only notes what it says. It ends messages when another thread can read
//! again. If callbacks watch a message, the callbacks thread ends it, since they run Python code.

use std::sync::Arc;

use super::ended::{Ended, Start, Watched};
use super::inbox::Sort;
use super::relay::{Inlet, Pending, Sent, Waiter};
use super::way::Way;
use crate::engine::ipc::frame::{Frame, Kind};
use crate::engine::ipc::pipe::Broken;
use crate::engine::ipc::relay::{circle, is_yes, refused};
use crate::engine::room::Wake;
use crate::engine::sys;
use crate::engine::waits::{Circle, Refuse, Refused};
use crate::py::codec::body::Body;
use crate::py::future::{callbacks, settle};
use crate::py::message::items::{Item, Supplied};
use crate::py::message::outcome::{Outcome, Sealed};

/// Callbacks are Python code.
const CALLBACK_STACK_BYTES: usize = 8 << 20;

impl Sort for Way {
    fn sort(&self, frame: Frame) -> Result<(), Broken> {
        let number = frame.sequence;
        match frame.kind {
            Kind::Wake => {}
            Kind::Reply => {
                let mut body =
                    Body::receive(|| Arc::clone(&self.arena), frame.body).map_err(Broken::Frame)?;
                body.hold_actors(|number| Some(self.arrive(number)));
                self.end_message(number, Outcome::Sealed(Sealed::Answer(Arc::new(body))));
            }
            Kind::Failed => self.end_message(number, failed(frame.body)),
            Kind::Stopped => self.end_message(number, Outcome::Stopped),
            Kind::Refused => {
                let (target, error) = refused(&frame.body).map_err(Broken::Frame)?;
                if let Some(known) = self.relay.known(target) {
                    // If it is known already, that stays.
                    _ = known.refusal.set(error.to_vec());
                }
                match self.relay.leave(number) {
                    Some(Pending::Message(sent)) => {
                        self.end_sent(sent, failed(error.to_vec()));
                    }
                    Some(Pending::Told(admitted)) => admitted.set(),
                    Some(Pending::Place(cell)) => {
                        self.ended.push(Ended::By(cell, failed(error.to_vec())));
                    }
                    Some(Pending::Question(_) | Pending::Wait(_)) | None => {}
                }
            }
            Kind::Cancelled => {
                if let Some(Pending::Message(sent)) = self.relay.leave(number) {
                    sent.fate.set_withdrawn();
                    if let Some(admitted) = sent.admitted {
                        admitted.set();
                    }
                    self.ended.push(match sent.too_late {
                        Some(error) => Ended::By(sent.cell, failed(error)),
                        None => Ended::Cancelled(sent.cell),
                    });
                }
            }
            Kind::Said => {
                if let Some(Pending::Question(inquiry)) = self.relay.leave(number) {
                    inquiry.answer(is_yes(&frame.body));
                }
            }
            Kind::Item => self.receive_item(number, frame.body)?,
            Kind::Rest => self.ended.push(Ended::Rest(number)),
            Kind::Circle => {
                let (target, names) = circle(&frame.body).map_err(Broken::Frame)?;
                if let Some(Pending::Wait(refusal)) = self.relay.leave(number) {
                    let circle = Circle(names);
                    refusal.refuse(Refused { target, circle });
                }
            }
            Kind::Admitted => match self.relay.admit(number) {
                Some(Waiter::Thread(admitted)) => admitted.set(),
                Some(Waiter::Future(cell)) => {
                    self.ended.push(Ended::By(cell, Outcome::Nothing));
                }
                None => {}
            },
            kind => return Err(Broken::Unexpected(kind)),
        }
        Ok(())
    }

    fn settle(&self) {
        let mut rests = None;
        let settling = self.settling.lock();
        while let Some(ended) = self.ended.pop() {
            let rest = match ended {
                Ended::By(cell, outcome) => {
                    let settled = settle::settle_unwatched(&cell, outcome);
                    settled.err().map(|outcome| Watched::Ended(cell, outcome))
                }
                Ended::Cancelled(cell) => Some(Watched::Cancelled(cell)),
                Ended::Item(taker) => {
                    self.wake_taker(taker);
                    None
                }
                Ended::Rest(number) if !self.may_rest(number) => None,
                Ended::Rest(number) if self.callbacks.get().is_none() => {
                    // No message has had callbacks so far.
                    rests = Some(Watched::Rest(self.answers, number));
                    None
                }
                Ended::Rest(number) => Some(Watched::Rest(self.answers, number)),
            };
            if let Some(watched) = rest {
                self.watched.push(watched);
                self.start_callbacks();
            }
        }
        drop(settling);
        if let Some(rests) = rests {
            rests.settle();
        }
    }
}

/// The end of a message by an encoded exception.
fn failed(error: Vec<u8>) -> Outcome {
    Outcome::Sealed(Sealed::Error(Arc::new(error)))
}

impl Way {
    /// The actor has started: `on_start` has returned. Call it detached.
    pub(super) fn has_started(&self) {
        let start = std::mem::replace(&mut *self.start.lock(), Start::IsOver);
        if let Start::Runs(Some(number)) = start {
            self.ended.push(Ended::Rest(number));
            self.settle();
        }
    }

    /// Whether the parent can be told that this process rests. Otherwise it is told when the actor has
    /// started.
    fn may_rest(&self, number: u64) -> bool {
        match &mut *self.start.lock() {
            Start::Runs(asked) => {
                *asked = Some(number);
                false
            }
            Start::IsOver => true,
        }
    }

    fn end_message(&self, number: u64, outcome: Outcome) {
        match self.relay.leave(number) {
            Some(Pending::Message(sent)) => self.end_sent(sent, outcome),
            Some(Pending::Place(cell)) => self.ended.push(Ended::By(cell, outcome)),
            _ => {}
        }
    }

    /// Puts an item of a stream where it goes. If it is not wanted any more, it is dropped.
    fn receive_item(&self, number: u64, body: Vec<u8>) -> Result<(), Broken> {
        let len_bytes = body.len();
        let arena = || Arc::clone(&self.arena);
        let mut body = Body::receive(arena, body).map_err(Broken::Frame)?;
        body.hold_actors(|number| Some(self.arrive(number)));
        if let Some(Inlet { items, supply }) = self.relay.inlet(number) {
            let supplied = Supplied {
                from: supply,
                len_bytes,
            };
            let inserted = items.insert(Item::Body(body, Some(supplied)), len_bytes);
            for taker in inserted.into_iter().flatten() {
                self.ended.push(Ended::Item(taker));
            }
        }
        Ok(())
    }

    /// Wakes one that waits for an item. If that runs Python code, the callbacks thread does it.
    pub(super) fn wake_taker(&self, taker: Arc<dyn Wake>) {
        if taker.runs_python() {
            self.watched.push(Watched::Item(taker));
            self.start_callbacks();
        } else {
            taker.wake();
        }
    }

    fn end_sent(&self, sent: Sent, outcome: Outcome) {
        if let Some(admitted) = sent.admitted {
            admitted.set();
        }
        self.ended.push(Ended::By(sent.cell, outcome));
    }

    /// Starts the callbacks thread, if it does not run yet. Callbacks have a thread of their own, since
    /// one may wait for something that another thread must read.
    fn start_callbacks(&self) {
        let runs = *self.callbacks.get_or_init(|| {
            let way = self.me();
            let run = move || {
                callbacks::trace_here();
                loop {
                    way.watched.wait().settle();
                    // A thread that waits for what has just ended may sleep in the request pipe.
                    way.ring();
                }
            };
            sys::spawn("callbacks".to_owned(), CALLBACK_STACK_BYTES, run).is_ok()
        });
        if !runs && let Some(watched) = self.watched.pop() {
            watched.settle();
        }
    }
}
