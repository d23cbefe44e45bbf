//! Who keeps an actor alive: references in its own process, and the processes of other actors.
//!
//! # Why a process keeps what it refers to, and nothing else
//! Each time an actor is sent to a child, the parent counts it in `Held` first. The child counts it in
//! `Received` when it comes. When the child's last reference is gone, it takes its count out and sends
//! that back, and the parent subtracts it. An actor that is on its way again at that moment has been
//! counted by the parent and not yet by the child, so it stays held.

#[cfg(all(test, loom))]
mod loom_tests;
mod references;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Weak};

pub use self::references::{Holder, Left, References};

/// For a parent: the actors that one child refers to, by their numbers. Each `H` keeps one alive.
#[derive(Debug)]
pub struct Held<H>(HashMap<u64, (H, u64)>);

impl<H> Default for Held<H> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<H> Held<H> {
    /// The actor of this number is about to be sent to the child. Returns what is not needed, which the
    /// caller must drop without a lock.
    pub fn send(&mut self, number: u64, actor: H) -> Option<H> {
        match self.0.entry(number) {
            Entry::Occupied(mut entry) => {
                entry.get_mut().1 += 1;
                Some(actor)
            }
            Entry::Vacant(entry) => {
                entry.insert((actor, 1));
                None
            }
        }
    }

    /// The child does not refer to an actor any more that it got `count` times. Returns what the caller
    /// must drop without a lock.
    pub fn forget(&mut self, number: u64, count: u64) -> Option<H> {
        let (_, sent) = self.0.get_mut(&number)?;
        *sent = sent.saturating_sub(count);
        if *sent > 0 {
            return None;
        }
        self.0.remove(&number).map(|(actor, _)| actor)
    }

    pub fn get(&self, number: u64) -> Option<&H> {
        self.0.get(&number).map(|(actor, _)| actor)
    }

    pub fn numbers(&self) -> impl Iterator<Item = u64> {
        self.0.keys().copied()
    }
}

/// For a child: the actors that it has received from its parent. It refers to one while its `K` exists,
/// which calls `forget` when it is dropped.
#[derive(Debug)]
pub struct Received<K>(HashMap<u64, (Weak<K>, u64)>);

impl<K> Default for Received<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K> Received<K> {
    /// The actor of this number has come so many times more. `know` makes what stands for it, if this
    /// process does not refer to it already.
    pub fn arrive(&mut self, number: u64, times: u64, know: impl FnOnce() -> K) -> Arc<K> {
        let (known, count) = self.0.entry(number).or_insert((Weak::new(), 0));
        *count += times;
        known.upgrade().unwrap_or_else(|| {
            let new = Arc::new(know());
            *known = Arc::downgrade(&new);
            new
        })
    }

    /// What stands for an actor is being dropped. Returns how often that has come; `None` if it has come
    /// again in the meantime, or if the count has been taken out already.
    pub fn forget(&mut self, number: u64) -> Option<u64> {
        match self.0.entry(number) {
            Entry::Occupied(entry) if entry.get().0.strong_count() == 0 => Some(entry.remove().1),
            _ => None,
        }
    }

    pub fn get(&self, number: u64) -> Option<Arc<K>> {
        self.0.get(&number)?.0.upgrade()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What can happen to the one actor of the test.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Send,
        Arrive,
        Drop,
        /// The parent reads what the child has sent back.
        Return,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            Just(Step::Send),
            Just(Step::Arrive),
            Just(Step::Drop),
            Just(Step::Return)
        ];
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        /// Beside a naive count: an actor is held exactly while it is on its way, is referred to, or while
        /// the child's word that it is forgotten is on its way.
        #[test]
        fn an_actor_is_held_as_long_as_a_child_can_refer_to_it(steps in steps()) {
            let (mut held, mut received) = (Held::default(), Received::default());
            let (mut on_its_way, mut returned, mut known) = (0, Vec::new(), Vec::<Arc<()>>::new());
            for step in steps {
                match step {
                    Step::Send => {
                        held.send(7, ());
                        on_its_way += 1;
                    }
                    Step::Arrive if on_its_way > 0 => {
                        on_its_way -= 1;
                        known.push(received.arrive(7, 1, || ()));
                    }
                    Step::Drop => {
                        let is_last = known.len() == 1;
                        drop(known.pop());
                        returned.extend(is_last.then(|| received.forget(7)).flatten());
                    }
                    Step::Return if !returned.is_empty() => {
                        held.forget(7, returned.remove(0));
                    }
                    Step::Arrive | Step::Return => {}
                }
                let is_needed = on_its_way > 0 || !known.is_empty() || !returned.is_empty();
                prop_assert_eq!(held.get(7).is_some(), is_needed);
                prop_assert_eq!(received.get(7).is_some(), !known.is_empty());
            }
        }
    }

    #[test]
    fn what_a_child_forgets_twice_or_never_got_changes_nothing_else() {
        let mut held = Held::default();
        assert_eq!(held.send(1, "one"), None);
        assert_eq!(held.send(1, "again"), Some("again"));
        assert_eq!(held.send(2, "two"), None);
        assert_eq!(held.forget(3, 1), None);
        assert_eq!(held.forget(1, 1), None);
        assert_eq!(held.forget(1, 9), Some("one"));
        assert_eq!(held.forget(1, 1), None);
        assert_eq!(held.numbers().collect::<Vec<_>>(), [2]);
    }
}
