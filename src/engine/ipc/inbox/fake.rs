//! What the tests read from: a pipe of items, of which `None` is the end.

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
