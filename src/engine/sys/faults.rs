//! Fault injection: makes one system call fail. It is only in tests, not in a release.
//!
//! Every call of `sys` asks [`strike`] first. A plan counts the calls, and the chosen one fails with
//! one of the errors that it can have, or panics. A plan to panic counts the calls and each other
//! [`moment`], but only in threads that the core has started. Rust tests have a plan for each thread;
//! an extension that is built with the feature `faults` has one for the process.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use super::call::Call;
use super::error::Error;

pub(in crate::engine) const NEVER: u64 = u64::MAX;
/// For `which`: no error, but a panic.
pub const PANIC: u64 = u64::MAX;

#[derive(Debug)]
pub struct Plan {
    calls: AtomicU64,
    /// Which call must fail, counted from 1.
    at: AtomicU64,
    /// Which of its errors that call gets, by index.
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
        if self.panics() {
            self.moment();
            return None;
        }
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

impl Plan {
    fn panics(&self) -> bool {
        self.which.load(Ordering::SeqCst) == PANIC
    }

    fn moment(&self) {
        if !self.panics() || !OURS.get() {
            return;
        }
        let number = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        if number == self.at.load(Ordering::SeqCst) {
            self.struck.fetch_add(1, Ordering::SeqCst);
            #[expect(clippy::panic, reason = "it is what was planned")]
            {
                panic!("a planned panic");
            }
        }
    }
}

thread_local! {
    /// Whether this thread may panic by plan.
    static OURS: Cell<bool> = const { Cell::new(false) };
}

/// From now on the calling thread may panic by plan.
pub fn may_panic_here() {
    OURS.set(true);
}

/// A moment at which a thread may panic by plan.
pub fn moment() {
    with_plan(Plan::moment);
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

/// The error with which this call must fail, if the plan says so.
pub(super) fn strike(call: Call) -> Option<Error> {
    with_plan(|plan| plan.strike(call))
}

/// Makes the `nth` call from now on fail, with the error at index `which` of its list, if there is one.
pub fn plan(nth: u64, which: u64) {
    with_plan(|plan| {
        plan.at.store(NEVER, Ordering::SeqCst);
        plan.calls.store(0, Ordering::SeqCst);
        plan.struck.store(0, Ordering::SeqCst);
        plan.which.store(which, Ordering::SeqCst);
        plan.at.store(nth, Ordering::SeqCst);
    });
}

/// Ends the plan. Returns how many calls there were since it was made, and how many failed.
pub fn end_plan() -> (u64, u64) {
    with_plan(|plan| {
        plan.at.store(NEVER, Ordering::SeqCst);
        let calls = plan.calls.load(Ordering::SeqCst);
        (calls, plan.struck.load(Ordering::SeqCst))
    })
}
