//! Which interpreter of this process loads the core, and how its end finds threads of others.
//!
//! `unsafe` because the binding to Python has no safe call that says so.

use pyo3::exceptions::PyImportError;
use pyo3::ffi;
use pyo3::prelude::*;

/// Raises `ImportError` in a sub-interpreter.
///
/// The core's threads attach to the main interpreter, whoever starts them, so an actor that was
/// started elsewhere would run there. Isolated sub-interpreters are refused by Python itself. Call it
/// before anything of Python's is made: what one interpreter makes, no other can use.
pub(in crate::py) fn refuse_sub_interpreters(_py: Python<'_>) -> PyResult<()> {
    // SAFETY: this thread is attached, as `_py` proves, which is all that the call asks for.
    #[expect(unsafe_code)]
    let current = unsafe { ffi::PyInterpreterState_Get() };
    // SAFETY: it reads a pointer that is there as long as the process has an interpreter.
    #[expect(unsafe_code)]
    let main = unsafe { ffi::PyInterpreterState_Main() };
    if current == main {
        return Ok(());
    }
    Err(PyImportError::new_err(
        "futures_actors works in the main interpreter only, and this is a sub-interpreter: its \
         actors would run in the main one (under mod_wsgi, set \
         WSGIApplicationGroup %{GLOBAL})",
    ))
}

/// Runs Python code of the user's in a thread that may be a daemon, which the interpreter does not
/// wait for.
///
/// Before 3.14, Python ends such a thread when it asks for the GIL of an interpreter that
/// finalizes, by unwinding its stack. No frame of Rust's can let that pass: the process would abort.
/// So the thread sleeps for ever, as it does from 3.14 on.
pub(in crate::py) fn outlasting<T>(body: impl FnOnce() -> T) -> T {
    let asleep = SleepWhenUnwound;
    let result = body();
    std::mem::forget(asleep);
    result
}

struct SleepWhenUnwound;

impl Drop for SleepWhenUnwound {
    fn drop(&mut self) {
        while !std::thread::panicking() {
            std::thread::park();
        }
    }
}
