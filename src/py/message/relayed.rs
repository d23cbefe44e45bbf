//! In a child, this takes the place of a message that its parent has for another actor.
//!
//! Only the parent knows what has become of the message. So before a caller cancels it, or asks
//! whether it runs, or to stop, the carrier asks the parent, and the answer is kept here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use super::items::Items;
use super::ticket::Carrier;

pub(in crate::py) struct Relayed {
    carrier: Arc<dyn Carrier>,
    number: u64,
    fate: Arc<Fate>,
    /// Where its items go, if it is a stream.
    items: Option<Arc<Items>>,
}

/// What is known of a message that is with the parent.
///
/// It goes from unknown to one of the others, once.
#[derive(Default)]
pub(in crate::py) struct Fate {
    phase: AtomicU8,
    /// The parent has asked the message to stop while it ran.
    is_asked: AtomicBool,
}

const UNKNOWN: u8 = 0;
const BEGUN: u8 = 1;
const WITHDRAWN: u8 = 2;

impl Fate {
    /// `handle` has begun on it.
    pub(in crate::py) fn set_begun(&self) {
        self.set(BEGUN);
    }

    /// `handle` never begins on it.
    pub(in crate::py) fn set_withdrawn(&self) {
        self.set(WITHDRAWN);
    }

    /// It has begun, and was asked to stop.
    pub(in crate::py) fn set_asked(&self) {
        self.set_begun();
        self.is_asked.store(true, Ordering::SeqCst);
    }

    fn set(&self, fate: u8) {
        // If it is known already, that stays.
        _ = self
            .phase
            .compare_exchange(UNKNOWN, fate, Ordering::SeqCst, Ordering::SeqCst);
    }
}

impl Relayed {
    pub(in crate::py) fn new(
        carrier: Arc<dyn Carrier>,
        number: u64,
        fate: Arc<Fate>,
        items: Option<Arc<Items>>,
    ) -> Self {
        Self {
            carrier,
            number,
            fate,
            items,
        }
    }

    /// By which the parent knows it.
    pub(in crate::py) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn items(&self) -> Option<&Arc<Items>> {
        self.items.as_ref()
    }

    pub(in crate::py) fn is_withdrawn(&self) -> bool {
        self.fate.phase.load(Ordering::SeqCst) == WITHDRAWN
    }

    pub(in crate::py) fn has_begun(&self) -> bool {
        self.fate.phase.load(Ordering::SeqCst) == BEGUN
    }

    pub(in crate::py) fn is_asked(&self) -> bool {
        self.fate.is_asked.load(Ordering::SeqCst)
    }

    /// What brings the answer, and the message's number; see `Ticket::carrier`.
    pub(in crate::py) fn carrier(&self) -> Option<(Arc<dyn Carrier>, u64)> {
        let is_ours = self.carrier.is_ours();
        is_ours.then(|| (Arc::clone(&self.carrier), self.number))
    }
}
