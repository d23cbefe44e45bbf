//! Forks: after a fork each process has its own copy of the received blocks, as they were then.
//!
//! Before a fork, every block that this process has received is mapped again at the same place, now
//! privately: from then on each process copies a page when it first writes to it, as with any other
//! memory. Pages that are not written to stay in the block's slot. So the slot is *lent*: it is freed
//! when its block is dropped and the forked processes have ended, which a [`Witness`] tells.
//!
//! A forked process may live for months, so only half of the slots, and of the memory, may be lent at
//! a time. Beyond that, or if there can be no witness, this process copies the block at once.
//!
//! A block that another thread receives between [`Forks::before`] and the fork is copied at once too.
//! That thread does not wait for the fork: Python code runs in between, and may wait for the thread.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::lending::Lent;
use super::{Arena, Block};
use crate::engine::sys::{self, Armed, Error, Witness};

/// How many watches there may be. Each has a descriptor and a thread.
const WATCHES: usize = 32;

/// The forks of this process. A thread that has this locked takes no other lock that is held across a
/// fork.
#[derive(Debug, Default)]
pub struct Forks {
    arenas: Vec<Weak<Arena>>,
    /// How many forks are between `before` and `after_in_parent`.
    under_way: usize,
    /// The armed witnesses of those forks.
    armed: Vec<Armed>,
    watches: Vec<Weak<Watch>>,
}

/// Watches forked processes that all have the same blocks, until they have ended.
#[derive(Debug)]
struct Watch {
    witness: Witness,
    lent: Vec<Arc<Lent>>,
}

impl Forks {
    pub const fn new() -> Self {
        Self {
            arenas: Vec::new(),
            under_way: 0,
            armed: Vec::new(),
            watches: Vec::new(),
        }
    }

    /// From now on forks apply to this arena.
    pub fn register(&mut self, arena: &Arc<Arena>) {
        arena.forks.store(self.under_way, Ordering::SeqCst);
        self.arenas.retain(|arena| arena.strong_count() > 0);
        self.arenas.push(Arc::downgrade(arena));
    }

    /// Called before this process forks. An error means that both processes will share a block.
    pub fn before(&mut self) -> Result<(), Error> {
        self.under_way += 1;
        let blocks: Vec<Arc<Block>> = self.living().flat_map(|arena| arena.enter_fork()).collect();
        let mut result = Ok(());
        let mut lent = Vec::with_capacity(blocks.len());
        for block in &blocks {
            let private = match block.make_private() {
                Ok(Some(one)) if one.is_too_much() => block.make_own(),
                Ok(one) => {
                    lent.extend(one);
                    Ok(())
                }
                Err(error) => Err(error),
            };
            result = result.and(private);
        }
        if !lent.is_empty() && self.watch(lent).is_err() {
            for block in &blocks {
                result = result.and(block.make_own());
            }
        }
        result
    }

    /// Called in this process after it has forked, or has failed to.
    pub fn after_in_parent(&mut self) {
        if self.under_way == 0 {
            // User code has called the hook without a fork.
            return;
        }
        self.living().for_each(|arena| arena.leave_fork());
        self.under_way -= 1;
        if self.under_way == 0 {
            self.armed.clear();
        }
    }

    /// Called in the new process.
    pub fn after_in_child(&mut self) {
        // Leaked: they tell the other process that this one lives.
        self.armed.drain(..).for_each(std::mem::forget);
        // The watches have no threads here. The blocks received in these arenas are private now.
        self.watches.clear();
        self.arenas.clear();
        self.under_way = 0;
    }

    fn living(&self) -> impl Iterator<Item = Arc<Arena>> {
        self.arenas.iter().filter_map(Weak::upgrade)
    }

    /// Keeps `lent` until the process that is forked next has ended.
    fn watch(&mut self, lent: Vec<Arc<Lent>>) -> Result<(), Error> {
        self.watches.retain(|watch| watch.strong_count() > 0);
        let watches = self.watches.iter().filter_map(Weak::upgrade);
        // A witness whose processes have ended cannot be armed.
        let armed = watches
            .filter(|watch| watch.has(&lent))
            .find_map(|watch| watch.witness.arm().ok());
        if let Some(armed) = armed {
            self.armed.push(armed);
            return Ok(());
        }
        if self.watches.len() >= WATCHES {
            return Err(Error::WOULD_BLOCK);
        }
        let witness = Witness::new()?;
        let armed = witness.arm()?;
        let watch = Arc::new(Watch { witness, lent });
        self.watches.push(Arc::downgrade(&watch));
        sys::spawn("fork watch".to_owned(), 64 << 10, move || watch.run())?;
        self.armed.push(armed);
        Ok(())
    }
}

impl Watch {
    fn has(&self, lent: &[Arc<Lent>]) -> bool {
        let pairs = self.lent.iter().zip(lent);
        self.lent.len() == lent.len()
            && pairs
                .into_iter()
                .all(|(one, other)| Arc::ptr_eq(one, other))
    }

    /// The watch's thread: returns when the processes have ended. Most of them live either for long
    /// or only for a moment, so it checks less and less often.
    fn run(&self) {
        const LONGEST_PAUSE: Duration = Duration::from_secs(1);
        let mut pause = Duration::from_millis(5);
        while !self.witness.is_gone() {
            std::thread::sleep(pause);
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }
}

impl Arena {
    /// The blocks that were received so far. Until `leave_fork`, blocks are copied when received.
    fn enter_fork(&self) -> Vec<Arc<Block>> {
        // Before the list is locked: a thread that adds a block to the list later sees this.
        self.forks.fetch_add(1, Ordering::SeqCst);
        self.received_blocks()
    }

    fn leave_fork(&self) {
        self.forks.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(all(test, target_os = "linux", not(portable)))]
mod tests {
    use super::*;

    use super::super::OnDrop;

    use std::time::Instant;

    use crate::engine::arena::memory::PAGE_BYTES;
    use crate::engine::arena::tests::{MANY, arenas, filled};
    use crate::engine::ipc::slots::SLOTS_EACH;

    const LEN_BYTES: usize = 100_000;

    /// A parent with forks, a child, and blocks that the child has sent: each with its number.
    fn received(count: u8, limit_bytes: u64) -> (Forks, Arc<Arena>, Arc<Arena>, Vec<Arc<Block>>) {
        let (parent, child) = arenas(limit_bytes);
        let mut forks = Forks::new();
        forks.register(&parent);
        let send = |number| filled(&child, LEN_BYTES, number).left();
        let blocks = (0..count).map(|number| parent.receive(send(number)).expect("valid"));
        let blocks = blocks.collect();
        (forks, parent, child, blocks)
    }

    fn held_slots(arena: &Arena) -> usize {
        let slots = arena.memory.region.slots();
        (0..2 * SLOTS_EACH)
            .filter(|slot| slots.is_held(*slot))
            .count()
    }

    fn until(is_so: impl Fn() -> bool) {
        let start = Instant::now();
        while !is_so() {
            assert!(start.elapsed() < Duration::from_secs(20));
            std::thread::yield_now();
        }
    }

    fn scribble(block: &Block, byte: u8) {
        block.bytes.write(block.at, byte);
    }

    #[test]
    fn a_slot_is_freed_when_its_block_and_the_forked_processes_are_gone() {
        let (mut forks, parent, _child, mut blocks) = received(2, MANY);
        forks.before().expect("memory");
        drop(blocks.pop());
        assert_eq!(held_slots(&parent), 2);
        forks.after_in_parent();
        // No process was forked, so the watch finds none.
        until(|| held_slots(&parent) == 1);
        assert_eq!(blocks[0].as_slice(), vec![0; LEN_BYTES]);
        drop(blocks);
        assert_eq!(held_slots(&parent), 0);
        assert_eq!(parent.lending.slots.load(Ordering::SeqCst), 0);
        assert_eq!(parent.lending.pages.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn writes_after_a_fork_are_private_to_a_process() {
        let (mut forks, _parent, child, blocks) = received(1, MANY);
        scribble(&blocks[0], 7);
        let there = child
            .block(blocks[0].slot, 0, LEN_BYTES, OnDrop::Release)
            .expect("memory");
        assert_eq!(there.as_slice()[0], 7);
        forks.before().expect("memory");
        assert_eq!(blocks[0].as_slice()[0], 7);
        scribble(&blocks[0], 8);
        assert_eq!(there.as_slice()[0], 7);
        there.leave();
        // It would not be seen either if the block were sent back.
        assert!(Arc::clone(&blocks[0]).into_sole().is_err());
        let mut blocks = blocks;
        assert!(blocks.pop().expect("one").into_sole().is_err());
    }

    #[test]
    fn a_block_received_while_a_fork_is_under_way_is_copied() {
        let (mut forks, parent, child, blocks) = received(1, MANY);
        let reference = filled(&child, LEN_BYTES, 5).left();
        forks.before().expect("memory");
        let late = parent.receive(reference).expect("valid");
        assert!(!parent.memory.region.slots().is_held(late.slot));
        let mut newer = child.take(LEN_BYTES).expect("room");
        assert_eq!(newer.slot, late.slot);
        newer.fill(&vec![6; LEN_BYTES]);
        assert_eq!(late.as_slice(), vec![5; LEN_BYTES]);
        // The same holds for a new arena.
        let (other, its_child) = arenas(MANY);
        forks.register(&other);
        let reference = filled(&its_child, LEN_BYTES, 5).left();
        let late = other.receive(reference).expect("valid");
        assert!(!other.memory.region.slots().is_held(late.slot));
        forks.after_in_parent();
        let reference = filled(&its_child, LEN_BYTES, 5).left();
        let later = other.receive(reference).expect("valid");
        assert!(other.memory.region.slots().is_held(later.slot));
        drop(blocks);
    }

    #[test]
    fn no_more_than_half_is_lent() {
        // Room for ten blocks of seven pages each.
        let (mut forks, parent, child, blocks) = received(8, 10 * 7 * PAGE_BYTES);
        forks.before().expect("memory");
        assert_eq!(held_slots(&parent), 5);
        for _ in 0..5 {
            filled(&child, LEN_BYTES, 99).left();
        }
        assert!(child.take(LEN_BYTES).is_err());
        for (number, block) in (0..).zip(&blocks) {
            assert_eq!(block.as_slice(), vec![number; LEN_BYTES]);
        }
        forks.after_in_parent();
    }

    #[test]
    fn forks_that_have_the_same_blocks_are_watched_together() {
        let (mut forks, parent, child, mut blocks) = received(3, MANY);
        let mut witnesses = Vec::new();
        let mut fork = |forks: &mut Forks| {
            forks.before().expect("memory");
            // As a forked process does.
            witnesses.append(&mut forks.armed);
            forks.after_in_parent();
            forks.watches.len()
        };
        assert_eq!(fork(&mut forks), 1);
        assert_eq!(fork(&mut forks), 1);
        drop(blocks.pop());
        assert_eq!(fork(&mut forks), 2);
        assert_eq!(fork(&mut forks), 2);
        blocks.push(
            parent
                .receive(filled(&child, LEN_BYTES, 9).left())
                .expect("valid"),
        );
        assert_eq!(fork(&mut forks), 3);
        assert_eq!(held_slots(&parent), 4);
        drop(witnesses);
        until(|| held_slots(&parent) == 3);
        drop(blocks);
        until(|| held_slots(&parent) == 0);
    }

    #[test]
    fn too_many_watches_are_copies() {
        let (mut forks, parent, child, mut blocks) = received(0, MANY);
        let mut witnesses = Vec::new();
        for number in 0..=WATCHES {
            blocks.push(
                parent
                    .receive(filled(&child, LEN_BYTES, 9).left())
                    .expect("valid"),
            );
            assert_eq!(held_slots(&parent), number + 1);
            forks.before().expect("memory");
            witnesses.append(&mut forks.armed);
            forks.after_in_parent();
        }
        // Only this process has the last one; earlier forks have the others.
        assert_eq!(held_slots(&parent), WATCHES);
        drop(blocks);
        assert_eq!(held_slots(&parent), WATCHES);
        drop(witnesses);
        until(|| held_slots(&parent) == 0);
    }

    #[test]
    fn blocks_of_a_closed_arena_become_private_too() {
        let (mut forks, parent, child, blocks) = received(1, MANY);
        parent.close();
        let there = child
            .block(blocks[0].slot, 0, LEN_BYTES, OnDrop::Release)
            .expect("memory");
        scribble(&blocks[0], 1);
        assert_eq!(there.as_slice()[0], 1);
        forks.before().expect("memory");
        scribble(&blocks[0], 2);
        assert_eq!(there.as_slice()[0], 1);
        assert!(forks.watches.is_empty());
        forks.after_in_parent();
        there.leave();
    }

    #[test]
    fn a_forked_process_stays_watched_and_knows_no_arena() {
        let (mut forks, parent, _child, blocks) = received(1, MANY);
        forks.before().expect("memory");
        forks.after_in_child();
        assert_eq!(forks.under_way, 0);
        assert_eq!(forks.living().count(), 0);
        drop(blocks);
        assert_eq!(held_slots(&parent), 1);
        forks.after_in_parent();
    }
}
