//! The items of a stream, and which streams of an actor are open, with the thread that takes from each.

use std::cell::Cell;
use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use pyo3::prelude::*;

use crate::engine::latch::Latch;
use crate::engine::stream::Stream;
use crate::py::codec::body::Body;
use crate::py::interpreter::imports;

/// An item on its way to a taker.
pub(in crate::py) enum Item {
    Object(Py<PyAny>),
    /// As bytes, with where they come from, if that is another process. It is loaded when it is taken.
    Body(Body, Option<Supplied>),
    /// As the carrier of a remote actor has it: to call this with the second makes the object.
    Carried(Py<PyAny>, Py<PyAny>),
}

impl Item {
    /// The object. An error is what loading it has raised.
    pub(in crate::py) fn open(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self {
            Self::Object(object) => Ok(object),
            Self::Body(body, supplied) => {
                if let Some(supplied) = supplied {
                    supplied.take_attached(py);
                }
                Ok(body.load(py)?.unbind())
            }
            Self::Carried(open, parcel) => open.call1(py, (parcel,)),
        }
    }
}

/// Where the items of a stream come from, if that is another process.
pub(in crate::py) trait Supply: Send + Sync {
    /// An item has been taken, whose frame had so many bytes. Returns whether the caller must call
    /// `tell`.
    fn take(&self, len_bytes: usize) -> bool;

    /// Tells the other process of what was taken. Call it detached.
    fn tell(&self);
}

/// Where an item comes from, and how long its frame was.
pub(in crate::py) struct Supplied {
    pub(in crate::py) from: Arc<dyn Supply>,
    pub(in crate::py) len_bytes: usize,
}

impl Supplied {
    /// The item has been taken. Call it detached.
    pub(in crate::py) fn take(self) {
        if self.from.take(self.len_bytes) {
            self.from.tell();
        }
    }

    fn take_attached(self, py: Python<'_>) {
        if self.from.take(self.len_bytes) {
            py.detach(|| self.from.tell());
        }
    }
}

pub(in crate::py) type Items = Stream<Item>;

/// A stream that somebody holds.
pub(in crate::py) trait OpenStream: Send + Sync {
    /// Ends it, as its taker does. Never waits.
    fn close(&self, py: Python<'_>);

    fn items(&self) -> &Items;

    fn taker(&self) -> &Taker;

    /// Whether it is the stream of the message that this is the end of.
    fn is_of(&self, done: &Latch) -> bool;

    /// The actor's name.
    fn name(&self) -> &str;
}

/// The thread that made a stream, or has last taken from it.
#[derive(Default)]
pub(in crate::py) struct Taker {
    /// Its number, and whether it is an actor's thread: twice the number, plus one if it is.
    ///
    /// Relaxed: only that thread itself relies on it.
    thread: AtomicU64,
    /// What `threading.get_ident()` returns there. Relaxed: the exit may miss a change.
    ident: AtomicU64,
}

static THREADS: AtomicU64 = AtomicU64::new(1);

thread_local! {
    static THIS: Cell<u64> = const { Cell::new(0) };
    static IDENT: Cell<u64> = const { Cell::new(0) };
}

/// A number for the calling thread, which no other thread of this process ever has.
fn this_thread() -> u64 {
    let this = THIS.get();
    if this != 0 {
        return this;
    }
    let this = 2 * THREADS.fetch_add(1, Ordering::Relaxed);
    THIS.set(this);
    this
}

/// What `threading.get_ident()` returns in the calling thread. 0 if that fails.
fn this_ident(py: Python<'_>) -> u64 {
    if IDENT.get() == 0 {
        let ident = imports::get_ident(py).and_then(|get| get.call0()?.extract());
        IDENT.set(ident.unwrap_or(0));
    }
    IDENT.get()
}

/// From now on the calling thread counts as one of an actor: it takes although the interpreter exits.
pub(in crate::py) fn is_of_an_actor() {
    THIS.set(this_thread() | 1);
}

impl Taker {
    pub(in crate::py) fn set(&self, py: Python<'_>) {
        self.thread.store(this_thread(), Ordering::Relaxed);
        self.ident.store(this_ident(py), Ordering::Relaxed);
    }

    fn is_this_thread(&self) -> bool {
        self.thread.load(Ordering::Relaxed) == this_thread()
    }

    fn is_of_an_actor(&self) -> bool {
        self.thread.load(Ordering::Relaxed) & 1 == 1
    }

    fn is_one_of(&self, threads: &HashSet<u64>) -> bool {
        threads.contains(&self.ident.load(Ordering::Relaxed))
    }
}

/// The open streams of an actor. A pool and its members have theirs in one list.
#[derive(Default)]
pub(in crate::py) struct Streams {
    list: Arc<List>,
    /// Of a member of a pool: its index.
    member: Option<usize>,
}

#[derive(Default)]
struct List {
    open: Mutex<Vec<Entry>>,
    /// How many messages the actor, or each member, handles at a time, if more than one. Relaxed, as
    /// `members`: it is set before there are streams.
    places: AtomicUsize,
    /// How many members there are, if it is a pool of several.
    members: AtomicUsize,
}

struct Entry {
    /// The member that it was asked of. Any runs a stream of the pool.
    member: Option<usize>,
    stream: Weak<dyn OpenStream>,
}

impl Streams {
    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.list
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// For an actor that handles so many messages at a time, or a pool of such.
    pub(in crate::py) fn set_places(&self, places: usize) {
        self.list.places.store(places, Ordering::Relaxed);
    }

    /// How many messages the actor, or each member, handles at a time.
    pub(in crate::py) fn places(&self) -> usize {
        self.list.places.load(Ordering::Relaxed).max(1)
    }

    /// For a pool of so many members.
    pub(in crate::py) fn set_members(&self, members: usize) {
        self.list.members.store(members, Ordering::Relaxed);
    }

    /// Those of a member of this pool.
    pub(super) fn of_member(&self, index: usize) -> Self {
        Self {
            list: Arc::clone(&self.list),
            member: Some(index),
        }
    }

    pub(in crate::py) fn add(&self, stream: Weak<dyn OpenStream>) {
        let mut streams = self.lock();
        streams.retain(|entry| entry.stream.strong_count() > 0);
        streams.push(Entry {
            member: self.member,
            stream,
        });
    }

    /// Each with the member that it was asked of. The caller must not hold a lock when it drops them.
    fn open(&self) -> Vec<(Option<usize>, Arc<dyn OpenStream>)> {
        let open = |entry: &Entry| Some((entry.member, entry.stream.upgrade()?));
        self.lock().iter().filter_map(open).collect()
    }

    /// Whether the calling thread takes from one.
    pub(in crate::py) fn has_of_this_thread(&self) -> bool {
        let open = self.open();
        open.iter()
            .any(|(_, stream)| stream.taker().is_this_thread())
    }

    /// The one of the message that this is the end of.
    pub(in crate::py) fn find(&self, done: &Latch) -> Option<Arc<dyn OpenStream>> {
        let mut open = self.open().into_iter().map(|(_, stream)| stream);
        open.find(|stream| stream.is_of(done))
    }

    /// Closes those that the calling thread made or has last taken from.
    pub(in crate::py) fn close_of_this_thread(&self, py: Python<'_>) {
        for (_, stream) in self.open() {
            if stream.taker().is_this_thread() {
                stream.close(py);
            }
        }
    }

    /// For the interpreter's exit: closes those that wait for a taker, now or later, and those of daemon
    /// threads, for which the interpreter does not wait. An actor's thread still takes.
    pub(in crate::py) fn abandon(&self, py: Python<'_>, daemons: &HashSet<u64>) {
        for (_, stream) in self.open() {
            let taker = stream.taker();
            if taker.is_of_an_actor() {
                continue;
            }
            if stream.items().abandon() || taker.is_one_of(daemons) {
                stream.close(py);
            }
        }
    }

    /// Whether streams wait for the calling thread to take more, and occupy every place: until then
    /// the actor does nothing else. Returns the name of one that streams, and how many items have been
    /// taken.
    pub(in crate::py) fn waits_for_this_thread(&self) -> Option<(String, u64)> {
        let open = self.open();
        let mine = open.iter().filter(|(_, one)| one.taker().is_this_thread());
        let full: Vec<_> = mine
            .filter(|(_, stream)| stream.items().waits_for_taker())
            .collect();
        let is_own = |of: &Option<usize>| self.member.is_some() && *of == self.member;
        let mut own = full.iter().filter(|(of, _)| is_own(of)).peekable();
        let count = |count: &AtomicUsize| count.load(Ordering::Relaxed).max(1);
        let (places, members) = (count(&self.list.places), count(&self.list.members));
        let first = match own.peek().copied() {
            Some(first) if own.count() >= places => first,
            _ => full.first().filter(|_| full.len() >= places * members)?,
        };
        let taken = full.iter().map(|(_, stream)| stream.items().taken());
        Some((first.1.name().to_owned(), taken.sum()))
    }
}
