//! Makes the seeds, from encoded frames, in the folder that its argument names. `fuzz/run` calls it.

use std::env;
use std::fs;
use std::io;
use std::path::PathBuf;

use futures_actors::engine::ipc::body::{Builder, Reference, pack};
use futures_actors::engine::ipc::frame::{HEADER_BYTES, Kind, MAX_BODY_BYTES, encode, encode_done};
use futures_actors::engine::ipc::relay::{
    Address, Awaited, Place, Question, encode_circle, encode_forget, encode_refused, encode_said,
};
use futures_actors::engine::ipc::spill::SPILL_BYTES;
use futures_actors::engine::plain::Plain;
use fuzz::{Piece, RESERVE_BYTES, blocks, script};

/// `pickle.dumps(("key", 1))` and `pickle.dumps(ValueError("no"))`, protocol 5.
const MESSAGE: &[u8] = b"\x80\x05\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x03key\x94K\x01\x86\x94.";
const ERROR: &[u8] =
    b"\x80\x05\x95\x24\x00\x00\x00\x00\x00\x00\x00\x8c\x08builtins\x94\x8c\nValueError\
    \x94\x93\x94\x8c\x02no\x94\x85\x94R\x94.";
const LAST_SEQUENCE: u64 = (1 << 56) - 1;

type Seeds = Vec<(&'static str, Vec<u8>)>;

fn to_child() -> Vec<u8> {
    [
        encode(Kind::Start, 0, MESSAGE),
        encode(Kind::Message, 1, MESSAGE),
        encode(Kind::Message, 2, b""),
        encode(Kind::Call, 3, MESSAGE),
        encode(Kind::Method, 4, MESSAGE),
        encode(Kind::Told, 5, MESSAGE),
        encode(Kind::ToldCall, 6, MESSAGE),
        encode(Kind::ToldMethod, 7, MESSAGE),
        encode(Kind::Stream, 8, MESSAGE),
        encode(Kind::StreamCall, 9, MESSAGE),
        encode(Kind::StreamMethod, 10, MESSAGE),
        encode(Kind::Wake, 0, b""),
        encode(Kind::Reply, 1, MESSAGE),
        encode(Kind::Failed, 2, ERROR),
        encode(Kind::Cancelled, 3, b""),
        encode(Kind::Stopped, 4, b""),
        encode(Kind::Admitted, 5, b""),
        encode_refused(6, 3, ERROR),
        encode_said(7, true),
        encode_said(8, false),
        circle(),
        encode(Kind::Item, 9, MESSAGE),
        encode(Kind::Rest, 10, b""),
        encode(Kind::Stop, 0, b""),
    ]
    .concat()
}

fn to_parent() -> Vec<u8> {
    [
        encode(Kind::Log, 0, MESSAGE),
        encode(Kind::Begun, 1, b""),
        encode(Kind::Answer, 1, MESSAGE),
        encode(Kind::Error, 2, ERROR),
        encode(Kind::Skipped, 3, b""),
        encode(Kind::Item, 8, b"\x80\x05K\x01.\0\0\0\0\0\0\0\0"),
        encode(Kind::Item, 8, b"short"),
        encode(Kind::Stopped, 8, b""),
        encode_done(&[5, LAST_SEQUENCE]),
        encode(Kind::Done, 0, b"ends inside a number"),
        encode(Kind::Answer, LAST_SEQUENCE, b"x"),
        post(Kind::Message, 0),
        post(Kind::StreamMethod, 16),
        questions().concat(),
        encode_forget(3, 1),
        waits().concat(),
        encode(Kind::Taken, 9, b""),
        encode(Kind::Rests, 10, b""),
    ]
    .concat()
}

/// A message for another actor.
fn post(kind: Kind, ahead: u32) -> Vec<u8> {
    let address = Address {
        target: 3,
        kind,
        place: Place::Awaited,
        ahead,
    };
    let mut post = encode(Kind::Message, 0, MESSAGE);
    address.write(&mut post, 1);
    post
}

fn questions() -> [Vec<u8>; 8] {
    let questions = [
        Question::IsAlive(3),
        Question::Cancel(1),
        Question::HasBegun(1),
        Question::Stop(1),
        Question::Abandon(1),
        Question::Place(3),
        Question::Leave(1),
        Question::PlaceNow(3),
    ];
    questions.map(|question| question.encode(2))
}

fn waits() -> [Vec<u8>; 3] {
    [Awaited::Answer(1), Awaited::Room(1), Awaited::Item(1)]
        .map(|awaited| Awaited::encode(2, &[awaited, Awaited::Answer(3)]))
}

fn circle() -> Vec<u8> {
    encode_circle(2, 1, &["one".to_owned(), "zwölf".to_owned()])
}

fn of_every_length() -> Vec<u8> {
    let frame = |len| encode(Kind::Message, 1, &[7; 20][..len]);
    (0..20).flat_map(frame).collect()
}

/// A frame's header. The caller appends the body.
fn header(len_bytes: u64) -> Vec<u8> {
    let mut bytes = encode(Kind::Answer, 1, b"");
    bytes[..8].copy_from_slice(&len_bytes.to_le_bytes());
    bytes
}

fn of_kind(kind: u8) -> Vec<u8> {
    let mut bytes = encode(Kind::Answer, 1, b"");
    bytes[15] = kind;
    bytes
}

fn each_kind() -> Vec<u8> {
    let frame = |kind| encode(kind, 1, MESSAGE);
    Kind::ALL.into_iter().flat_map(frame).collect()
}

fn piece(taken_bytes: u16, zeros_kib: u8) -> Piece {
    Piece {
        taken_bytes,
        zeros_kib,
        lazy: false,
    }
}

fn lazy(taken_bytes: u16, zeros_kib: u8) -> Piece {
    Piece {
        lazy: true,
        ..piece(taken_bytes, zeros_kib)
    }
}

fn decoder() -> Seeds {
    let large = RESERVE_BYTES as u64;
    let (down, up) = (to_child(), to_parent());
    let large_and_more = [header(large), up.clone()].concat();
    let just_small = [header(large - 1), vec![7; 1023], up.clone()].concat();
    let three_large = header(3 * large).repeat(2);
    vec![
        ("nothing", script(&[], b"")),
        ("to_child", script(&[], &down)),
        ("to_parent", script(&[], &up)),
        ("each_kind", script(&[], &each_kind())),
        ("of_every_length", script(&[], &of_every_length())),
        ("byte_by_byte", script(&[piece(1, 0); 200], &down)),
        (
            "cut_in_headers",
            script(&[piece(8, 0), piece(8, 0), piece(9, 0)], &up),
        ),
        ("ends_in_header", script(&[], &up[..9])),
        ("ends_in_body", script(&[piece(20, 0)], &up[..20])),
        (
            "undrained",
            script(&[lazy(30, 0), lazy(30, 0), piece(9, 0)], &up),
        ),
        ("just_small", script(&[piece(16 + 1023, 63)], &just_small)),
        ("large", script(&[piece(16, 64)], &large_and_more)),
        (
            "large_in_pieces",
            script(&[piece(16, 1), piece(0, 60), piece(0, 3)], &large_and_more),
        ),
        (
            "large_grows",
            script(&[piece(16, 100), piece(0, 92), piece(16, 0)], &three_large),
        ),
        (
            "large_undrained",
            script(&[piece(16, 1), lazy(0, 63), lazy(5, 0)], &large_and_more),
        ),
        (
            "longest_claim",
            script(&[piece(16, 1), piece(0, 1)], &header(MAX_BODY_BYTES)),
        ),
        (
            "too_long",
            script(&[], &[&up[..], &header(MAX_BODY_BYTES + 1)].concat()),
        ),
        ("far_too_long", script(&[piece(20, 0)], &header(u64::MAX))),
        ("unknown_kind", script(&[], &[up, of_kind(99)].concat())),
    ]
}

/// The length word, and what follows it.
fn spill(len_bytes: usize, words: &[u8]) -> Vec<u8> {
    [&(len_bytes as u64).to_le_bytes(), words].concat()
}

/// Frames as `Spill::push` lays them out.
fn aligned(frames: &[Vec<u8>]) -> Vec<u8> {
    let pad = |frame: &Vec<u8>| {
        let mut frame = frame.clone();
        frame.resize(frame.len().next_multiple_of(8), 0);
        frame
    };
    frames.iter().flat_map(pad).collect()
}

fn spills() -> Seeds {
    let answers = aligned(&[
        encode(Kind::Answer, 1, MESSAGE),
        encode(Kind::Error, 2, ERROR),
        encode(Kind::Skipped, 3, b""),
        encode(Kind::Begun, 4, b""),
        encode_done(&[5]),
        encode(Kind::Answer, LAST_SEQUENCE, b"12345678"),
    ]);
    let len = answers.len();
    let many = aligned(&vec![encode(Kind::Skipped, 9, b""); 100]);
    let nonsense = aligned(&[encode(Kind::Answer, 1, MESSAGE), of_kind(0), header(8)]);
    let full = header(SPILL_BYTES as u64 - 16);
    vec![
        ("nothing", spill(0, b"")),
        ("answers", spill(len, &answers)),
        ("length_inside_word", spill(len - 3, &answers)),
        ("length_inside_frame", spill(len - 16, &answers)),
        ("length_beyond_all", spill(usize::MAX, &answers)),
        ("many", spill(many.len(), &many)),
        ("nonsense", spill(nonsense.len(), &nonsense)),
        ("full", spill(SPILL_BYTES, &full)),
        (
            "frame_beyond_all",
            spill(SPILL_BYTES, &header(SPILL_BYTES as u64)),
        ),
        ("too_long", spill(SPILL_BYTES, &header(u64::MAX))),
    ]
}

/// The body of a message: what follows the frame's header.
fn body(pickle: &[u8], references: &[Reference]) -> Vec<u8> {
    pack(Kind::Message, 1, pickle, references).split_off(HEADER_BYTES)
}

/// The body of a message that is built piece by piece.
fn built(build: impl FnOnce(&mut Builder)) -> Vec<u8> {
    let mut builder = Builder::new(Kind::Message, 0, 0);
    build(&mut builder);
    builder.finish().split_off(HEADER_BYTES)
}

fn plain(object: Plain<'_>) -> Vec<u8> {
    built(|body| body.plain(object))
}

fn bodies() -> Seeds {
    let whole: Vec<Reference> = blocks().map(|(_, reference)| reference).collect();
    let part = Reference {
        at: 5,
        len_bytes: 7,
        ..whole[0]
    };
    let beyond = Reference {
        at: whole[1].len_bytes,
        ..whole[1]
    };
    let nowhere = Reference {
        slot: 99,
        ..whole[0]
    };
    let inside = Reference::in_body(3, 4);
    vec![
        ("nothing", vec![]),
        ("pickle", body(MESSAGE, &[])),
        ("pickle_in_a_block", body(b"", &whole[..1])),
        ("all_blocks", body(MESSAGE, &whole)),
        ("parts", body(MESSAGE, &[part, inside, part])),
        ("beyond", body(MESSAGE, &[beyond])),
        ("nowhere", body(MESSAGE, &[nowhere])),
        ("cut", vec![0, 0, 0, 2]),
        (
            "buffers",
            built(|body| {
                body.pickle(MESSAGE);
                body.buffer(b"one");
                body.buffer(b"two");
            }),
        ),
        (
            "actors",
            built(|body| {
                body.pickle(MESSAGE);
                body.buffer(b"one");
                body.actors([3, u64::MAX]);
            }),
        ),
        ("plain_none", plain(Plain::None)),
        ("plain_bool", plain(Plain::Bool(true))),
        ("plain_small", plain(Plain::Int(7))),
        ("plain_int", plain(Plain::Int(-70_000))),
        ("plain_long", plain(Plain::Int(i64::MIN))),
        ("plain_float", plain(Plain::Float(1.5))),
        ("plain_text", plain(Plain::Text("zwölf"))),
        ("plain_bytes", plain(Plain::Bytes(b"some"))),
    ]
}

fn relays() -> Seeds {
    let [
        is_alive,
        cancel,
        has_begun,
        stop,
        abandon,
        place,
        leave,
        place_now,
    ] = questions();
    let [answer, room, item] = waits();
    let circle = circle();
    let cut = circle[..circle.len() - 2].to_vec();
    let mut no_text = circle.clone();
    no_text[HEADER_BYTES + 8] = 0xff;
    let no_question = encode(Kind::Ask, 1, &[9; 9]);
    let mut of_no_message = post(Kind::Message, 0);
    let kind = of_no_message.len() - 2;
    of_no_message[kind] = Kind::Answer as u8;
    [
        ("nothing", encode(Kind::Rest, 1, b"")),
        ("post", post(Kind::Message, 0)),
        ("post_of_a_stream", post(Kind::Stream, u32::MAX)),
        ("post_of_no_message", of_no_message),
        ("is_alive", is_alive),
        ("cancel", cancel),
        ("has_begun", has_begun),
        ("stop", stop),
        ("abandon", abandon),
        ("place", place),
        ("leave", leave),
        ("place_now", place_now),
        ("no_question", no_question),
        ("forget", encode_forget(3, 1)),
        ("waits_for_answer", answer),
        ("waits_for_room", room),
        ("waits_for_item", item),
        ("said", encode_said(1, true)),
        ("refused", encode_refused(1, 3, ERROR)),
        ("circle", circle),
        ("circle_cut_in_name", cut.clone()),
        ("circle_cut_in_length", cut[..HEADER_BYTES + 4].to_vec()),
        ("circle_of_no_text", no_text),
    ]
    .map(|(name, frame)| (name, frame[HEADER_BYTES..].to_vec()))
    .into()
}

fn main() -> io::Result<()> {
    let folder = env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.ok_or_else(|| io::Error::other("which folder?"))?;
    for (target, seeds) in [
        ("decoder", decoder()),
        ("spill", spills()),
        ("body", bodies()),
        ("relay", relays()),
    ] {
        let folder = folder.join(target);
        fs::create_dir_all(&folder)?;
        for (name, bytes) in seeds {
            fs::write(folder.join(name), bytes)?;
        }
    }
    Ok(())
}
