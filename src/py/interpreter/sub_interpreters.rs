//! Refuses sub-interpreters. `unsafe` because `PyO3` has no safe call that tells which interpreter
//! this is.

use pyo3::exceptions::PyImportError;
use pyo3::ffi;
use pyo3::prelude::*;

/// Raises `ImportError` in a sub-interpreter.
///
/// The core's threads always attach to the main interpreter, so an actor that a sub-interpreter
/// started would run there. Python itself refuses isolated sub-interpreters. Call it before any
/// Python object is made: another interpreter cannot use the objects that one has made.
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
