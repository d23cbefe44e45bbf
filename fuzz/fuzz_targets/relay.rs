//! Decodes what a child may ask its parent about other actors, and what it may be told. Checks that:
//! - nothing panics, and memory grows only with the input;
//! - what is accepted encodes to the same bytes.
//!
//! An input is the body of a frame.

#![no_main]

use futures_actors::engine::ipc::decoder::Decoder;
use futures_actors::engine::ipc::frame::{Kind, encode};
use futures_actors::engine::ipc::relay::{
    Address, Awaited, Question, circle, encode_circle, encode_forget, encode_refused, encode_said,
    forgotten, is_yes, refused,
};
use libfuzzer_sys::fuzz_target;

fn body_of(frame: &[u8]) -> Vec<u8> {
    let frame = Decoder::decode_one(frame).expect("valid").expect("whole");
    frame.body
}

fuzz_target!(|input: &[u8]| {
    if let Ok(question) = Question::decode(input) {
        assert_eq!(body_of(&question.encode(1)), input);
    }
    if let Ok((actor, count)) = forgotten(input) {
        assert_eq!(body_of(&encode_forget(actor, count)), input);
    }
    if let Ok(awaited) = Awaited::decode(input) {
        assert_eq!(body_of(&Awaited::encode(1, &awaited)), input);
    }
    let said = body_of(&encode_said(1, is_yes(input)));
    assert!(said == input || said == [0]);
    match refused(input) {
        Ok((actor, error)) => assert_eq!(body_of(&encode_refused(1, actor, error)), input),
        Err(_) => assert!(input.len() < 8),
    }
    let mut found = None;
    let memory = allocation_counter::measure(|| found = circle(input).ok());
    // A vector of names has at most twice the names that were read, of 8 bytes or more each.
    assert!(memory.bytes_max <= 10 * input.len() as u64 + 200);
    if let Some((at, names)) = found {
        assert_eq!(body_of(&encode_circle(1, at, &names)), input);
    }
    let mut body = input.to_vec();
    let mut taken = None;
    let memory = allocation_counter::measure(|| taken = Address::take(&mut body).ok());
    assert_eq!(memory.bytes_max, 0);
    if let Some(address) = taken {
        let mut frame = encode(address.kind, 0, &body);
        address.write(&mut frame, 1);
        let frame = Decoder::decode_one(&frame).expect("valid").expect("whole");
        assert_eq!(frame.kind, Kind::Post);
        let rest = frame.body.len() - 1;
        // Any byte but 0 means yes.
        assert_eq!(frame.body[..rest], input[..rest]);
        assert_eq!(frame.body[rest] != 0, input[rest] != 0);
    } else {
        assert_eq!(body, input);
    }
});
