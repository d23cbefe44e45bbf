use super::*;
use loom::sync::Arc;
use loom::thread;

#[test]
fn loom_a_taker_is_never_left_asleep() {
    loom::model(|| {
        let mailbox = Arc::new(Mailbox::default());
        let putter = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || {
                assert_eq!(mailbox.put(1), Ok(()));
                assert_eq!(mailbox.put(2), Ok(()));
                mailbox.close();
            })
        };
        assert_eq!(mailbox.take(), Some(1));
        assert_eq!(mailbox.take(), Some(2));
        assert_eq!(mailbox.take(), None);
        putter.join().unwrap();
    });
}

#[test]
fn loom_every_item_is_taken_or_refused() {
    loom::model(|| {
        let mailbox = Arc::new(Mailbox::default());
        let putter = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || mailbox.put(1).is_ok())
        };
        let closer = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || mailbox.close())
        };
        let taken = mailbox.take();
        closer.join().unwrap();
        assert_eq!(putter.join().unwrap(), taken.is_some());
        assert_eq!(mailbox.try_take(), Take::Closed);
    });
}
