//! For the stress suite alone, in an extension built with the feature `faults`: lets a program
//! choose which system call of this process, or of a child, fails.

use pyo3::prelude::*;

use crate::engine::sys::faults;

/// Have the `nth` system call from now on fail with the error number `which` that it can have.
#[pyfunction]
pub(super) fn plan_fault(nth: u64, which: u64) {
    faults::plan(nth, which);
}

/// End the plan; return how many calls there were since, and how many of them failed.
#[pyfunction]
pub(super) fn end_fault_plan() -> (u64, u64) {
    faults::end_plan()
}

/// In a child: the plan that its environment names, as `nth:which`.
pub(super) fn plan_from_environment() {
    let Ok(text) = std::env::var("FUTURES_ACTORS_FAULT") else {
        return;
    };
    if let Some((nth, which)) = text.split_once(':')
        && let (Ok(nth), Ok(which)) = (nth.parse(), which.parse())
    {
        faults::plan(nth, which);
    }
}
