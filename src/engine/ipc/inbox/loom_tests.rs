use super::fake::{Child, Item};
use super::*;
use loom::sync::Arc as LoomArc;
use loom::thread;

/// The main thread is idle, another thread waits for a reply, and the helper helps.
fn every_thread_gets_what_it_waits_for(preemptions: usize, items: fn() -> Vec<Item>) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.check(move || {
        let child = LoomArc::new(Child::new(LoomArc::new(Latch::default())));
        let spawn = |work: fn(&Child<LoomArc<Latch>>)| {
            let child = LoomArc::clone(&child);
            thread::spawn(move || work(&child))
        };
        let helper = spawn(Child::help);
        let other = spawn(Child::wait_for_reply);
        for item in items() {
            child.pipe.write(Some(item));
        }
        assert_eq!(child.next_message(), Some(1));
        other.join().expect("no panic");
        child.pipe.write(None);
        assert_eq!(child.next_message(), None);
        helper.join().expect("no panic");
    });
}

#[test]
fn loom_a_reply_before_a_message_reaches_its_thread() {
    every_thread_gets_what_it_waits_for(2, || vec![Item::Reply, Item::Message(1)]);
}

/// The main thread stops reading when it has its message, so the helper has to go on.
#[test]
fn loom_a_reply_after_a_message_reaches_its_thread() {
    every_thread_gets_what_it_waits_for(2, || vec![Item::Message(1), Item::Reply]);
}

/// The main thread leaves the reply to the helper, which is released before it reads on.
#[test]
fn loom_a_message_after_what_the_helper_has_read_reaches_the_main_thread() {
    every_thread_gets_what_it_waits_for(4, || vec![Item::Nothing, Item::Reply, Item::Message(1)]);
}

/// The helper reads what the main thread waits for, and goes on because another thread needs it.
#[test]
fn loom_what_the_helper_reads_for_the_main_thread_wakes_it() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let child = LoomArc::new(Child::new(LoomArc::new(Latch::default())));
        child.inbox.ask_helper();
        let helper = {
            let child = LoomArc::clone(&child);
            thread::spawn(move || child.help())
        };
        child.pipe.write(Some(Item::Wake));
        child.wait_for_wake();
        child.pipe.write(None);
        assert_eq!(child.next_message(), None);
        helper.join().expect("no panic");
    });
}
