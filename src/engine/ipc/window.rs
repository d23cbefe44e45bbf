//! The window: which messages the child has and has not answered, oldest first.
//!
//! Invariant: the sequence numbers inside are consecutive and end before `next`; there are at most
//! `CLAIMS`, so that each has a claim of its own; `len_bytes` is the sum of their lengths.

use std::collections::VecDeque;

use super::claims::CLAIMS;
use super::pipe::Broken;

/// How many messages may be inside at most.
pub const WINDOW_MESSAGES: usize = CLAIMS;
/// How many bytes of messages may be inside, unless it is one message.
pub const WINDOW_BYTES: usize = 1 << 20;

#[derive(Debug)]
pub struct Window<T> {
    messages: VecDeque<(usize, T)>,
    len_bytes: usize,
    next: u64,
}

impl<T> Default for Window<T> {
    fn default() -> Self {
        Self {
            messages: VecDeque::new(),
            len_bytes: 0,
            next: 1,
        }
    }
}

impl<T> Window<T> {
    /// The sequence number of the next message that enters. The first is 1.
    pub fn next_sequence(&self) -> u64 {
        self.next
    }

    pub fn len(&self) -> usize {
        self.messages.len()
    }

    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Whether another may enter, if at most `limit` may be inside. Its length does not matter: the
    /// last one may exceed the limit of bytes.
    pub fn has_room(&self, limit: usize) -> bool {
        self.len() < limit.min(WINDOW_MESSAGES)
            && (self.len_bytes < WINDOW_BYTES || self.is_empty())
    }

    /// A message of `len_bytes` enters, with the number `next_sequence`. There must be room.
    pub fn enter(&mut self, len_bytes: usize, message: T) {
        debug_assert!(self.len() < WINDOW_MESSAGES);
        self.messages.push_back((len_bytes, message));
        self.len_bytes += len_bytes;
        self.next += 1;
    }

    /// The oldest inside, and its sequence number.
    pub fn oldest(&self) -> Option<(u64, &T)> {
        let (_, message) = self.messages.front()?;
        Some((self.next - self.len() as u64, message))
    }

    /// Whether a message with this number is inside.
    pub fn contains(&self, sequence: u64) -> bool {
        self.oldest()
            .is_some_and(|oldest| (oldest.0..self.next).contains(&sequence))
    }

    /// The oldest leaves, because it was answered or skipped. Any other number is an error, after
    /// which the window is as it was.
    pub fn leave(&mut self, sequence: u64) -> Result<T, Broken> {
        let is_oldest = self.oldest().is_some_and(|oldest| oldest.0 == sequence);
        match is_oldest.then(|| self.messages.pop_front()).flatten() {
            Some((len_bytes, message)) => {
                self.len_bytes -= len_bytes;
                Ok(message)
            }
            None => Err(Broken::OutOfOrder(sequence)),
        }
    }

    /// Those inside, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.messages.iter().map(|(_, message)| message)
    }

    /// Takes out all that are inside, oldest first; the numbers go on.
    pub fn take_all(&mut self) -> impl Iterator<Item = T> + use<T> {
        self.len_bytes = 0;
        std::mem::take(&mut self.messages)
            .into_iter()
            .map(|(_, message)| message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Event {
        /// As many messages of this length as there is room for, up to a limit.
        Send(usize, usize),
        /// So many of the oldest are answered.
        Answer(usize),
        /// An answer that is not the next, so far off.
        WrongAnswer(u64),
        TakeAll,
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let len_bytes = prop_oneof![8 => 16..200_usize, 2 => 1_000..50_000_usize,
            1 => WINDOW_BYTES - 100..2 * WINDOW_BYTES];
        let limit = prop_oneof![Just(16_usize), Just(WINDOW_MESSAGES), Just(usize::MAX)];
        let event = prop_oneof![
            6 => (len_bytes, limit).prop_map(|(len, limit)| Event::Send(len, limit)),
            6 => (0..600_usize).prop_map(Event::Answer),
            1 => (1..1_000_u64).prop_map(Event::WrongAnswer),
            1 => Just(Event::TakeAll),
        ];
        proptest::collection::vec(event, 1..60)
    }

    proptest! {
        #[test]
        fn whatever_comes_it_agrees_with_a_list(events in events()) {
            let mut window = Window::default();
            // The model: the number and length of each message, oldest first.
            let mut model: VecDeque<(u64, usize)> = VecDeque::new();
            let mut next = 1;
            for event in events {
                match event {
                    Event::Send(len_bytes, limit) => {
                        while window.has_room(limit) {
                            prop_assert_eq!(window.next_sequence(), next);
                            window.enter(len_bytes, next);
                            model.push_back((next, len_bytes));
                            next += 1;
                        }
                    }
                    Event::Answer(count) => {
                        for _ in 0..count.min(model.len()) {
                            let (sequence, _) = model.pop_front().expect("counted");
                            prop_assert_eq!(window.leave(sequence), Ok(sequence));
                        }
                    }
                    Event::WrongAnswer(off) => {
                        let wrong = model.front().map_or(next, |first| first.0) + off;
                        prop_assert_eq!(window.leave(wrong), Err(Broken::OutOfOrder(wrong)));
                    }
                    Event::TakeAll => {
                        let taken: Vec<u64> = window.take_all().collect();
                        prop_assert_eq!(taken, model.drain(..).map(|(n, _)| n).collect::<Vec<_>>());
                    }
                }
                let numbers: Vec<u64> = model.iter().map(|(number, _)| *number).collect();
                prop_assert_eq!(window.iter().copied().collect::<Vec<_>>(), numbers);
                prop_assert_eq!(window.oldest().map(|oldest| oldest.0), model.front().map(|m| m.0));
                // No two messages inside share a slot, and all but the last fit the limit of bytes.
                prop_assert!(window.len() <= CLAIMS);
                let but_last = model.iter().rev().skip(1).map(|(_, len)| len).sum::<usize>();
                prop_assert!(but_last < WINDOW_BYTES || model.len() <= 1);
                prop_assert_eq!(window.len_bytes, model.iter().map(|(_, len)| len).sum::<usize>());
            }
        }
    }

    #[test]
    fn one_message_larger_than_the_window_enters_alone() {
        let mut window = Window::default();
        window.enter(5 * WINDOW_BYTES, "large");
        assert!(!window.has_room(WINDOW_MESSAGES));
        assert_eq!(window.leave(1), Ok("large"));
        assert!(window.has_room(WINDOW_MESSAGES));
    }
}
