//! Waiting for a place in a bounded mailbox, for a message that a child has not sent yet: no thread of this
//! process waits.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::engine::room::{Permit, Room, Seat, Wake};
use crate::engine::waits::Pending;
use crate::py::host::host::Host;

/// A turn in the queue for a place, of something that has no thread that waits.
#[derive(Default)]
pub(super) struct Turn {
    standing: Mutex<Standing>,
    /// Whether it is over, for threads that must not block.
    is_over: AtomicBool,
}

#[derive(Default)]
enum Standing {
    /// The thread that queues has not stored the seat yet.
    #[default]
    Queueing,
    Seated(Seat),
    /// The place was granted, or the turn given up.
    Over,
}

impl Turn {
    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place, if one is free. Otherwise `waiter` queues for one, whose `wake` must call
    /// `granted`.
    pub(super) fn acquire(
        &self,
        host: &Host,
        room: &Arc<Room>,
        waiter: impl FnOnce() -> Arc<dyn Wake>,
    ) -> Option<Permit> {
        let permit = host.try_acquire_detached(room);
        if permit.is_some() {
            return permit;
        }
        let seat = room.queue(waiter());
        let mut standing = self.standing();
        if matches!(*standing, Standing::Over) {
            drop(standing);
            return seat.leave();
        }
        *standing = Standing::Seated(seat);
        drop(standing);
        // From here on the transport reports each message that begins.
        host.release_begun_detached();
        None
    }

    /// The place that was just granted. `None` if the turn is given up, or if the thread that queues is
    /// about to find the place.
    pub(super) fn granted(&self) -> Option<Permit> {
        self.end().and_then(Seat::leave)
    }

    /// Leaves the place that was just granted to the next one: see [`Wake::wake_or_decline`]. False if
    /// this has none.
    pub(super) fn decline(&self) -> bool {
        self.end().is_some_and(Seat::decline)
    }

    /// Leaves the queue, or gives back the place if that was just granted.
    pub(super) fn give_up(&self) {
        // Without the lock: this locks the room.
        drop(self.end());
    }

    fn end(&self) -> Option<Seat> {
        self.is_over.store(true, Ordering::SeqCst);
        let standing = std::mem::replace(&mut *self.standing(), Standing::Over);
        match standing {
            Standing::Seated(seat) => Some(seat),
            Standing::Queueing | Standing::Over => None,
        }
    }
}

impl Pending for Turn {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }
}
