//! Which actor waits for which: finds waits that would never end.
//!
//! An actor that waits handles no message meanwhile. So if it waits for an actor that waits for it,
//! directly or through others, none of them can ever go on. A thread that has waited for a moment
//! enters its wait here ([`Waits::begin`]); the one whose wait closes such a circle is refused. A
//! wait that ends sooner costs nothing.
//!
//! # Why no circle is missed, and none is found where there is none
//! All waits are under one lock, and each is checked when it is entered. An actor can become stuck
//! only by a wait of an actor that was not stuck before, so the last wait of a circle finds it. (Or by the
//! end of a pool's last member that could go on: no wait begins then, and that is not found.) A wait
//! whose thread is about to leave is still entered, but it says itself that it is over
//! ([`Pending::is_over`]), and then counts as none.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use super::cell::{Cell, Claimable, Ending};
use super::latch::Latch;
use super::sync::Mutex;

/// An actor, or a pool of actors: a node of the graph of waits.
#[derive(Debug)]
pub struct Node {
    /// No other node of this process has it.
    pub id: u64,
    /// For the user.
    pub name: String,
    /// How many messages it handles at a time. More than one is only possible in an event loop.
    places: AtomicUsize,
    /// Of a pool: the actors of which any handles a message. Set once.
    members: OnceLock<Vec<Arc<Node>>>,
    /// It has ended, so it handles no message of its pool.
    has_ended: AtomicBool,
}

impl Node {
    #[must_use]
    pub fn new(name: String) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            // Relaxed: a number is unique whatever else a thread has seen.
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            name,
            places: AtomicUsize::new(1),
            members: OnceLock::new(),
            has_ended: AtomicBool::new(false),
        }
    }

    /// Says how many messages the actor handles at a time.
    pub fn set_places(&self, places: usize) {
        // Relaxed: it is set before the first message.
        self.places.store(places, Ordering::Relaxed);
    }

    /// Says that the actor has ended. A thread that waits for it is about to hear of that. A thread that
    /// waits for its pool needs another member.
    pub fn end(&self) {
        // Relaxed: only waits that are entered later rely on it.
        self.has_ended.store(true, Ordering::Relaxed);
    }

    /// Makes it a pool of these actors, before the first wait for it.
    pub fn set_members(&self, members: Vec<Arc<Node>>) {
        // A second call would be for the same members.
        _ = self.members.set(members);
    }
}

/// What a thread or a handler waits for.
pub trait Pending: Send + Sync {
    /// Whether it has happened. Must not block.
    fn is_over(&self) -> bool;
}

impl Pending for Latch {
    fn is_over(&self) -> bool {
        self.is_set()
    }
}

impl<M: Claimable, R: Ending, W> Pending for Cell<M, R, W>
where
    Self: Send + Sync,
{
    fn is_over(&self) -> bool {
        self.done().is_set()
    }
}

/// How an actor waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Its thread is blocked: it does nothing else meanwhile.
    Blocked,
    /// One of its handlers awaits something. The others go on, and the next message begins if there
    /// is a free place.
    Awaits,
}

struct Wait {
    number: u64,
    how: How,
    target: Arc<Node>,
    pending: Arc<dyn Pending>,
}

/// The waits that have lasted for a moment.
#[derive(Default)]
struct Graph {
    next: u64,
    /// By the id of the actor that waits.
    waits: HashMap<u64, Vec<Wait>>,
}

impl Graph {
    /// The waits of an actor that are not over.
    fn of(&self, node: &Node) -> impl Iterator<Item = &Wait> {
        let waits = self.waits.get(&node.id).into_iter().flatten();
        waits.filter(|wait| !wait.pending.is_over())
    }

    /// The nodes that this one waits for, or whose members it stands for.
    fn next(&self, node: &Node) -> Vec<Arc<Node>> {
        match node.members.get() {
            Some(members) => members.clone(),
            None => self.of(node).map(|wait| Arc::clone(&wait.target)).collect(),
        }
    }

    /// Whether the node goes on some time, if those in `lively` do.
    fn goes_on(&self, node: &Node, lively: &HashSet<u64>) -> bool {
        if let Some(members) = node.members.get() {
            let ended = |one: &Node| one.has_ended.load(Ordering::Relaxed);
            let mut rest = members.iter().filter(|one| !ended(one)).peekable();
            // Without members it fails its messages.
            return rest.peek().is_none() || rest.any(|one| lively.contains(&one.id));
        }
        let (mut awaits, mut one_ends) = (0, false);
        for wait in self.of(node) {
            let ends = lively.contains(&wait.target.id);
            match wait.how {
                How::Blocked if !ends => return false,
                How::Blocked => {}
                How::Awaits => {
                    awaits += 1;
                    one_ends |= ends;
                }
            }
        }
        one_ends || awaits < node.places.load(Ordering::Relaxed)
    }

    /// The nodes that are reached from `start`, along what they wait for.
    fn reached(&self, start: &Arc<Node>) -> Vec<Arc<Node>> {
        let mut seen = HashSet::from([start.id]);
        let mut found = vec![Arc::clone(start)];
        let mut at = 0;
        while let Some(node) = found.get(at) {
            at += 1;
            for next in self.next(node) {
                if seen.insert(next.id) {
                    found.push(next);
                }
            }
        }
        found
    }

    fn is_stuck(&self, node: &Arc<Node>) -> bool {
        let mut rest = self.reached(node);
        let mut lively = HashSet::new();
        loop {
            let before = rest.len();
            rest.retain(|one| {
                let goes_on = self.goes_on(one, &lively);
                if goes_on {
                    lively.insert(one.id);
                }
                !goes_on
            });
            if lively.contains(&node.id) || rest.len() == before {
                return !lively.contains(&node.id);
            }
        }
    }

    /// The names on a shortest way from `start` back to it. Pools are left out: their members wait.
    fn circle(&self, start: &Arc<Node>) -> Vec<String> {
        let mut before: HashMap<u64, Arc<Node>> = HashMap::new();
        let mut todo = VecDeque::from([Arc::clone(start)]);
        while let Some(node) = todo.pop_front() {
            for next in self.next(&node) {
                if next.id == start.id {
                    let mut names = Vec::new();
                    let mut at = Some(&node);
                    while let Some(node) = at {
                        if node.members.get().is_none() {
                            names.push(node.name.clone());
                        }
                        at = before.get(&node.id);
                    }
                    names.reverse();
                    return names;
                }
                if let std::collections::hash_map::Entry::Vacant(entry) = before.entry(next.id) {
                    entry.insert(Arc::clone(&node));
                    todo.push_back(next);
                }
            }
        }
        vec![start.name.clone()]
    }

    fn remove(&mut self, waiter: u64, number: u64) -> Option<Wait> {
        let waits = self.waits.get_mut(&waiter)?;
        let at = waits.iter().position(|wait| wait.number == number)?;
        let wait = waits.swap_remove(at);
        if waits.is_empty() {
            self.waits.remove(&waiter);
        }
        Some(wait)
    }
}

/// A circle of actors that wait for each other: their names, each before the one that it waits for,
/// and the last before the first.
#[derive(Debug, PartialEq, Eq)]
pub struct Circle(pub Vec<String>);

/// All waits of a process that have lasted for a moment. A thread that may run while the process forks
/// must use it attached to Python, so that no other thread has its lock in the new process.
#[derive(Default)]
pub struct Waits(Mutex<Graph>);

/// Those of this process.
pub static WAITS: std::sync::LazyLock<Waits> = std::sync::LazyLock::new(Waits::default);

impl Waits {
    /// Enters that `waiter` waits for `target`, until the guard is dropped. An error if that would
    /// close a circle: then the caller must not wait.
    ///
    /// # Errors
    /// The circle.
    pub fn begin(
        &self,
        waiter: &Arc<Node>,
        how: How,
        target: &Arc<Node>,
        pending: Arc<dyn Pending>,
    ) -> Result<Waiting<'_>, Circle> {
        let mut graph = self.0.lock();
        let number = graph.next;
        graph.next += 1;
        let wait = Wait {
            number,
            how,
            target: Arc::clone(target),
            pending,
        };
        let waits = graph.waits.entry(waiter.id).or_default();
        waits.push(wait);
        // There may be thousands of these. Nobody in the graph is stuck before, and this changes nothing.
        let has_free_place =
            how == How::Awaits && waits.len() < waiter.places.load(Ordering::Relaxed);
        if has_free_place || !graph.is_stuck(waiter) {
            return Ok(Waiting {
                waits: self,
                waiter: waiter.id,
                number,
            });
        }
        let circle = Circle(graph.circle(waiter));
        let wait = graph.remove(waiter.id, number);
        drop(graph);
        // What it holds is dropped without the lock.
        drop(wait);
        Err(circle)
    }

    /// How many waits of an actor have lasted for a moment and are not over.
    #[must_use]
    pub fn count(&self, node: &Node) -> usize {
        self.0.lock().of(node).count()
    }
}

/// While it lives, an actor waits.
#[must_use]
pub struct Waiting<'a> {
    waits: &'a Waits,
    waiter: u64,
    number: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let wait = self.waits.0.lock().remove(self.waiter, self.number);
        drop(wait);
    }
}

thread_local! {
    static SERVED: RefCell<Option<Arc<Node>>> = const { RefCell::new(None) };
}

/// From now on this thread is the one that `node` needs to answer its messages: while the thread
/// waits, the actor does.
pub fn serve(node: &Arc<Node>) {
    SERVED.set(Some(Arc::clone(node)));
}

/// The actor that waits while this thread does.
#[must_use]
pub fn served_here() -> Option<Arc<Node>> {
    SERVED.with_borrow(Clone::clone)
}

/// Whether an actor waits while this thread does.
#[must_use]
pub fn is_served_by_any() -> bool {
    SERVED.with_borrow(Option::is_some)
}

/// Whether `node` waits while this thread does.
#[must_use]
pub fn is_served_here(node: &Node) -> bool {
    SERVED.with_borrow(|served| served.as_ref().is_some_and(|served| served.id == node.id))
}

#[cfg(all(test, not(loom)))]
mod tests;
