//! Makes one system call fail: for tests alone, it is not there in a release.
//!
//! Every call of `sys` asks [`strike`] first. The plan counts calls; the one whose turn it is
//! fails with one of the errors that it can have. Rust's own tests have a plan for each thread,
//! an extension that was built with the feature `faults` has one for the process.

use std::sync::atomic::{AtomicU64, Ordering};

use super::sys::{Call, Error};

const NEVER: u64 = u64::MAX;

#[derive(Debug)]
pub struct Plan {
    calls: AtomicU64,
    /// Which call is to fail, counted from 1, and with which of its errors.
    at: AtomicU64,
    which: AtomicU64,
    struck: AtomicU64,
}

impl Plan {
    const fn new() -> Self {
        Self {
            calls: AtomicU64::new(0),
            at: AtomicU64::new(NEVER),
            which: AtomicU64::new(0),
            struck: AtomicU64::new(0),
        }
    }

    fn strike(&self, call: Call) -> Option<Error> {
        let number = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        if number != self.at.load(Ordering::SeqCst) {
            return None;
        }
        let which = usize::try_from(self.which.load(Ordering::SeqCst)).ok()?;
        let error = call.errors().get(which).copied();
        self.struck
            .fetch_add(u64::from(error.is_some()), Ordering::SeqCst);
        error
    }
}

#[cfg(feature = "faults")]
static PLAN: Plan = Plan::new();

#[cfg(feature = "faults")]
fn with_plan<T>(use_it: impl FnOnce(&Plan) -> T) -> T {
    use_it(&PLAN)
}

#[cfg(not(feature = "faults"))]
fn with_plan<T>(use_it: impl FnOnce(&Plan) -> T) -> T {
    thread_local! {
        static PLAN: Plan = const { Plan::new() };
    }
    PLAN.with(use_it)
}

/// The error that a call is to fail with now.
pub(super) fn strike(call: Call) -> Option<Error> {
    with_plan(|plan| plan.strike(call))
}

/// Has the `nth` call from now on fail, with the error of that number if it has so many.
pub fn plan(nth: u64, which: u64) {
    with_plan(|plan| {
        plan.at.store(NEVER, Ordering::SeqCst);
        plan.calls.store(0, Ordering::SeqCst);
        plan.struck.store(0, Ordering::SeqCst);
        plan.which.store(which, Ordering::SeqCst);
        plan.at.store(nth, Ordering::SeqCst);
    });
}

/// Ends the plan, and returns how many calls there were since it was made, and how many failed.
pub fn end_plan() -> (u64, u64) {
    with_plan(|plan| {
        plan.at.store(NEVER, Ordering::SeqCst);
        let calls = plan.calls.load(Ordering::SeqCst);
        (calls, plan.struck.load(Ordering::SeqCst))
    })
}

#[cfg(all(test, not(feature = "faults")))]
mod tests {
    use super::*;
    use crate::engine::frame::{Kind, encode};
    use crate::engine::link::{Broken, Fill, Flush, Reader, Writer};
    use crate::engine::shared::Shared;
    use crate::engine::sys::{self, Bell};
    use std::time::Duration;

    const FRAMES: u64 = 300;

    /// What a parent and a child do with each other, on one thread; the numbers that came across.
    fn talk() -> Result<Vec<u64>, Broken> {
        let (shared, file) = Shared::create()?;
        let theirs = Shared::map(&file)?;
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
            while !matches!(reader.fill()?, Fill::Nothing | Fill::End) {}
            while let Some(frame) = reader.next_frame()? {
                assert!(theirs.claims().claim(frame.sequence));
                came.push(frame.sequence);
            }
        }
        Ok(came)
    }

    /// Every call fails in turn with each error that it can have.
    fn each_fault(
        talk: impl Fn() -> Result<Vec<u64>, Broken>,
        mut check: impl FnMut(Option<Broken>),
    ) {
        plan(NEVER, 0);
        let whole = talk().expect("without a fault");
        let (calls, _) = end_plan();
        assert!(calls > 50);
        // Those that block now may come in another number, so a few more.
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
        // A signal is no reason to fail, nor is a pipe that is full or empty.
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
}
