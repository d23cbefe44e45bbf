//! Fault injection for the stress suite: lets a program choose which system call of this process, or
//! of a child, fails. It is only in an extension built with the feature `faults`.

use pyo3::prelude::*;

use crate::engine::sys::faults;

/// Make the `nth` system call from now on fail, with the error at index `which` of its list. With
/// `PLANNED_PANIC` for `which`, a thread of the core panics at the `nth` moment.
#[pyfunction]
pub(super) fn plan_fault(nth: u64, which: u64) {
    faults::plan(nth, which);
}

/// End the plan; return how many system calls there were since it was made, and how many failed.
#[pyfunction]
pub(super) fn end_fault_plan() -> (u64, u64) {
    faults::end_plan()
}

/// In a child: makes the plan that its environment gives, as `nth:which`.
pub(super) fn plan_from_environment() {
    let Ok(text) = std::env::var("FUTURES_ACTORS_FAULT") else {
        return;
    };
    if let Some((nth, which)) = text.split_once(':')
        && let (Ok(nth), Ok(which)) = (nth.parse(), which.parse())
    {
        // Its main thread, which the core has not started, is the one that serves.
        faults::may_panic_here();
        faults::plan(nth, which);
    }
}
