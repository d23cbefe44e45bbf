//! Reads what a dead child may have left in the memory that it shared. Checks that:
//! - nothing panics;
//! - up to the first invalid byte, decoded frames encode to the same bytes;
//! - memory grows with the bytes that are there, not with the lengths that they claim;
//! - frames that are pushed are read again.
//!
//! An input is the length word and the bytes after it; the rest of the memory is zeros.

#![no_main]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::LazyLock;

use futures_actors::engine::ipc::claims::CLAIMS;
use futures_actors::engine::ipc::frame::encode;
use futures_actors::engine::ipc::region::Region;
use futures_actors::engine::ipc::spill::SPILL_BYTES;
use fuzz::decode_whole;
use libfuzzer_sys::fuzz_target;

const WORD_BYTES: usize = 8;

static MEMORY: LazyLock<(Region, File)> = LazyLock::new(|| {
    let (shared, file) = Region::create().expect("memory");
    (shared, File::from(file))
});

/// Returns the memory from the length word on, for this input.
fn image(input: &[u8]) -> Vec<u8> {
    let mut image = vec![0; WORD_BYTES + SPILL_BYTES];
    let len = input.len().min(image.len());
    image[..len].copy_from_slice(&input[..len]);
    image
}

/// Returns the whole words that the length word covers.
fn spilled(image: &[u8]) -> &[u8] {
    let (len, bytes) = image.split_first_chunk().expect("a length word");
    let len = usize::try_from(u64::from_le_bytes(*len)).unwrap_or(usize::MAX);
    &bytes[..len.min(SPILL_BYTES) / WORD_BYTES * WORD_BYTES]
}

fuzz_target!(|input: &[u8]| {
    let (shared, file) = &*MEMORY;
    let image = image(input);
    let start = (CLAIMS * WORD_BYTES) as u64;
    file.write_all_at(&image, start).expect("as large as that");

    let spill = shared.spill();
    let (expected, _) = decode_whole(spilled(&image), WORD_BYTES);
    let mut frames = Vec::new();
    let memory = allocation_counter::measure(|| frames = spill.frames());
    assert!(frames == expected);
    // The shortest frame has 16 bytes in the memory, and 40 in a vector that doubles as it grows.
    assert!(memory.bytes_max <= 10 * spilled(&image).len() as u64 + 1024);

    spill.clear();
    assert!(spill.frames().is_empty());
    for frame in &frames {
        let bytes = encode(frame.kind, frame.sequence, &frame.body);
        assert!(spill.has_room(bytes.len()), "they were all in it before");
        spill.push(&bytes);
    }
    assert!(spill.frames() == frames);
});
