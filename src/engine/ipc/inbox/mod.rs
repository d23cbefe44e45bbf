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

    /// For the main thread: whether `pop` finds a message.
    pub fn has_message(&self) -> bool {
        !self.state.lock().messages.is_empty()
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

#[cfg(test)]
mod fake;

/// Run with `make loom`.
#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod tests;
