//! A turn in the queue for room, with the future that is done once a place is granted.
//!
//! A coroutine has one in `apost` and `atell`. It uses the place when it goes on, so that it can be
//! cancelled until then and nothing is sent. It cannot go on while code blocks the thread of its event
//! loop. If that code waits for room behind the coroutine, both would wait for ever. So it takes the
//! first turn that a coroutine of its thread has, and the coroutine gets its turn instead
//! ([`RoomSeat::overtake`]). Senders in other threads keep theirs.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use crate::engine::cell::Phase;
use crate::engine::room::{Permit, Room, Seat};
use crate::py::future::ActorCell;

/// Which room a turn is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::py) enum RoomId {
    /// The address of one of this process.
    Here(usize),
    /// The number of the actor or pool that has it.
    Elsewhere(u64),
}

impl RoomId {
    pub(super) fn of(room: &Arc<Room>) -> Self {
        Self::Here(Arc::as_ptr(room).addr())
    }
}

/// A turn in the queue of a mailbox, which may be in another process.
pub(in crate::py) enum Turn {
    Here(Seat),
    Elsewhere(Reservation),
}

impl Turn {
    /// Of two turns for the same room, the earlier one has the lower.
    fn order(&self) -> u64 {
        match self {
            Self::Here(seat) => seat.ticket().unwrap_or_default(),
            Self::Elsewhere(reservation) => reservation.number,
        }
    }
}

/// A place in a mailbox.
pub(in crate::py) enum Place {
    Here(Permit),
    Elsewhere(Reservation),
}

impl Place {
    /// A place in a mailbox of this process.
    pub(in crate::py) fn here(self) -> Option<Permit> {
        match self {
            Self::Here(permit) => Some(permit),
            Self::Elsewhere(_) => None,
        }
    }

    /// One that is reserved in another process.
    pub(in crate::py) fn elsewhere(self) -> Option<Reservation> {
        match self {
            Self::Here(_) => None,
            Self::Elsewhere(reservation) => Some(reservation),
        }
    }
}

/// A place in the mailbox of another process, or a turn in the queue for one. Dropping it gives it up.
pub(in crate::py) struct Reservation {
    number: u64,
    give_up: Option<Box<dyn FnOnce(u64) + Send>>,
}

impl Reservation {
    pub(in crate::py) fn new(number: u64, give_up: impl FnOnce(u64) + Send + 'static) -> Self {
        let give_up = Some(Box::new(give_up) as _);
        Self { number, give_up }
    }

    /// The number that the message which takes the place must have.
    pub(in crate::py) fn number(&self) -> u64 {
        self.number
    }

    /// The message takes the place.
    pub(in crate::py) fn take(mut self) {
        self.give_up = None;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(give_up) = self.give_up.take() {
            give_up(self.number);
        }
    }
}

/// A turn, and what is done once it is granted a place.
struct Queued {
    future: Py<PyAny>,
    /// That of the future.
    cell: Arc<ActorCell>,
    /// `None` after the place has been used or given up.
    turn: Option<Turn>,
}

struct Shared {
    room: RoomId,
    /// A thread that holds two of these locks has locked its own seat first, and only that thread has a
    /// seat which overtakes.
    queued: Mutex<Queued>,
}

impl Shared {
    fn queued(&self) -> MutexGuard<'_, Queued> {
        self.queued.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn order(&self) -> Option<u64> {
        self.queued().turn.as_ref().map(Turn::order)
    }

    fn take_turn(&self) -> Option<Turn> {
        self.queued().turn.take()
    }

    /// Exchanges the turns, if both have one. Returns whether they have.
    fn exchange(&self, other: &Self) -> bool {
        let (mut mine, mut other) = (self.queued(), other.queued());
        let both = mine.turn.is_some() && other.turn.is_some();
        if both {
            std::mem::swap(&mut *mine, &mut *other);
        }
        both
    }
}

thread_local! {
    /// The seats of coroutines whose event loop runs in this thread. Some may be gone.
    static SEATS: RefCell<Vec<Weak<Shared>>> = const { RefCell::new(Vec::new()) };
}

/// For `apost` and `atell`: a turn in the queue, and a future that is done once granted.
#[pyclass(frozen, module = "futures_actors._core")]
pub(in crate::py) struct RoomSeat {
    shared: Arc<Shared>,
    /// The one with which this has exchanged its turn.
    overtaken: Mutex<Option<Arc<Shared>>>,
}

impl RoomSeat {
    /// `future` is done when there is a place. `cell` is its cell.
    pub(in crate::py) fn new(
        room: RoomId,
        future: Bound<'_, PyAny>,
        cell: Arc<ActorCell>,
        turn: Turn,
    ) -> Self {
        let queued = Queued {
            future: future.unbind(),
            cell,
            turn: Some(turn),
        };
        let shared = Arc::new(Shared {
            room,
            queued: Mutex::new(queued),
        });
        let overtaken = Mutex::default();
        Self { shared, overtaken }
    }

    /// Whether coroutines of the event loop of this thread wait for that room.
    pub(in crate::py) fn is_awaited_here(room: RoomId) -> bool {
        if SEATS.with_borrow(Vec::is_empty) {
            return false;
        }
        SEATS.with_borrow_mut(|seats| seats.retain(|seat| seat.strong_count() > 0));
        first_here(room).is_some()
    }

    /// This is the seat of a coroutine: code that blocks its event loop can overtake it.
    pub(in crate::py) fn enlist(&self) {
        SEATS.with_borrow_mut(|seats| {
            // No reallocation, as long as enough of them are gone.
            if seats.len() == seats.capacity() {
                seats.retain(|seat| seat.strong_count() > 0);
                seats.reserve(seats.len() + 8);
            }
            seats.push(Arc::downgrade(&self.shared));
        });
    }

    /// For code that blocks this thread until it has a place: takes the first turn that a coroutine of
    /// the thread's event loop has, and gives it that of this seat, until `leave`.
    pub(in crate::py) fn overtake(&self) {
        let Some(first) = first_here(self.shared.room) else {
            return;
        };
        let is_before = first.order() < self.shared.order();
        if is_before && self.shared.exchange(&first) {
            *self.overtaken() = Some(first);
        }
    }

    fn overtaken(&self) -> MutexGuard<'_, Option<Arc<Shared>>> {
        let overtaken = self.overtaken.lock();
        overtaken.unwrap_or_else(PoisonError::into_inner)
    }

    /// The cell of the future.
    pub(in crate::py) fn cell(&self) -> Arc<ActorCell> {
        Arc::clone(&self.shared.queued().cell)
    }

    /// Of one in another process, the number.
    pub(in crate::py) fn order(&self) -> u64 {
        self.shared.order().unwrap_or_default()
    }

    /// The place that was granted; `None` if none was.
    pub(in crate::py) fn place(&self) -> Option<Place> {
        let turn = {
            let mut queued = self.shared.queued();
            if !queued.cell.done().is_set() {
                return None;
            }
            queued.turn.take()
        };
        match turn? {
            Turn::Here(seat) => seat.leave().map(Place::Here),
            Turn::Elsewhere(reservation) => Some(Place::Elsewhere(reservation)),
        }
    }
}

/// The seat of a coroutine of this thread's event loop that has the first turn for that room.
fn first_here(room: RoomId) -> Option<Arc<Shared>> {
    // Dropping one of them may run Python code, which may enlist another.
    let seats: Vec<_> = SEATS.with_borrow(|seats| seats.iter().filter_map(Weak::upgrade).collect());
    let mut first: Option<(u64, Arc<Shared>)> = None;
    for seat in seats.into_iter().filter(|seat| seat.room == room) {
        let is_cancelled = seat.queued().cell.phase() == Phase::Cancelled;
        if is_cancelled {
            // Its coroutine gives the turn up when it goes on.
            drop(seat.take_turn());
        } else if let Some(order) = seat.order()
            && first.as_ref().is_none_or(|(least, _)| order < *least)
        {
            first = Some((order, seat));
        }
    }
    first.map(|(_, seat)| seat)
}

#[pymethods]
impl RoomSeat {
    /// What is done once a place is granted. Code that blocks the event loop can exchange it.
    #[getter]
    pub(in crate::py) fn future(&self, py: Python<'_>) -> Py<PyAny> {
        self.shared.queued().future.clone_ref(py)
    }

    /// Give up the turn, or the place if it has been granted.
    pub(in crate::py) fn leave(&self) {
        let overtaken = self.overtaken().take();
        if let Some(overtaken) = overtaken {
            // If this has used the place, the other one has the turn of this.
            self.shared.exchange(&overtaken);
        }
        drop(self.shared.take_turn());
    }

    /// Visits the future, which breaks a cycle itself.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // A thread that holds the lock uses the future.
        let queued = self.shared.queued.try_lock();
        queued.map_or(Ok(()), |queued| visit.call(&queued.future))
    }
}
