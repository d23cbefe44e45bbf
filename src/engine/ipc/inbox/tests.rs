use super::fake::{Child, Item};
use super::*;

#[test]
fn what_the_helper_reads_for_the_main_thread_wakes_it() {
    for _ in 0..2_000 {
        let child = Child::new(Arc::new(Latch::default()));
        child.inbox.ask_helper();
        std::thread::scope(|scope| {
            scope.spawn(|| child.help());
            let writer = scope.spawn(|| child.pipe.write(Some(Item::Wake)));
            child.wait_for_wake();
            writer.join().expect("no panic");
            child.pipe.write(None);
            assert_eq!(child.next_message(), None);
        });
    }
}

#[test]
fn messages_come_in_order_and_each_wait_for_a_reply_ends() {
    for _ in 0..2_000 {
        let child = Child::new(Arc::new(Latch::default()));
        std::thread::scope(|scope| {
            let helper = scope.spawn(|| child.help());
            let other = scope.spawn(|| child.wait_for_reply());
            child.pipe.write(Some(Item::Message(1)));
            let writer = scope.spawn(|| {
                child.pipe.write(Some(Item::Message(2)));
                child.pipe.write(Some(Item::Nothing));
                child.pipe.write(Some(Item::Reply));
                child.pipe.write(Some(Item::Message(3)));
            });
            let taken = [(); 3].map(|()| child.next_message());
            assert_eq!(taken, [Some(1), Some(2), Some(3)]);
            writer.join().expect("no panic");
            other.join().expect("no panic");
            child.pipe.write(None);
            assert_eq!(child.next_message(), None);
            helper.join().expect("no panic");
        });
    }
}
