//! Which actor waits for which: finds waits that would never end.
//!
//! An actor that waits handles no message meanwhile. So if it waits for an actor that waits for it,
//! directly or through others, none of them can ever go on. A thread that has waited for a moment
//! enters its wait here ([`Waits::begin`]), and so does an event loop whose actor can do nothing else;
//! the one whose wait closes such a circle is refused. A wait that ends sooner costs nothing.
//!
//! A thread waits for one thing. The messages of an event loop may wait for several, and the loop
//! has something to do when the first of them happens. So an actor goes on if each of its waits
//! ends, and a wait ends if any of its targets does what is waited for.
//!
//! # Why no circle is missed, and none is found where there is none
//! All waits are under one lock. Invariant: between two calls no actor is stuck. An actor can become
//! stuck only by a wait, which is checked when it is entered, or by the end of a member of a pool, which
//! checks those that wait ([`Waits::end`]). A wait whose thread is about to leave is still entered, but
//! it says itself that it is over ([`Pending::is_over`]), and then counts as none.

mod graph;
mod node;

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use self::graph::{Graph, Wait, Waiter};
pub use self::node::{Circle, How, Node, Pending, Refuse, Refused, Target};
use super::sync::Mutex;

/// All waits of a process that have lasted for a moment. A thread that may run while the process forks
/// must use it attached to Python, so that no other thread has its lock in the new process.
#[derive(Default)]
pub struct Waits(Mutex<Graph>);

/// Those of this process.
pub static WAITS: std::sync::LazyLock<Waits> = std::sync::LazyLock::new(Waits::default);

impl Waits {
    /// Enters that `waiter` waits until one of `targets` has happened, until the guard is dropped. An
    /// error if that would close a circle: then the caller must not wait. If it closes one later, by the
    /// end of a pool's member, `refuse` hears of it.
    ///
    /// # Errors
    /// The circle.
    pub fn begin(
        &self,
        waiter: &Arc<Node>,
        how: How,
        targets: Vec<Target>,
        refuse: Arc<dyn Refuse>,
    ) -> Result<Waiting<'_>, Refused> {
        let mut graph = self.0.lock();
        let number = graph.next;
        graph.next += 1;
        let entered = graph.waiters.entry(waiter.id).or_insert_with(|| Waiter {
            node: Arc::clone(waiter),
            waits: Vec::new(),
        });
        entered.waits.push(Wait {
            number,
            how,
            targets,
            refuse,
        });
        let refused = how.is_blocked().then(|| {
            let lively = graph.lively(waiter);
            let wait = graph.of(waiter).find(|wait| wait.number == number);
            wait.and_then(|wait| graph.refused(waiter, wait, &lively))
        });
        let refused = refused.flatten();
        let Some(refused) = refused else {
            return Ok(Waiting {
                waits: self,
                waiter: waiter.id,
                number,
            });
        };
        let wait = graph.remove(waiter.id, number);
        drop(graph);
        // What it holds is dropped without the lock.
        drop(wait);
        Err(refused)
    }

    /// Notes that an actor has ended. A thread that waits for it is about to hear of that. A thread
    /// that waits for its pool needs another member: if none can go on, the wait is refused. Call what
    /// this returns without a lock.
    #[must_use]
    pub fn end(&self, node: &Node) -> Vec<Box<dyn FnOnce() + Send>> {
        let mut graph = self.0.lock();
        // Relaxed: it is read under the lock.
        node.has_ended.store(true, Ordering::Relaxed);
        let mut found: Vec<Box<dyn FnOnce() + Send>> = Vec::new();
        while let Some((waiter, number, refused)) = graph.stuck_by_end() {
            if let Some(wait) = graph.remove(waiter, number) {
                found.push(Box::new(move || wait.refuse.refuse(refused)));
            }
        }
        found
    }

    /// How many messages an actor has with which it has waited for a moment, in waits that are not over.
    #[must_use]
    pub fn count(&self, node: &Node) -> usize {
        {
            let graph = self.0.lock();
            graph.all_of(node).map(|wait| wait.how.messages()).sum()
        }
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
