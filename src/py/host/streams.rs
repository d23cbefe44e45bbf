//! The streams that an actor runs, as the interpreter's exit sees them: it stops those that wait for a
//! taker when nothing else is left to do.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use pyo3::prelude::*;

use crate::py::future::{ActorCell, settle};
use crate::py::message::items::Items;
use crate::py::message::tally::Tally;

/// A stream that an actor runs, or will run.
#[derive(Clone)]
pub(in crate::py) struct RunningStream {
    pub(in crate::py) items: Arc<Items>,
    pub(in crate::py) cell: Arc<ActorCell>,
}

impl RunningStream {
    /// Whether its generator goes on only when an item is taken. So it has begun.
    pub(super) fn waits_for_taker(&self) -> bool {
        self.items.waits_for_taker()
    }

    pub(super) fn taken(&self) -> u64 {
        self.items.taken()
    }

    pub(super) fn stop(&self, py: Python<'_>, tally: &Tally) {
        settle::close(py, &self.items, &self.cell, tally);
    }
}

/// How many messages of an actor run and do not go on by themselves: streams that wait for a taker, and
/// handlers that wait for other actors.
#[derive(Clone, Copy)]
pub(in crate::py) struct Stalled {
    pub(in crate::py) count: usize,
    /// How many messages the actor handles at a time.
    pub(in crate::py) places: usize,
}

impl Stalled {
    /// Whether the actor begins no other message before one of these goes on.
    pub(in crate::py) fn fills_places(self) -> bool {
        self.count >= self.places
    }
}

/// The streams that the thread of an actor runs.
#[derive(Default)]
pub(in crate::py) struct RunningStreams(Mutex<Vec<Weak<RunningStream>>>);

impl RunningStreams {
    /// A stream begins. It runs while what this returns is there.
    pub(in crate::py) fn enter(
        &self,
        cell: &Arc<ActorCell>,
        items: &Arc<Items>,
    ) -> Arc<RunningStream> {
        let stream = Arc::new(RunningStream {
            items: Arc::clone(items),
            cell: Arc::clone(cell),
        });
        let mut streams = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        streams.retain(|stream| stream.strong_count() > 0);
        streams.push(Arc::downgrade(&stream));
        stream
    }

    pub(in crate::py) fn all(&self) -> Vec<RunningStream> {
        let streams = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stream = |stream: &Weak<RunningStream>| Some(RunningStream::clone(&*stream.upgrade()?));
        streams.iter().filter_map(stream).collect()
    }
}
