//! The window: which messages the child has and has not answered.
//!
//! A message that enters takes a free slot, and gets a number that names it: see `claims`. It leaves
//! whenever it is answered, before or after others, and its slot is free for the next.
//!
//! Invariant: no two inside have the same slot, and a number is given out once; `len_bytes` is the
//! sum of their lengths; `entered` lists them in the order in which they entered.

use std::collections::VecDeque;

use super::claims::{CLAIMS, first_of, next_of, slot_of};
use super::pipe::Broken;

/// With so many bytes of messages inside, only as many messages enter as the child handles at a time.
pub const WINDOW_BYTES: usize = 1 << 20;

/// How many that have left may be listed before a sweep is worth it.
const SWEEP_AT_LEAST: usize = 64;

/// How many messages may be inside a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// How many the child handles at a time. So many enter, whatever their length: one that has begun may
    /// wait for the next.
    places: usize,
    /// How many there may be at most.
    slots: usize,
}

impl Capacity {
    /// A child that handles one after the other needs no more to be kept busy.
    pub const LEAST: Self = Self {
        places: 1,
        slots: 512,
    };
    const MOST: usize = CLAIMS;

    /// The capacity for a child that handles this many messages at a time. `None` if there are not
    /// enough slots.
    pub fn for_concurrency(messages: usize) -> Option<Self> {
        (messages <= Self::MOST).then(|| Self {
            places: messages.max(Self::LEAST.places),
            slots: messages.max(Self::LEAST.slots),
        })
    }
}

#[derive(Debug)]
struct Slot<T> {
    /// The number of the message inside, or else of the next one.
    sequence: u64,
    /// With its length in bytes.
    message: Option<(usize, T)>,
}

#[derive(Debug)]
pub struct Window<T> {
    capacity: Capacity,
    /// The slots that have been used so far. A free one is used again before a new one is, the last
    /// to become free first, so that no more of the claims' table is touched than needed.
    slots: Vec<Slot<T>>,
    free: Vec<usize>,
    /// The numbers of those inside, oldest first, and in between of some that have left. The first
    /// and the last are always inside.
    entered: VecDeque<u64>,
    len: usize,
    len_bytes: usize,
    count: u64,
}

impl<T> Window<T> {
    pub fn new(capacity: Capacity) -> Self {
        Self {
            capacity,
            slots: Vec::new(),
            free: Vec::new(),
            entered: VecDeque::new(),
            len: 0,
            len_bytes: 0,
            count: 0,
        }
    }

    /// The sequence number of the next message that enters.
    pub fn next_sequence(&self) -> u64 {
        let free = self.free.last().and_then(|slot| self.slots.get(*slot));
        free.map_or_else(|| first_of(self.slots.len()), |slot| slot.sequence)
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many have entered so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Whether another may enter, if at most `limit` may be inside. Its length does not matter: the
    /// last one may exceed the limit of bytes.
    pub fn has_room(&self, limit: usize) -> bool {
        let Capacity { places, slots } = self.capacity;
        self.len < limit.min(slots) && (self.len_bytes < WINDOW_BYTES || self.len < places)
    }

    /// A message of `len_bytes` enters, with the number `next_sequence`. There must be room.
    pub fn enter(&mut self, len_bytes: usize, message: T) {
        debug_assert!(self.len < self.capacity.slots);
        let sequence = self.next_sequence();
        let message = Some((len_bytes, message));
        match self.free.pop().and_then(|slot| self.slots.get_mut(slot)) {
            Some(slot) => slot.message = message,
            None => self.slots.push(Slot { sequence, message }),
        }
        self.entered.push_back(sequence);
        self.len += 1;
        self.len_bytes += len_bytes;
        self.count += 1;
    }

    /// The message with this number, if it is inside.
    pub fn get(&self, sequence: u64) -> Option<&T> {
        let slot = self.slots.get(slot_of(sequence));
        let (_, message) = slot?.message.as_ref()?;
        (slot?.sequence == sequence).then_some(message)
    }

    /// Like `get`, to change it.
    pub fn get_mut(&mut self, sequence: u64) -> Option<&mut T> {
        let slot = self.slots.get_mut(slot_of(sequence))?;
        let is_inside = slot.sequence == sequence;
        let (_, message) = slot.message.as_mut()?;
        is_inside.then_some(message)
    }

    pub fn contains(&self, sequence: u64) -> bool {
        self.get(sequence).is_some()
    }

    /// A message leaves, because it was answered or skipped. A number that is not inside is an error,
    /// after which the window is as it was.
    pub fn leave(&mut self, sequence: u64) -> Result<T, Broken> {
        let index = slot_of(sequence);
        let slot = self.slots.get_mut(index);
        let slot = slot.filter(|slot| slot.sequence == sequence);
        let left = slot.and_then(|slot| {
            let left = slot.message.take()?;
            slot.sequence = next_of(sequence);
            Some(left)
        });
        let (len_bytes, message) = left.ok_or(Broken::NoSuchMessage(sequence))?;
        self.free.push(index);
        self.len -= 1;
        self.len_bytes -= len_bytes;
        self.sweep();
        Ok(message)
    }

    /// Removes those that have left from the list: always at its ends, and in between once they may
    /// be more than half. So each message costs constant time, and the list is at most about twice
    /// as long as necessary, even if one message stays for ever.
    fn sweep(&mut self) {
        while self.entered.front().is_some_and(|n| !self.contains(*n)) {
            self.entered.pop_front();
        }
        while self.entered.back().is_some_and(|n| !self.contains(*n)) {
            self.entered.pop_back();
        }
        if self.entered.len() > 2 * self.len + SWEEP_AT_LEAST {
            let mut entered = std::mem::take(&mut self.entered);
            entered.retain(|n| self.contains(*n));
            self.entered = entered;
        }
    }

    /// Those inside with their numbers, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, &T)> {
        let numbers = self.entered.iter();
        numbers.filter_map(|n| self.get(*n).map(|message| (*n, message)))
    }

    /// Takes out all that are inside, oldest first; the numbers go on.
    pub fn take_all(&mut self) -> Vec<T> {
        let numbers = std::mem::take(&mut self.entered).into_iter();
        numbers.filter_map(|n| self.leave(n).ok()).collect()
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
        /// So many are answered, each time the one in this place of a thousand.
        AnswerAt(usize, usize),
        /// All but this many of the oldest are answered, the latest first.
        AnswerAllBut(usize),
        /// An answer to a message that has left, so long ago.
        Repeat(usize),
        /// An answer to a number that was never given out.
        Nonsense(u64),
        TakeAll,
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let len_bytes = prop_oneof![8 => 16..200_usize, 2 => 1_000..50_000_usize,
            1 => WINDOW_BYTES - 100..2 * WINDOW_BYTES];
        let limit = prop_oneof![Just(16_usize), Just(512_usize), Just(usize::MAX)];
        let event = prop_oneof![
            6 => (len_bytes, limit).prop_map(|(len, limit)| Event::Send(len, limit)),
            3 => (0..600_usize).prop_map(Event::Answer),
            3 => (0..600_usize, 0..1_000_usize).prop_map(|(n, at)| Event::AnswerAt(n, at)),
            1 => (0..3_usize).prop_map(Event::AnswerAllBut),
            1 => (0..600_usize).prop_map(Event::Repeat),
            1 => any::<u64>().prop_map(Event::Nonsense),
            1 => Just(Event::TakeAll),
        ];
        proptest::collection::vec(event, 1..60)
    }

    /// The model: number and length of each, oldest first; and those that have left.
    #[derive(Default)]
    struct Model {
        inside: Vec<(u64, usize)>,
        left: Vec<u64>,
    }

    impl Model {
        fn contains(&self, sequence: u64) -> bool {
            self.inside.iter().any(|(number, _)| *number == sequence)
        }

        /// The message in this place is answered.
        fn answer(&mut self, at: usize, window: &mut Window<u64>) -> Result<(), TestCaseError> {
            let (sequence, _) = self.inside.remove(at);
            self.left.push(sequence);
            prop_assert_eq!(window.leave(sequence), Ok(sequence));
            Ok(())
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_it_agrees_with_a_list(events in events(), most in prop_oneof![1..5_usize, 1..2_000_usize]) {
            let capacity = Capacity::for_concurrency(most).expect("not so many");
            let mut window = Window::new(capacity);
            let mut model = Model::default();
            let mut given = std::collections::HashSet::new();
            for event in events {
                match event {
                    Event::Send(len_bytes, limit) => {
                        while window.has_room(limit) {
                            let sequence = window.next_sequence();
                            prop_assert!(sequence != 0 && given.insert(sequence), "given twice");
                            window.enter(len_bytes, sequence);
                            model.inside.push((sequence, len_bytes));
                        }
                    }
                    Event::Answer(count) => {
                        for _ in 0..count.min(model.inside.len()) {
                            model.answer(0, &mut window)?;
                        }
                    }
                    Event::AnswerAt(count, at) => {
                        for _ in 0..count.min(model.inside.len()) {
                            model.answer(at * model.inside.len() / 1_000, &mut window)?;
                        }
                    }
                    Event::AnswerAllBut(count) => {
                        while model.inside.len() > count {
                            model.answer(model.inside.len() - 1, &mut window)?;
                        }
                    }
                    Event::Repeat(ago) => {
                        if let Some(&sequence) = model.left.iter().rev().nth(ago) {
                            let refused = Err(Broken::NoSuchMessage(sequence));
                            prop_assert_eq!(window.leave(sequence), refused);
                        }
                    }
                    Event::Nonsense(sequence) => {
                        if !model.contains(sequence) {
                            let refused = Err(Broken::NoSuchMessage(sequence));
                            prop_assert_eq!(window.leave(sequence), refused);
                        }
                    }
                    Event::TakeAll => {
                        let numbers: Vec<u64> = model.inside.drain(..).map(|(n, _)| n).collect();
                        prop_assert_eq!(window.take_all(), numbers.clone());
                        model.left.extend(numbers);
                    }
                }
                let numbers: Vec<u64> = model.inside.iter().map(|(number, _)| *number).collect();
                prop_assert!(window.iter().all(|(number, message)| number == *message));
                prop_assert_eq!(window.iter().map(|(n, _)| n).collect::<Vec<_>>(), numbers.clone());
                prop_assert!(window.iter().rev().map(|(n, _)| n).eq(numbers.iter().copied().rev()));
                prop_assert!(numbers.iter().all(|n| window.get(*n) == Some(n)));
                prop_assert_eq!((window.len(), window.count()), (numbers.len(), given.len() as u64));
                // No two inside share a slot, and all but the last fit the bytes or the child's places.
                let slots: std::collections::HashSet<_> = numbers.iter().map(|n| slot_of(*n)).collect();
                prop_assert_eq!(slots.len(), numbers.len());
                prop_assert!(slots.iter().all(|slot| *slot < most.max(512)));
                let but_last = model.inside.iter().rev().skip(1).map(|(_, len)| len).sum::<usize>();
                prop_assert!(but_last < WINDOW_BYTES || numbers.len() <= most);
                prop_assert_eq!(window.len_bytes, model.inside.iter().map(|(_, len)| len).sum::<usize>());
                prop_assert!(window.entered.len() <= 2 * numbers.len() + SWEEP_AT_LEAST);
            }
        }
    }

    #[test]
    fn one_message_larger_than_the_window_enters_alone() {
        let mut window = Window::new(Capacity::LEAST);
        let sequence = window.next_sequence();
        window.enter(5 * WINDOW_BYTES, "large");
        assert!(!window.has_room(512));
        assert_eq!(window.leave(sequence), Ok("large"));
        assert!(window.has_room(512));
    }

    #[test]
    fn as_many_large_messages_enter_as_the_child_handles_at_a_time() {
        let capacity = Capacity::for_concurrency(3).expect("not too many");
        let mut window = Window::new(capacity);
        for _ in 0..3 {
            assert!(window.has_room(512));
            window.enter(5 * WINDOW_BYTES, ());
        }
        assert!(!window.has_room(512));
    }

    #[test]
    fn one_that_stays_does_not_keep_others_out_nor_the_list_growing() {
        let mut window = Window::new(Capacity::LEAST);
        let slow = window.next_sequence();
        window.enter(1, 0);
        for number in 1..100_000 {
            let sequence = window.next_sequence();
            window.enter(1, number);
            assert_eq!(window.leave(sequence), Ok(number));
        }
        assert_eq!(window.slots.len(), 2);
        assert!(window.entered.len() <= 2);
        assert_eq!(window.leave(slow), Ok(0));
        assert!(window.is_empty() && window.entered.is_empty());
    }

    #[test]
    fn a_window_has_512_slots_or_more_but_no_more_than_there_are() {
        for (messages, slots) in [(1, 512), (512, 512), (513, 513), (65_536, 65_536)] {
            let capacity = Capacity::for_concurrency(messages).expect("not too many");
            let mut window = Window::new(capacity);
            while window.has_room(usize::MAX) {
                window.enter(1, ());
            }
            assert_eq!(window.len(), slots);
            let numbers: Vec<u64> = window.iter().map(|(number, ())| number).collect();
            assert!(numbers.iter().all(|number| slot_of(*number) < slots));
        }
        assert_eq!(Capacity::for_concurrency(65_537), None);
    }
}
