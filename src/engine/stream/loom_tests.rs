//! A stream's two sides, in every order: neither is left asleep.

use super::*;
use crate::engine::latch::{Latch, Wait};
use crate::engine::sync::AtomicBool;
use loom::thread;

type Shared = loom::sync::Arc<Stream<u8>>;

fn latch() -> Arc<Latch> {
    Arc::default()
}

fn sleep(latch: &Latch) {
    while latch.wait(None) != Wait::Set {}
}

/// Puts items, waiting for room, until there are no more or the stream is closed.
fn produce(stream: &Stream<u8>, items: u8) {
    for item in 0..items {
        loop {
            let waiter = latch();
            match stream.space(|| Arc::clone(&waiter) as _) {
                Space::Free => break,
                Space::Full => sleep(&waiter),
                Space::Closed => return,
            }
        }
        if stream.put(item).is_err() {
            return;
        }
    }
    stream.end();
}

fn take_all(stream: &Stream<u8>) -> Vec<u8> {
    let mut taken = Vec::new();
    loop {
        let waiter = latch();
        match stream.take(|| Some(Arc::clone(&waiter) as _)) {
            Next::Item(item) => taken.push(item),
            Next::Empty => sleep(&waiter),
            Next::Ended | Next::Closed => return taken,
        }
    }
}

/// The I/O thread leaves the reading to the taker, which may be about to sleep: it then finds that the
/// taker waits and reads on itself, or the taker reads.
#[test]
fn loom_a_taker_that_does_not_read_is_seen() {
    loom::model(|| {
        let stream = Shared::new(Stream::<u8>::new(1));
        let waiter_reads = loom::sync::Arc::new(AtomicBool::new(false));
        let taker = {
            let (stream, waiter_reads) = (Shared::clone(&stream), waiter_reads.clone());
            thread::spawn(move || {
                let _ = stream.take(|| Some(latch() as _));
                waiter_reads.load(Ordering::SeqCst)
            })
        };
        waiter_reads.store(true, Ordering::SeqCst);
        let io_thread_reads = stream.is_awaited();
        let taker_reads = taker.join().unwrap();
        assert!(io_thread_reads || taker_reads);
    });
}

/// One thread reads an item and lets go of the pipe. Another has registered for an item, and gets the pipe
/// next: it finds its latch set, or finds that nothing was read. It would sleep there otherwise.
#[test]
fn loom_a_thread_that_gets_the_pipe_next_knows_of_what_was_read() {
    loom::model(|| {
        let stream = Shared::new(Stream::<u8>::new(1));
        let pipe = loom::sync::Arc::new(Mutex::new(false));
        let reader = {
            let (stream, pipe) = (Shared::clone(&stream), pipe.clone());
            thread::spawn(move || {
                let mut has_read = pipe.lock();
                *has_read = true;
                assert!(stream.enter(1, 0).is_ok());
            })
        };
        let waiter = latch();
        let registered = Arc::clone(&waiter);
        if stream.take(|| Some(registered as _)) == Next::Empty {
            let has_read = pipe.lock();
            assert!(!*has_read || waiter.is_set());
        }
        reader.join().unwrap();
    });
}

/// Looks at all histories in which no more than three threads lose the processor at a point where
/// they could go on: all of them would take too long.
#[test]
fn loom_neither_side_is_left_asleep() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let stream = Shared::new(Stream::new(1));
        let producer = {
            let stream = Shared::clone(&stream);
            thread::spawn(move || produce(&stream, 2))
        };
        assert_eq!(take_all(&stream), [0, 1]);
        producer.join().unwrap();
    });
}

/// Two takers wait; one item and the end come. Bounded as the model above.
#[test]
fn loom_two_takers_share_the_items_and_both_hear_of_the_end() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let stream = Shared::new(Stream::new(1));
        let takers = [(); 2].map(|()| {
            let stream = Shared::clone(&stream);
            thread::spawn(move || take_all(&stream))
        });
        produce(&stream, 1);
        let taken = takers.map(|taker| taker.join().unwrap());
        assert_eq!(taken.concat(), [0]);
    });
}

#[test]
fn loom_closing_wakes_the_producer_that_waits_for_room() {
    loom::model(|| {
        let stream = Shared::new(Stream::new(1));
        let producer = {
            let stream = Shared::clone(&stream);
            thread::spawn(move || produce(&stream, 2))
        };
        drop(stream.close());
        producer.join().unwrap();
        assert_eq!(stream.take(|| None), Next::Closed);
    });
}

#[test]
fn loom_closing_wakes_a_taker() {
    loom::model(|| {
        let stream = Shared::new(Stream::new(1));
        let taker = {
            let stream = Shared::clone(&stream);
            thread::spawn(move || take_all(&stream))
        };
        drop(stream.close());
        assert_eq!(taker.join().unwrap(), []);
    });
}

#[test]
fn loom_an_abandoned_producer_does_not_wait() {
    loom::model(|| {
        let stream = Shared::new(Stream::new(1));
        let producer = {
            let stream = Shared::clone(&stream);
            thread::spawn(move || produce(&stream, 2))
        };
        if stream.abandon() {
            drop(stream.close());
        }
        producer.join().unwrap();
    });
}

/// Passes what is put into one stream on into another, as `py/process/onward.rs` does.
struct Relay {
    near: Shared,
    far: Shared,
    me: std::sync::Weak<Self>,
}

impl Relay {
    fn pass_on(&self) {
        loop {
            match self.near.forward(|| Some(self.me.upgrade()? as _)) {
                Next::Item((item, _)) => assert!(self.far.put(item).is_ok()),
                Next::Empty => return,
                Next::Ended | Next::Closed => return self.far.end(),
            }
        }
    }
}

impl Wake for Relay {
    fn wake(&self) {
        self.pass_on();
    }
}

/// The producer may be one item ahead of the taker behind the relay.
#[test]
fn loom_a_relay_passes_on_every_item_in_order_and_then_the_end() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let near = Shared::new(Stream::new(1));
        let far = Shared::new(Stream::new(1));
        let producer = {
            let near = Shared::clone(&near);
            thread::spawn(move || produce(&near, 2))
        };
        let relay = Arc::new_cyclic(|me| Relay {
            near: Shared::clone(&near),
            far: Shared::clone(&far),
            me: std::sync::Weak::clone(me),
        });
        relay.pass_on();
        let mut taken = Vec::new();
        loop {
            let waiter = latch();
            match far.take(|| Some(Arc::clone(&waiter) as _)) {
                Next::Item(item) => {
                    taken.push(item);
                    near.confirm(0);
                }
                Next::Empty => sleep(&waiter),
                Next::Ended | Next::Closed => break,
            }
        }
        assert_eq!(taken, [0, 1]);
        producer.join().unwrap();
    });
}
