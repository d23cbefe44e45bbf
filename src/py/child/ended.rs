//! Messages to other actors that have ended, as data: what the thread that reads hands to the thread
//! that ends them, and what that one leaves to the callbacks thread. And whether this process's actor
//! has started, for until then the process is not at rest.

use std::collections::VecDeque;
use std::sync::Arc;

use pyo3::prelude::*;

use crate::engine::ipc::frame::{Kind, encode};
use crate::engine::ipc::outbox::{Haste, Outbox};
use crate::engine::room::Wake;
use crate::engine::sync::{Condvar, Mutex};
use crate::py::future::{ActorCell, settle};
use crate::py::interpreter::daemon_threads::outlast;
use crate::py::message::outcome::Outcome;

/// A message to another actor that has ended.
pub(super) enum Ended {
    By(Arc<ActorCell>, Outcome),
    Cancelled(Arc<ActorCell>),
    /// All that came before it has.
    Rest(u64),
    /// It has not: it is a stream, and an item has come for this one that waits for it.
    Item(Arc<dyn Wake>),
}

/// A message to another actor that has ended, and that a callback waits for.
pub(super) enum Watched {
    Ended(Arc<ActorCell>, Outcome),
    Cancelled(Arc<ActorCell>),
    /// An item has come, or the end.
    Item(Arc<dyn Wake>),
    /// The callbacks of what ended before this have run: the parent wants to know, by this number.
    Rest(&'static Outbox, u64),
}

impl Watched {
    pub(super) fn settle(self) {
        if let Self::Rest(answers, number) = self {
            // If the parent is gone, nobody waits for that.
            _ = answers.send([encode(Kind::Rests, number, b"")], Haste::Now);
            return;
        }
        // At the end of the process there is no interpreter any more, nor code that waits. It may also
        // end while this thread waits to be attached.
        outlast();
        _ = Python::try_attach(|py| match self {
            Self::Ended(cell, outcome) => _ = settle::settle(&cell, outcome),
            Self::Item(taker) => taker.wake(),
            Self::Cancelled(cell) => {
                if let Err(error) = settle::cancel(py, &cell, None) {
                    error.write_unraisable(py, None);
                }
            }
            Self::Rest(..) => {}
        });
    }
}

pub(super) struct Queue<T> {
    items: Mutex<VecDeque<T>>,
    changed: Condvar,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            items: Mutex::default(),
            changed: Condvar::new(),
        }
    }
}

impl<T> Queue<T> {
    pub(super) fn push(&self, item: T) {
        self.items.lock().push_back(item);
        self.changed.notify_one();
    }

    pub(super) fn pop(&self) -> Option<T> {
        self.items.lock().pop_front()
    }

    pub(super) fn wait(&self) -> T {
        let mut items = self.items.lock();
        loop {
            if let Some(item) = items.pop_front() {
                return item;
            }
            items = self.changed.wait(items);
        }
    }
}

/// How far the start of this process's actor is.
pub(super) enum Start {
    /// Its constructor or `on_start` may run. The parent has asked whether it rests, by this number.
    Runs(Option<u64>),
    IsOver,
}

impl Default for Start {
    fn default() -> Self {
        Self::Runs(None)
    }
}
