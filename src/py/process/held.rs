//! What the child of one connection can refer to, and what it has asked of other actors, as data.
//!
//! # Who keeps whom alive
//! The connection counts how often each actor was sent to the child, and holds the actor until the child
//! has said as often that it is forgotten. A dead child's connection is dropped as a whole. The actor
//! does not hold itself.

use std::collections::HashMap;
use std::sync::Arc;

use crate::py::codec::actors::Hold;
use crate::py::future::ActorCell;
use crate::py::host::host::Host;

/// What the child of one connection can refer to, and what it has asked for.
#[derive(Default)]
pub(in crate::py) struct Relayed {
    /// Each actor that the child refers to, and how often it was sent there.
    held: HashMap<u64, (Hold, u64)>,
    /// The number of the child's own actor, which it does not keep alive.
    pub(super) own: Option<u64>,
    /// What is not held, to be dropped without a lock.
    surplus: Vec<Hold>,
    /// The messages of the child that other actors have not answered, by the child's numbers.
    pub(super) asked: HashMap<u64, Asked>,
}

#[derive(Clone)]
pub(super) struct Asked {
    pub(super) cell: Arc<ActorCell>,
    pub(super) host: Arc<Host>,
}

impl Relayed {
    /// The child gets these actors now.
    pub(super) fn hold(&mut self, actors: impl IntoIterator<Item = Hold>) {
        for actor in actors {
            if self.own == Some(actor.number()) {
                self.surplus.push(actor);
                continue;
            }
            let held = self.held.entry(actor.number());
            held.or_insert((actor, 0)).1 += 1;
        }
    }

    /// What the caller must drop without a lock: it may end an actor.
    pub(super) fn take_surplus(&mut self) -> Vec<Hold> {
        std::mem::take(&mut self.surplus)
    }

    pub(super) fn find(&self, number: u64) -> Option<Hold> {
        self.held.get(&number).map(|(actor, _)| Arc::clone(actor))
    }

    /// The child does not refer to an actor any more that it got `count` times. Returns what the caller
    /// must drop without a lock.
    pub(super) fn forget(&mut self, number: u64, count: u64) -> Option<Hold> {
        let (_, held) = self.held.get_mut(&number)?;
        *held = held.saturating_sub(count);
        if *held > 0 {
            return None;
        }
        self.held.remove(&number).map(|(actor, _)| actor)
    }
}
