//! A stream of an actor of this process from which a child takes: its items go on to that child.
//!
//! # Who passes the items on
//! The thread that puts one in. Invariant: until the stream is over, either one thread is in `pass_on`,
//! or this is registered as a taker, once. So the items leave in their order, without a lock.
//!
//! # How far the stream may be ahead
//! An item that has left counts as one that waits, until the child says that it was taken.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::engine::room::Wake;
use crate::engine::stream::Next;
use crate::engine::waits::Pending;
use crate::py::codec::body::Body;
use crate::py::future::{ActorCell, settle};
use crate::py::message::items::{Item, Items, Supplied};

/// The child that takes.
pub(super) trait Receiver: Send + Sync {
    /// Sends an item of the stream that has this number in the child. An error says why the item cannot
    /// be sent.
    fn send_item(&self, number: u64, item: Body) -> PyResult<()>;

    /// Sends how the stream has ended: by `failure`, or as the cell says.
    fn send_end(&self, number: u64, cell: &ActorCell, failure: Option<PyErr>);
}

pub(super) struct Onward {
    receiver: Box<dyn Receiver>,
    /// The stream's number in the child.
    number: u64,
    cell: Arc<ActorCell>,
    items: Arc<Items>,
    state: Mutex<State>,
    /// The end is sent when the cell has ended and no more items leave: how many of these two are
    /// still to come.
    rest: AtomicUsize,
    /// The message was refused, which the child has been told.
    is_refused: AtomicBool,
    /// This, for the queue of items.
    me: Weak<Self>,
}

#[derive(Default)]
struct State {
    /// What has left and was not taken yet.
    sent: VecDeque<Sent>,
    /// Why an item could not be sent.
    failure: Option<PyErr>,
}

struct Sent {
    weight: usize,
    supplied: Option<Supplied>,
}

impl Onward {
    pub(super) fn new(
        receiver: Box<dyn Receiver>,
        number: u64,
        cell: &Arc<ActorCell>,
        items: Arc<Items>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            receiver,
            number,
            cell: Arc::clone(cell),
            items,
            state: Mutex::default(),
            rest: AtomicUsize::new(2),
            is_refused: AtomicBool::new(false),
            me: Weak::clone(me),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends on what there is, and is woken for what comes. Called once, before there are items.
    pub(super) fn pass_on(&self) {
        loop {
            match self.items.forward(|| Some(self.me.upgrade()? as _)) {
                Next::Item((item, weight)) => self.send(item, weight),
                Next::Empty => return,
                Next::Ended | Next::Closed => return self.end_part(),
            }
        }
    }

    fn send(&self, item: Item, weight: usize) {
        let sent = match item {
            Item::Body(body, supplied) => {
                // First: the child may say at once that it has taken the item.
                self.state().sent.push_back(Sent { weight, supplied });
                self.receiver.send_item(self.number, body)
            }
            item @ (Item::Object(_) | Item::Carried(..)) => {
                Python::attach(|_| drop(item));
                let text = "an item of this stream was packed for no other process";
                Err(PyRuntimeError::new_err(text))
            }
        };
        if let Err(error) = sent {
            // The items after a lost one might make no sense.
            self.state().failure = Some(error);
            self.close();
            settle::ask(&self.cell);
        }
    }

    /// The child has taken the oldest item that it has got.
    pub(super) fn confirm(&self) {
        let sent = self.state().sent.pop_front();
        if let Some(Sent { weight, supplied }) = sent {
            self.items.confirm(weight);
            if let Some(supplied) = supplied {
                supplied.take();
            }
        }
    }

    /// No more items are wanted.
    pub(super) fn close(&self) {
        drop(self.items.close());
    }

    /// The cell has ended.
    pub(super) fn end(&self) {
        // First: all that was put in before leaves before the end.
        self.items.end();
        self.end_part();
    }

    fn end_part(&self) {
        let is_last = self.rest.fetch_sub(1, Ordering::SeqCst) == 1;
        if is_last && !self.is_refused.load(Ordering::SeqCst) {
            let failure = self.state().failure.take();
            self.receiver.send_end(self.number, &self.cell, failure);
        }
    }

    /// The message is about to be refused, so the child hears nothing else of the stream.
    pub(super) fn refuse(&self) {
        self.is_refused.store(true, Ordering::SeqCst);
    }

    /// Whether it needs no taker any more.
    pub(super) fn is_over(&self) -> bool {
        self.is_refused.load(Ordering::SeqCst) || self.rest.load(Ordering::SeqCst) == 0
    }
}

impl Wake for Onward {
    fn wake(&self) {
        self.pass_on();
    }

    /// If an item cannot be sent.
    fn runs_python(&self) -> bool {
        true
    }
}

/// For a thread of the child that waits for an item.
impl Pending for Onward {
    fn is_over(&self) -> bool {
        // One is on its way to the thread.
        self.cell.done().is_set() || self.items.forwarded() > 0
    }
}
