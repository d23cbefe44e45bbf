//! What has arrived in a child. Whichever thread waits reads it.
//!
//! The one reader is in its place here, or with the thread that reads at this moment. That thread
//! sorts what it reads: messages go into this inbox, and everything else to where it belongs.
//!
//! | thread | when it reads |
//! |---|---|
//! | the main thread | when it has no message, or waits for something in the middle of `handle` |
//! | another one | while it waits for something, if no thread reads when it begins to |
//! | the helper thread | while others have asked it to, and none of the above reads |
//!
//! # Why no wake-up is lost
//! Invariant: if the reader is in its place, the helper is awake if a thread has asked it to read, and
//! otherwise the main thread is awake. It holds because a thread that puts the reader back, asks the
//! helper, or releases it, wakes the thread whose turn it is, under the same lock. What is read is never
//! lost on the way: a message is in the inbox before its reader is put back.

use std::collections::VecDeque;
use std::sync::Arc;

use super::super::latch::Latch;
use super::super::sync::{Condvar, Mutex};

#[derive(Debug)]
pub struct Inbox<R, M> {
    state: Mutex<State<R, M>>,
    helper: Condvar,
}

#[derive(Debug)]
struct State<R, M> {
    /// `None` while a thread reads, and after the end of the stream.
    reader: Option<R>,
    messages: VecDeque<M>,
    /// The main thread waits for it, or is about to.
    parked: Option<Arc<Latch>>,
    /// How many waits go on for which the helper must read.
    asked: usize,
    is_over: bool,
}

impl<R, M> State<R, M> {
    /// Wakes the main thread if it is parked.
    fn unpark(&mut self) {
        if let Some(latch) = self.parked.take() {
            latch.set();
        }
    }
}

/// What a thread that waits must do next.
#[derive(Debug)]
#[must_use]
pub enum Turn<R> {
    /// Read with this, and put it back.
    Read(R),
    /// Another thread reads. The latch is set when that has found something for the main thread, or
    /// when the main thread must read.
    Wait(Arc<Latch>),
    /// Nothing more comes.
    Over,
}

impl<R, M> Inbox<R, M> {
    pub fn new(reader: R) -> Self {
        Self {
            state: Mutex::new(State {
                reader: Some(reader),
                messages: VecDeque::new(),
                parked: None,
                asked: 0,
                is_over: false,
            }),
            helper: Condvar::new(),
        }
    }

    /// For the main thread: a message that has been read already.
    pub fn pop(&self) -> Option<M> {
        self.state.lock().messages.pop_front()
    }

    /// For the main thread, if it waits for a message: the next one, or its turn.
    pub fn next_or_turn(&self) -> Result<M, Turn<R>> {
        let mut state = self.state.lock();
        match state.messages.pop_front() {
            Some(message) => Ok(message),
            None => Err(Self::turn_of(&mut state)),
        }
    }

    /// For the main thread, if it waits for something else. It checks for that after this call and
    /// before it reads or waits, so that what is found in between is not missed.
    pub fn turn(&self) -> Turn<R> {
        Self::turn_of(&mut self.state.lock())
    }

    fn turn_of(state: &mut State<R, M>) -> Turn<R> {
        if state.is_over {
            return Turn::Over;
        }
        if let Some(reader) = state.reader.take() {
            return Turn::Read(reader);
        }
        let latch = Arc::new(Latch::default());
        state.parked = Some(Arc::clone(&latch));
        Turn::Wait(latch)
    }

    /// The reader, if no thread reads.
    pub fn take_reader(&self) -> Option<R> {
        self.state.lock().reader.take()
    }

    /// For a thread that stops reading, and has read `messages`. If `is_woken`, the main thread must
    /// look whether what it waits for is there.
    pub fn put_back(&self, reader: R, messages: impl IntoIterator<Item = M>, is_woken: bool) {
        let mut state = self.state.lock();
        state.messages.extend(messages);
        state.reader = Some(reader);
        if state.asked > 0 {
            self.helper.notify_one();
        }
        if is_woken || state.asked == 0 || !state.messages.is_empty() {
            state.unpark();
        }
    }

    /// Whether nothing more comes.
    pub fn is_over(&self) -> bool {
        self.state.lock().is_over
    }

    /// In place of `put_back`, when nothing more comes.
    pub fn close(&self) {
        let mut state = self.state.lock();
        state.is_over = true;
        state.unpark();
        self.helper.notify_one();
    }

    /// Asks the helper to read until [`Self::release_helper`] is called as often as this.
    pub fn ask_helper(&self) {
        let mut state = self.state.lock();
        state.asked += 1;
        if state.reader.is_some() {
            self.helper.notify_one();
        }
    }

    /// Returns whether the helper has nothing to do any more, and so should put back the reader if it
    /// reads at this moment.
    pub fn release_helper(&self) -> bool {
        let mut state = self.state.lock();
        state.asked -= 1;
        if state.asked == 0 && state.reader.is_some() {
            // The helper may be about to take it, and does not any more.
            state.unpark();
        }
        state.asked == 0
    }

    /// For the helper: blocks until it must read. `None` if nothing more comes.
    pub fn wait_as_helper(&self) -> Option<R> {
        let mut state = self.state.lock();
        loop {
            if state.is_over {
                return None;
            }
            if state.asked > 0
                && let Some(reader) = state.reader.take()
            {
                return Some(reader);
            }
            state = self.helper.wait(state);
        }
    }
}

/// What the tests read from: a pipe of items, of which `None` is the end.
#[cfg(test)]
mod fake {
    use super::*;

    #[cfg(loom)]
    use loom::sync::atomic::{AtomicBool, Ordering};
    #[cfg(not(loom))]
    use std::sync::atomic::{AtomicBool, Ordering};

    pub(super) enum Item {
        Message(u32),
        Reply,
        /// Of interest to no thread.
        Nothing,
        /// What the main thread waits for besides messages.
        Wake,
    }

    #[derive(Default)]
    pub(super) struct Pipe {
        items: Mutex<VecDeque<Option<Item>>>,
        changed: Condvar,
    }

    impl Pipe {
        pub(super) fn write(&self, item: Option<Item>) {
            self.items.lock().push_back(item);
            self.changed.notify_all();
        }

        fn read(&self) -> Option<Item> {
            let mut items = self.items.lock();
            loop {
                if let Some(item) = items.pop_front() {
                    return item;
                }
                items = self.changed.wait(items);
            }
        }
    }

    pub(super) struct Child<L> {
        pub(super) pipe: Pipe,
        pub(super) inbox: Inbox<(), u32>,
        /// Set when the reply has come.
        pub(super) replied: L,
        pub(super) is_woken: AtomicBool,
    }

    impl<L: std::ops::Deref<Target = Latch>> Child<L> {
        pub(super) fn new(replied: L) -> Self {
            Self {
                pipe: Pipe::default(),
                inbox: Inbox::new(()),
                replied,
                is_woken: AtomicBool::new(false),
            }
        }

        /// Reads once, sorts, and puts the reader back. The error is the end.
        fn read(&self) -> Result<(), ()> {
            let item = self.pipe.read();
            let is_woken = matches!(item, Some(Item::Wake));
            let message = match item {
                Some(Item::Message(message)) => Some(message),
                Some(Item::Nothing) => None,
                Some(Item::Reply) => {
                    self.replied.set();
                    None
                }
                Some(Item::Wake) => {
                    self.is_woken.store(true, Ordering::SeqCst);
                    None
                }
                None => {
                    self.inbox.close();
                    return Err(());
                }
            };
            self.inbox.put_back((), message, is_woken);
            Ok(())
        }

        /// What the main thread does while the generator of a stream lacks credit.
        pub(super) fn wait_for_wake(&self) {
            loop {
                let turn = self.inbox.turn();
                if self.is_woken.load(Ordering::SeqCst) {
                    if let Turn::Read(()) = turn {
                        self.inbox.put_back((), None, false);
                    }
                    return;
                }
                match turn {
                    Turn::Read(()) => _ = self.read(),
                    Turn::Wait(latch) => _ = latch.wait(None),
                    Turn::Over => return,
                }
            }
        }

        /// What the main thread does when it is idle.
        pub(super) fn next_message(&self) -> Option<u32> {
            loop {
                match self.inbox.next_or_turn() {
                    Ok(message) => return Some(message),
                    Err(Turn::Read(())) => self.read().ok()?,
                    Err(Turn::Wait(latch)) => _ = latch.wait(None),
                    Err(Turn::Over) => return None,
                }
            }
        }

        /// What another thread does.
        pub(super) fn wait_for_reply(&self) {
            while !self.replied.is_set() {
                if self.inbox.take_reader().is_none() {
                    self.inbox.ask_helper();
                    _ = self.replied.wait(None);
                    self.inbox.release_helper();
                } else if self.replied.is_set() {
                    self.inbox.put_back((), None, false);
                } else if self.read().is_err() {
                    return;
                }
            }
        }

        pub(super) fn help(&self) {
            while self.inbox.wait_as_helper().is_some() {
                if self.read().is_err() {
                    return;
                }
            }
        }
    }
}

/// Run with `make loom`.
#[cfg(all(test, loom))]
mod loom_tests {
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
        every_thread_gets_what_it_waits_for(4, || {
            vec![Item::Nothing, Item::Reply, Item::Message(1)]
        });
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
}

#[cfg(all(test, not(loom)))]
mod tests {
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
}
