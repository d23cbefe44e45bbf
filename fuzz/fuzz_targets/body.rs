//! Unpacks bodies with arbitrary references to shared memory. Checks that:
//! - nothing panics;
//! - a reference is accepted exactly when it lies in a block that has been sent, and then shows
//!   that part of the block;
//! - a refused reference frees nothing;
//! - an unpacked body packs to the same bytes, and the listed actors are those of the body;
//! - its pieces are those of the unpacked body;
//! - a pickle that is read as a plain object is written as one that is read alike;
//! - memory grows only with the body.
//!
//! An input is the body of a frame.

#![no_main]

use std::sync::{Arc, LazyLock};

use futures_actors::engine::arena::{Arena, NotReceived};
use futures_actors::engine::ipc::body::{self, MAX_REFERENCES, Reference};
use futures_actors::engine::ipc::frame::{HEADER_BYTES, Kind};
use futures_actors::engine::ipc::region::Region;
use futures_actors::engine::plain::Plain;
use futures_actors::engine::sys;
use fuzz::blocks;
use libfuzzer_sys::fuzz_target;

/// The child's side of an arena: the parent has filled its blocks and sent them.
static ARENA: LazyLock<Arc<Arena>> = LazyLock::new(|| {
    let (here, file) = Region::create().expect("memory");
    let theirs = sys::duplicate(&file).expect("a handle");
    let there = Region::map(&theirs).expect("memory");
    let parent = Arc::new(Arena::create(Arc::new(here), Arc::new(file), 1 << 30));
    for (byte, reference) in blocks() {
        let len_bytes = usize::try_from(reference.len_bytes).expect("small");
        let mut block = parent.take(len_bytes).expect("room");
        block.fill(&vec![byte; len_bytes]);
        assert_eq!(block.reference(), reference);
        block.leave();
    }
    Arc::new(Arena::join(Arc::new(there), Arc::new(theirs)))
});

/// A block that is sent takes whole pages, and the rest of its last page is zeros.
const PAGE_BYTES: u64 = 16 * 1024;

fn receive(reference: Reference) {
    let sent = blocks().find(|(_, sent)| sent.slot == reference.slot);
    let end = reference.at.checked_add(reference.len_bytes);
    let is_sent = |(_, sent): &(u8, Reference)| {
        let least = sent.len_bytes.next_multiple_of(PAGE_BYTES);
        end.is_some_and(|end| end <= least) && reference.len_bytes > 0
    };
    match (ARENA.receive(reference), sent.filter(is_sent)) {
        (Ok(block), Some((byte, sent))) => {
            let shown = block.as_slice();
            assert_eq!(shown.len() as u64, reference.len_bytes);
            let is_filled = reference.at < sent.len_bytes;
            assert_eq!(shown[0], if is_filled { byte } else { 0 });
            // Act as if the block were sent again, so that the next input can receive it.
            block.into_sole().expect("nobody else has it").leave();
        }
        (Err(NotReceived::Nonsense), None) => {}
        (Ok(block), None) => panic!("{reference:?} shows {} bytes", block.as_slice().len()),
        (Err(error), _) => panic!("{reference:?}: {error:?}"),
    }
}

/// Checks the pieces of a body whose content, references and actors are these.
fn check_pieces(input: &[u8], content: &[u8], references: &[Reference], actors: &[u64]) {
    let first = references.iter().find_map(|one| one.range_in_body());
    let pickle = content.get(..first.map_or(content.len(), |range| range.start));
    match body::pieces(input) {
        Ok(pieces) => {
            assert_eq!(Some(pieces.pickle), pickle);
            assert_eq!(pieces.content, content);
            assert_eq!(pieces.references, references);
            assert_eq!(pieces.actors, actors);
        }
        // The first buffer begins beyond the end.
        Err(_) => assert_eq!(pickle, None),
    }
}

fn written(plain: Plain<'_>) -> Vec<u8> {
    let mut pickle = Vec::new();
    plain.write(&mut pickle);
    pickle
}

fuzz_target!(|input: &[u8]| {
    let usage = ARENA.usage_bytes();
    let mut body = input.to_vec();
    let mut unpacked = Ok((Vec::new(), Vec::new()));
    let memory = allocation_counter::measure(|| unpacked = body::unpack(&mut body));
    assert!(memory.bytes_max <= input.len() as u64 + 64);
    let Ok((references, actors)) = unpacked else {
        assert!(body::pieces(input).is_err());
        return;
    };
    check_pieces(input, &body, &references, &actors);
    if let Some(plain) = Plain::read(&body) {
        let pickle = written(plain);
        // Not the objects: a NaN is not equal to itself.
        assert_eq!(Plain::read(&pickle).map(written), Some(pickle));
    }
    assert!(references.len() <= MAX_REFERENCES);
    let count = usize::from(*input.last().expect("a count"));
    assert_eq!(body::has_references(input), count > 0);
    let has_list = references.len() < count;
    assert!(has_list || actors.is_empty());
    if has_list {
        let list: Vec<u8> = actors.iter().flat_map(|one| one.to_le_bytes()).collect();
        assert!(input[body.len()..].starts_with(&list));
    } else {
        let packed = body::pack(Kind::Message, 1, &body, &references);
        assert!(packed[HEADER_BYTES..] == *input);
    }
    for reference in references {
        let Some(range) = reference.range_in_body() else {
            receive(reference);
            continue;
        };
        let (at, len_bytes) = (range.start as u64, range.len() as u64);
        let is_whole = reference.at.checked_add(reference.len_bytes).is_some();
        assert_eq!(at, reference.at);
        assert_eq!(len_bytes == reference.len_bytes, is_whole);
    }
    assert_eq!(ARENA.usage_bytes(), usage);
});
