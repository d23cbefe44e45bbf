//! The items of a stream that a child sends: they go into the stream's queue, and what has been taken
//! from there goes back as credit.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::engine::ipc::frame::take_item_number;
use crate::engine::ipc::pipe::Broken;
use crate::engine::ipc::region::Region;
use crate::engine::room::Wake;
use crate::engine::stream::Entered;
use crate::py::codec::actors::Hold;
use crate::py::codec::body::Body;
use crate::py::future::{ActorCell, settle};
use crate::py::message::items::{Item, Items, Supplied, Supply};
use crate::py::message::ticket::{Carrier, Passage};

/// A stream that is in flight.
pub(in crate::py) struct Inflow {
    items: Arc<Items>,
    from: Arc<FromChild>,
    /// How many items have come. Relaxed: it is changed with `outbound` locked.
    received: AtomicU64,
}

/// Gives a child credit for what has been taken.
struct FromChild {
    carrier: Arc<dyn Carrier>,
    state: Mutex<Credit>,
}

struct Credit {
    /// Where the credit goes, and the stream's number; `None` once it has ended: then the number's slot
    /// may be another message's.
    place: Option<(Arc<Region>, u64)>,
    items: u64,
    bytes: u64,
}

impl FromChild {
    fn state(&self) -> MutexGuard<'_, Credit> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Supply for FromChild {
    fn take(&self, len_bytes: usize) -> bool {
        let mut state = self.state();
        state.items += 1;
        state.bytes += len_bytes as u64;
        let Credit {
            place,
            items,
            bytes,
        } = &*state;
        place.as_ref().is_some_and(|(region, sequence)| {
            region.credits().take(*sequence, *items, *bytes);
            region.credits().lacks_credit()
        })
    }

    fn tell(&self) {
        self.carrier.wake_child();
    }
}

impl Inflow {
    /// For a stream that is about to be sent as message `sequence`.
    pub(super) fn begin(passage: &Passage, sequence: u64, items: &Arc<Items>) -> Self {
        let Passage { carrier, region } = passage;
        region.credits().offer(sequence, items.ahead());
        let credit = Credit {
            place: Some((Arc::clone(region), sequence)),
            items: 0,
            bytes: 0,
        };
        Self {
            items: Arc::clone(items),
            from: Arc::new(FromChild {
                carrier: Arc::clone(carrier),
                state: Mutex::new(credit),
            }),
            received: AtomicU64::new(0),
        }
    }

    /// Where its items go.
    pub(super) fn items(&self) -> Arc<Items> {
        Arc::clone(&self.items)
    }

    /// Receives an item. `None` if it has been received before. The caller must settle it without a
    /// lock.
    pub(super) fn receive(
        &self,
        cell: &Arc<ActorCell>,
        mut body: Vec<u8>,
        load: impl FnOnce(Vec<u8>) -> Result<Body, Broken>,
    ) -> Result<Option<Arrived>, Broken> {
        let len_bytes = body.len();
        let number = take_item_number(&mut body).map_err(Broken::Frame)?;
        let received = self.received.load(Ordering::Relaxed);
        if number < received {
            return Ok(None);
        }
        self.received.store(received + 1, Ordering::Relaxed);
        let supplied = Supplied {
            from: Arc::clone(&self.from) as _,
            len_bytes,
        };
        Ok(Some(Arrived {
            items: Arc::clone(&self.items),
            cell: Arc::clone(cell),
            item: Some((Item::Body(load(body)?, Some(supplied)), len_bytes)),
            takers: Vec::new(),
            was_awaited: false,
        }))
    }
}

impl Drop for Inflow {
    /// The message has left the window.
    fn drop(&mut self) {
        self.from.state().place = None;
    }
}

/// An item on its way from the pipe into the queue.
pub(in crate::py) struct Arrived {
    items: Arc<Items>,
    cell: Arc<ActorCell>,
    /// `None` once it is in the queue.
    item: Option<(Item, usize)>,
    /// Those that waited for it and are still to be woken, since that runs Python code.
    takers: Vec<Arc<dyn Wake>>,
    /// Whether a thread waited for it that takes from there.
    was_awaited: bool,
}

impl Arrived {
    /// See `Body::hold_actors`.
    pub(super) fn hold_actors(&mut self, find: impl FnMut(u64) -> Option<Hold>) {
        if let Some((Item::Body(body, ..), _)) = &mut self.item {
            body.hold_actors(find);
        }
    }

    /// Puts it into the queue, and wakes the threads that wait for it. Drops nothing of Python, and runs
    /// none of its code, so the caller may hold a lock. Returns whether that is true of `settle`, too, which
    /// the caller must call without one.
    ///
    /// Under the lock by which it was read: a thread that gets that lock next finds its latch set, if it
    /// waited for this item. Otherwise it would sleep in the pipe, where the latch does not wake it.
    pub(super) fn enter(&mut self) -> bool {
        if let Some((item, weight)) = self.item.take() {
            match self.items.enter(item, weight) {
                Ok(Entered { woken, others }) => {
                    self.takers = others;
                    self.was_awaited = woken > 0;
                }
                // It is dropped with this.
                Err(item) => self.item = Some((item, weight)),
            }
        }
        self.takers.is_empty()
    }

    /// The stream that it belongs to, if a thread waited for it that takes from there.
    pub(super) fn awaited(&self) -> Option<Arc<Items>> {
        self.was_awaited.then(|| Arc::clone(&self.items))
    }

    /// Puts it into the queue, and wakes those that wait for it.
    pub(super) fn settle(&mut self) {
        self.enter();
        for taker in &self.takers {
            taker.wake();
        }
        if let Some(rest) = self.items.close_if_abandoned() {
            drop(rest);
            settle::ask(&self.cell);
        }
    }
}
