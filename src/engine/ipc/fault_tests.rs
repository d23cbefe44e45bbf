//! Runs the communication of parent and child, and makes each system call fail in turn.

use super::frame::{Kind, encode};
use super::pipe::{Broken, Fill, Flush, Reader, Writer};
use super::region::Region;
use crate::engine::sys::faults::{NEVER, end_plan, plan};
use crate::engine::sys::{self, Bell, Error};
use std::time::Duration;

const FRAMES: u64 = 300;

/// Plays both parent and child on one thread. Returns the sequence numbers that came across.
fn talk() -> Result<Vec<u64>, Broken> {
    let (shared, file) = Region::create()?;
    let theirs = Region::map(&file)?;
    let bell = Bell::new()?;
    let (read, write) = sys::pipe()?;
    sys::set_nonblocking(&read)?;
    sys::set_nonblocking(&write)?;
    let (mut reader, mut writer) = (Reader::new(sys::duplicate(&read)?), Writer::new(write));
    for sequence in 1..=FRAMES {
        shared.claims().offer(sequence);
        writer.push(encode(Kind::Message, sequence, &[7; 4000]));
    }
    let mut came = Vec::new();
    while (came.len() as u64) < FRAMES {
        if writer.flush()? == Flush::Blocked {
            bell.ring()?;
        }
        sys::retry(|| sys::poll([Some(bell.rung())], Some(Duration::ZERO)))?;
        bell.quiet()?;
        while !matches!(reader.fill()?, Fill::Nothing | Fill::Eof) {}
        while let Some(frame) = reader.next_frame()? {
            assert!(theirs.claims().claim(frame.sequence));
            came.push(frame.sequence);
        }
    }
    Ok(came)
}

/// Every call fails in turn with each error that it can have.
fn each_fault(talk: impl Fn() -> Result<Vec<u64>, Broken>, mut check: impl FnMut(Option<Broken>)) {
    plan(NEVER, 0);
    let whole = talk().expect("without a fault");
    let (calls, _) = end_plan();
    assert!(calls > 50);
    // A failure may change how many calls there are, so try a few more.
    for nth in 1..=calls + 5 {
        for which in 0.. {
            plan(nth, which);
            let talked = talk();
            let (_, struck) = end_plan();
            match talked {
                Ok(came) => assert_eq!(came, whole),
                Err(broken) => check(Some(broken)),
            }
            if struck == 0 {
                break;
            }
            check(None);
        }
    }
}

#[test]
fn each_call_that_fails_ends_in_its_error_or_is_made_again() {
    let (mut struck, mut errors) = (0, Vec::new());
    each_fault(talk, |broken| match broken {
        Some(Broken::Io(error)) => errors.push(error),
        Some(other) => unreachable!("not the fault itself: {other}"),
        None => struck += 1,
    });
    assert!(struck > 100, "{struck}");
    // A signal, or a pipe that is full or empty, must not make anything fail.
    assert!(!errors.contains(&Error::INTERRUPTED));
    for error in [
        Error::NO_MEMORY,
        Error::TOO_MANY_HANDLES,
        Error::BROKEN_PIPE,
    ] {
        assert!(errors.contains(&error), "{error}");
    }
}

#[test]
fn a_call_fails_once_and_only_where_it_was_planned() {
    plan(2, 0);
    assert!(sys::pipe().is_ok());
    assert_eq!(sys::pipe().err(), Some(Error::TOO_MANY_HANDLES));
    assert!(sys::pipe().is_ok());
    assert_eq!(end_plan(), (3, 1));
}
