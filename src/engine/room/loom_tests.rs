//! Senders that wait for a place, in every order: model-checked by loom.

use super::*;
use crate::engine::latch::Wait;
use loom::thread;

fn assert_one_place_is_free(room: &Arc<Room>) {
    let permit = room.try_acquire().expect("no place is lost");
    assert!(room.try_acquire().is_none(), "no place is made");
    drop(permit);
}

#[test]
fn loom_a_waiter_gets_the_place_that_is_released() {
    loom::model(|| {
        let room = Arc::new(Room::new(1));
        let held = room.try_acquire().expect("it is free");
        let waiter = {
            let room = Arc::clone(&room);
            thread::spawn(move || {
                let latch = Arc::new(Latch::default());
                let seat = room.queue(Arc::clone(&latch) as _);
                while latch.wait(None) != Wait::Set {}
                drop(seat.leave().expect("it was granted"));
            })
        };
        drop(held);
        waiter.join().unwrap();
        assert_one_place_is_free(&room);
    });
}

#[test]
fn loom_a_waiter_that_gives_up_loses_no_place_and_makes_none() {
    loom::model(|| {
        let room = Arc::new(Room::new(1));
        let held = room.try_acquire().expect("it is free");
        let latch = Arc::new(Latch::default());
        let seat = room.queue(Arc::clone(&latch) as _);
        let waiter = thread::spawn(move || drop(seat.leave()));
        drop(held);
        waiter.join().unwrap();
        assert_one_place_is_free(&room);
    });
}

/// As messages in flight: the place of one that has begun is released under a lock.
#[test]
fn loom_the_place_of_what_has_begun_is_free_whichever_thread_releases_it() {
    loom::model(|| {
        let room = Arc::new(Room::new(1));
        let begun = Arc::new(Mutex::new(room.try_acquire()));
        let release = |begun: &Mutex<Option<Permit>>| {
            let mut begun = begun.lock();
            begun.take().and_then(Permit::release)
        };
        let other = {
            let begun = Arc::clone(&begun);
            thread::spawn(move || drop(release(&begun)))
        };
        drop(release(&begun));
        assert!(room.try_acquire().is_some());
        other.join().unwrap();
        assert_one_place_is_free(&room);
    });
}
