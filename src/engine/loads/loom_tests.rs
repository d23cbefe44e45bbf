//! No message is kept from a free place: model-checked by loom.

use super::fake::{AHEAD, MOST, Pool, Sent};
use super::*;
use loom::sync::Arc;
use loom::thread;

impl Pool {
    fn post(&self, message: u32) {
        self.mailbox.put(message).expect("it is open");
        self.loads.dispatch(self, MOST);
    }

    /// So many of the member's messages have been answered, the oldest.
    fn answer(&self, member: usize, count: usize) {
        let mut sent = self.sent[member].lock();
        sent.messages.drain(..count);
        sent.begun -= count;
        self.loads.publish(member, sent.messages.len());
        drop(sent);
        self.serve(member, usize::MAX);
        self.loads.take_back_for(member, self, MOST);
    }
}

/// Two members, both of which run as many messages as they have places, so that others wait. One runs
/// them for ever and wants more. The other answers `answered` of them while a message is posted. At rest
/// nothing waits while a member has a free place.
fn no_message_is_kept_from_a_free_place(places: usize, waiting: Vec<u32>, answered: usize) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let running = |from: u32| Sent {
            messages: (from..).take(places).collect(),
            begun: places,
        };
        let pool = Arc::new(Pool::new(places, vec![running(100), running(200)]));
        pool.mailbox.put_first(waiting.clone());
        let poster = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || pool.post(1))
        };
        let busy = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || pool.serve(0, places + AHEAD))
        };
        pool.answer(1, answered);
        poster.join().unwrap();
        busy.join().unwrap();
        let (first, other) = (pool.load(0), pool.load(1));
        let has_free_place = other < places;
        assert!(!has_free_place || (first == places && pool.mailbox.is_empty()));
    });
}

#[test]
fn loom_no_message_is_kept_from_an_idle_member() {
    no_message_is_kept_from_a_free_place(1, vec![], 1);
}

#[test]
fn loom_no_message_is_kept_from_a_member_with_a_free_place_of_several() {
    no_message_is_kept_from_a_free_place(2, vec![], 1);
}

/// It is sent the one that waits while the other is posted.
#[test]
fn loom_no_message_is_kept_from_a_member_that_has_got_one_and_has_a_free_place() {
    no_message_is_kept_from_a_free_place(2, vec![2], 2);
}
