use super::*;
use crate::engine::ipc::slots::{SLOTS, SLOTS_EACH};

pub(super) const MANY: u64 = 1 << 30;

impl Block {
    pub(super) fn left(self) -> Reference {
        let reference = self.reference();
        self.leave();
        reference
    }
}

pub(super) fn arenas(limit_bytes: u64) -> (Arc<Arena>, Arc<Arena>) {
    let (here, file) = Region::create().expect("memory");
    let theirs = sys::duplicate(&file).expect("a handle");
    let there = Region::map(&theirs).expect("memory");
    let parent = Arena::create(Arc::new(here), Arc::new(file), limit_bytes);
    let child = Arena::join(Arc::new(there), Arc::new(theirs));
    (Arc::new(parent), Arc::new(child))
}

pub(super) fn filled(arena: &Arc<Arena>, len_bytes: usize, byte: u8) -> Block {
    let mut block = arena.take(len_bytes).expect("room");
    block.fill(&vec![byte; len_bytes]);
    block
}

#[test]
fn a_block_that_one_side_fills_is_received_by_the_other() {
    let (parent, child) = arenas(MANY);
    for (from, to) in [(&parent, &child), (&child, &parent)] {
        let reference = filled(from, 100_000, 7).left();
        let block = to.receive(reference).expect("valid");
        assert_eq!(block.as_slice(), vec![7; 100_000]);
        assert!(from.usage_bytes().0 >= 100_000);
        drop(block);
        assert_eq!(from.usage_bytes().0, 0);
        assert!(from.usage_bytes().1 >= 100_000);
    }
}

#[test]
fn a_freed_block_is_used_again_and_one_in_use_is_not() {
    let (parent, child) = arenas(MANY);
    let first = filled(&parent, 100_000, 1).left();
    let second = filled(&parent, 100_000, 2).left();
    assert_ne!(first.slot, second.slot);
    drop(child.receive(first).expect("valid"));
    let third = filled(&parent, 99_000, 3).left();
    assert_eq!(third.slot, first.slot);
    let second = child.receive(second).expect("valid");
    assert_eq!(second.as_slice()[0], 2);
}

#[test]
fn a_block_goes_back_as_it_is() {
    let (parent, child) = arenas(MANY);
    let there = child
        .receive(filled(&parent, 1 << 20, 5).left())
        .expect("valid");
    let address = there.start().addr().get();
    let found = child.find(address + 100, 1000).expect("it is there");
    assert!(child.find(address + 100, 1 << 20).is_none());
    assert!(child.find(address.wrapping_sub(1), 10).is_none());
    drop(there);
    let block = found.into_sole().expect("nobody else has it");
    assert_eq!(block.part(address + 7, 2), [5; 2]);
    let part = block.into_part(address + 100, 1000);
    assert!(child.received().is_empty());
    let back = parent.receive(part.left()).expect("valid");
    assert_eq!(back.as_slice(), [5; 1000]);
    drop(back);
    assert_eq!(parent.usage_bytes().0, 0);
}

#[test]
fn the_limit_holds_and_free_slots_make_room() {
    let (parent, _child) = arenas(1 << 20);
    let large = parent.take(700_000).expect("room");
    assert_eq!(parent.take(700_000).err(), Some(Refusal::Exhausted));
    drop(large);
    // Too small for the free slot, whose memory is given back to make room.
    let small = parent.take(400_000).expect("room");
    assert_eq!(parent.usage_bytes().1, 0);
    drop(small);
    let (none, _child) = arenas(0);
    assert_eq!(none.take(1).err(), Some(Refusal::Off));
}

#[test]
fn idle_memory_of_both_sides_is_given_back() {
    let (parent, child) = arenas(MANY);
    for (from, to) in [(&parent, &child), (&child, &parent)] {
        drop(to.receive(filled(from, 1 << 20, 1).left()).expect("valid"));
    }
    let blocks = || sys::blocks_of(&parent.memory.file().expect("open")).expect("a file");
    let before = blocks();
    assert!(before >= 2 * (1 << 20) / 512);
    assert!(parent.has_memory());
    parent.age();
    assert!(parent.has_memory());
    parent.age();
    assert!(!parent.has_memory());
    assert!(blocks() <= before - 2 * (1 << 20) / 512);
    let again = filled(&child, 1 << 20, 9);
    assert_eq!(again.as_slice()[77], 9);
}

#[test]
fn memory_of_a_block_that_never_arrives_is_given_back_at_once() {
    let (parent, _child) = arenas(MANY);
    let sent = filled(&parent, 1 << 20, 1).left();
    drop(filled(&parent, 1 << 20, 2));
    parent.free(sent);
    assert_eq!(parent.usage_bytes(), (0, 0));
}

#[test]
fn references_to_nothing_are_refused() {
    let (parent, child) = arenas(MANY);
    let good = filled(&parent, 100_000, 1).left();
    let bad = [
        Reference { slot: 1, ..good },
        Reference {
            slot: SLOTS as u64,
            ..good
        },
        Reference {
            slot: u64::MAX,
            ..good
        },
        Reference {
            at: 1 << 30,
            ..good
        },
        Reference {
            at: u64::MAX,
            ..good
        },
        Reference {
            len_bytes: 1 << 40,
            ..good
        },
        Reference {
            len_bytes: 0,
            ..good
        },
    ];
    for reference in bad {
        assert_eq!(child.receive(reference).err(), Some(NotReceived::Nonsense));
    }
    assert!(child.receive(good).is_ok());
}

#[test]
fn views_outlive_the_arena() {
    let (parent, child) = arenas(MANY);
    let reference = filled(&child, 100_000, 3).left();
    let block = parent.receive(reference).expect("valid");
    parent.close();
    assert_eq!(parent.take(1).err(), Some(Refusal::System(Error::CLOSED)));
    drop((parent, child));
    assert_eq!(block.as_slice()[99_999], 3);
}

#[test]
fn more_blocks_than_slots_are_refused() {
    let (parent, _child) = arenas(MANY);
    let all: Vec<_> = (0..SLOTS_EACH)
        .map(|_| parent.take(1).expect("room"))
        .collect();
    assert_eq!(parent.take(1).err(), Some(Refusal::Exhausted));
    drop(all);
    assert!(parent.take(1).is_ok());
    // Its size differs from those of all free slots.
    assert!(parent.take(1 << 20).is_ok());
}

#[test]
fn a_childs_refusal_is_told_once() {
    let (parent, child) = arenas(100_000);
    assert_eq!(parent.take_child_refusal(), None);
    assert!(child.take(100_001).is_err());
    assert_eq!(parent.take_child_refusal(), Some(Refusal::Exhausted));
    assert_eq!(parent.take_child_refusal(), None);
    for refusal in [
        Refusal::System(Error::NO_SPACE),
        Refusal::NoMemory {
            available_bytes: 12_345,
        },
    ] {
        assert_eq!(Refusal::from_word(refusal.to_word()), Some(refusal));
    }
}
