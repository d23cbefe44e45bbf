//! Races between a cell's transitions, in every order: model-checked by loom.

use super::*;
use crate::engine::latch::Wait;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::thread;

type TestCell = Cell<u8, u8, u8>;

impl Claimable for u8 {
    fn withdraw(&self) -> bool {
        true
    }

    fn has_begun(&self) -> bool {
        false
    }

    fn ask(&self) -> bool {
        false
    }
}

/// An outcome that is a cancellation.
const STOPPED: u8 = u8::MAX;

impl Ending for u8 {
    fn is_cancellation(&self) -> bool {
        *self == STOPPED
    }
}

fn posted() -> Arc<TestCell> {
    let cell = Arc::new(TestCell::default());
    cell.post(1);
    cell
}

#[test]
fn loom_begin_or_cancel_but_not_both() {
    loom::model(|| {
        let cell = posted();
        let actor = {
            let cell = Arc::clone(&cell);
            thread::spawn(move || match cell.begin() {
                Begin::Message(_) => {
                    assert_eq!(cell.settle(5, Hold::Nothing), Settle::Settled(None));
                    true
                }
                Begin::Gone => false,
            })
        };
        let cancelled = matches!(cell.cancel(Hold::Nothing), Cancel::Cancelled { .. });
        while cell.done().wait(None) != Wait::Set {}
        let handled = actor.join().unwrap();
        assert!(handled != cancelled);
        assert!(cell.phase().is_done());
    });
}

/// A thread asks while the engine leaves what to do then, and a third ends the message.
#[test]
fn loom_the_engine_hears_of_a_request_once() {
    loom::model(|| {
        let cell = posted();
        let _ = cell.begin();
        let heard = Arc::new(AtomicUsize::new(0));
        let asker = {
            let cell = Arc::clone(&cell);
            thread::spawn(move || cell.request())
        };
        let count = Arc::clone(&heard);
        cell.on_request(move || _ = count.fetch_add(1, Ordering::SeqCst));
        let asked = asker.join().unwrap();
        assert!(asked && cell.was_asked());
        assert!(cell.request());
        assert_eq!(heard.load(Ordering::SeqCst), 1);
        assert_eq!(cell.settle(STOPPED, Hold::Nothing), Settle::Settled(None));
        assert!(cell.phase().is_cancelled());
    });
}

/// A request that comes while the message ends is refused, or the engine has heard of it.
#[test]
fn loom_a_request_is_heard_or_refused() {
    loom::model(|| {
        let cell = posted();
        let _ = cell.begin();
        let asker = {
            let cell = Arc::clone(&cell);
            thread::spawn(move || cell.request())
        };
        let was_asked = cell.was_asked();
        let outcome = if was_asked { STOPPED } else { 5 };
        assert_eq!(cell.settle(outcome, Hold::Nothing), Settle::Settled(None));
        let asked = asker.join().unwrap();
        assert!(asked || !was_asked);
        assert_eq!(cell.was_asked(), asked);
        assert!(!cell.request());
    });
}

#[test]
fn loom_a_waiter_is_never_left_asleep() {
    loom::model(|| {
        let cell = posted();
        let actor = {
            let cell = Arc::clone(&cell);
            thread::spawn(move || {
                let _ = cell.begin();
                let _ = cell.settle(5, Hold::Nothing);
            })
        };
        while cell.done().wait(None) != Wait::Set {}
        assert_eq!(cell.outcome(|outcome| *outcome), Some(5));
        actor.join().unwrap();
    });
}

#[test]
fn loom_a_thread_that_waits_for_callbacks_finds_their_work() {
    loom::model(|| {
        let cell = posted();
        let called = Arc::new(AtomicBool::new(false));
        let watched = cell.watch(|_, watch| *watch = Some(Box::new(1)));
        assert_eq!(watched, Some(()));
        let actor = {
            let (cell, called) = (Arc::clone(&cell), Arc::clone(&called));
            thread::spawn(move || {
                assert!(matches!(cell.settle(5, Hold::Attached), Settle::Settled(_)));
                called.store(true, Ordering::Relaxed);
                cell.served().set();
            })
        };
        while cell.done().wait(None) != Wait::Set {}
        while cell.served().wait(None) != Wait::Set {}
        assert!(called.load(Ordering::Relaxed));
        actor.join().unwrap();
    });
}

#[test]
fn loom_a_cell_found_done_without_a_watch_is_served() {
    loom::model(|| {
        let cell = posted();
        let actor = {
            let cell = Arc::clone(&cell);
            thread::spawn(move || {
                assert_eq!(cell.settle(5, Hold::Nothing), Settle::Settled(None));
            })
        };
        assert!(!cell.done().is_set() || cell.served().is_set());
        actor.join().unwrap();
    });
}

#[test]
fn loom_a_watch_is_served_once_or_refused() {
    loom::model(|| {
        let cell = posted();
        let actor = {
            let cell = Arc::clone(&cell);
            thread::spawn(move || match cell.settle(5, Hold::Attached) {
                Settle::Settled(watch) => watch.is_some(),
                _ => false,
            })
        };
        let added = cell.watch(|_, watch| *watch = Some(Box::new(1))).is_some();
        assert_eq!(actor.join().unwrap(), added);
    });
}

#[test]
fn loom_a_watcher_is_called_once_whoever_ends_the_cell_and_whenever_it_comes() {
    loom::model(|| {
        let cell = posted();
        let told = Arc::new(AtomicUsize::new(0));
        let watcher = |told: &Arc<AtomicUsize>| {
            let told = Arc::clone(told);
            move |cell: &TestCell| {
                // What it looks at is what the cell came to.
                assert!(cell.phase().is_done());
                told.fetch_add(1, Ordering::SeqCst);
            }
        };
        let actor = {
            let cell = Arc::clone(&cell);
            thread::spawn(move || {
                let _ = cell.settle(5, Hold::Nothing);
            })
        };
        let canceller = {
            let cell = Arc::clone(&cell);
            thread::spawn(move || {
                let _ = cell.cancel(Hold::Nothing);
            })
        };
        cell.on_end(watcher(&told));
        actor.join().unwrap();
        canceller.join().unwrap();
        assert_eq!(told.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn loom_two_settlers_one_outcome() {
    loom::model(|| {
        let cell = posted();
        let other = {
            let cell = Arc::clone(&cell);
            thread::spawn(move || cell.settle(1, Hold::Nothing) == Settle::Settled(None))
        };
        let mine = cell.settle(2, Hold::Nothing) == Settle::Settled(None);
        assert!(mine != other.join().unwrap());
    });
}

#[test]
fn loom_a_thread_that_finds_the_condition_is_told_of_the_end() {
    loom::model(|| {
        let cell = posted();
        let is_published = Arc::new(AtomicBool::new(false));
        // What the condition guards: whether a waiter has joined, and whether it was told.
        let waiters = Arc::new(Mutex::new((false, false)));
        let exposer = {
            let (cell, is_published) = (Arc::clone(&cell), Arc::clone(&is_published));
            thread::spawn(move || {
                cell.expose_condition(|| is_published.store(true, Ordering::SeqCst), |_, _| ());
            })
        };
        let actor = {
            let (cell, waiters) = (Arc::clone(&cell), Arc::clone(&waiters));
            thread::spawn(move || match cell.settle(5, Hold::Attached) {
                Settle::NeedsCondition(outcome) => {
                    let mut waiters = waiters.lock().unwrap();
                    let settled = cell.settle(outcome, Hold::Condition);
                    assert!(matches!(settled, Settle::Settled(_)));
                    waiters.1 = waiters.0;
                }
                settled => assert!(matches!(settled, Settle::Settled(_))),
            })
        };
        if is_published.load(Ordering::SeqCst) {
            let mut waiters = waiters.lock().unwrap();
            waiters.0 = !cell.phase().is_done();
        }
        exposer.join().unwrap();
        actor.join().unwrap();
        let (has_joined, was_told) = *waiters.lock().unwrap();
        assert_eq!(has_joined, was_told);
    });
}
