//! References that are copied, dropped and sent at the same time, in every order.

use super::*;
use crate::engine::sync::{Mutex, Ordering};
use loom::sync::atomic::AtomicUsize;
use loom::thread;

#[test]
fn loom_of_two_threads_that_drop_the_last_references_one_finds_that_none_is_left() {
    loom::model(|| {
        let references = Arc::new(References::default());
        references.add(Holder::Others);
        references.add(Holder::Itself);
        let own = {
            let references = references.clone();
            thread::spawn(move || references.remove(Holder::Itself))
        };
        let others = references.remove(Holder::Others);
        let ends = [others, own.join().unwrap()].map(|left| left == Left::Nothing);
        assert_eq!(ends.into_iter().filter(|is_last| *is_last).count(), 1);
    });
}

#[test]
fn loom_an_actor_is_not_ended_while_a_reference_is_copied() {
    loom::model(|| {
        let references = Arc::new(References::default());
        references.add(Holder::Others);
        references.add(Holder::Others);
        let copying = {
            let references = references.clone();
            thread::spawn(move || {
                references.add(Holder::Others);
                // The first of its two.
                assert_ne!(references.remove(Holder::Others), Left::Nothing);
                references.remove(Holder::Others)
            })
        };
        let one = references.remove(Holder::Others);
        let last = copying.join().unwrap();
        assert_ne!(one == Left::Nothing, last == Left::Nothing);
    });
}

/// What the two processes share: the tables of both sides, and the pipes.
struct Link {
    held: Mutex<Held<()>>,
    received: Mutex<Received<Known>>,
    /// Counts that are on their way back.
    returned: Mutex<Vec<u64>>,
    /// How many references the child has.
    alive: AtomicUsize,
}

/// What stands for the actor in the child.
struct Known(Arc<Link>);

impl Known {
    fn new(link: &Arc<Link>) -> Self {
        link.alive.fetch_add(1, Ordering::SeqCst);
        Self(link.clone())
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, Ordering::SeqCst);
        let count = self.0.received.lock().forget(1);
        if let Some(count) = count {
            self.0.returned.lock().push(count);
        }
    }
}

impl Link {
    fn send(self: &Arc<Self>) {
        drop(self.held.lock().send(1, ()));
    }

    /// It comes to the child, and is dropped there.
    fn arrive(self: &Arc<Self>) {
        let known = self.received.lock().arrive(1, 1, || Known::new(self));
        assert!(self.held.lock().get(1).is_some(), "the child refers to it");
        drop(known);
    }

    /// The parent reads what the child has sent back.
    fn read(&self) {
        let returned = std::mem::take(&mut *self.returned.lock());
        for count in returned {
            self.held.lock().forget(1, count);
        }
    }
}

/// Two threads of the child each receive the actor and drop it, while the parent reads that it is forgotten.
#[test]
fn loom_an_actor_is_held_while_it_is_received_and_dropped() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let link = Arc::new(Link {
            held: Mutex::default(),
            received: Mutex::default(),
            returned: Mutex::default(),
            alive: AtomicUsize::new(0),
        });
        link.send();
        link.send();
        let other = {
            let link = link.clone();
            thread::spawn(move || link.arrive())
        };
        let parent = {
            let link = link.clone();
            thread::spawn(move || link.read())
        };
        link.arrive();
        other.join().unwrap();
        parent.join().unwrap();
        link.read();
        assert_eq!(link.alive.load(Ordering::SeqCst), 0);
        assert!(
            link.held.lock().get(1).is_none(),
            "nothing keeps it alive any more"
        );
    });
}
