//! Protects daemon threads from the end of the interpreter.

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::BoundObject;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use crate::engine::sys;

/// Whether only the end of the interpreter is still to come.
static ENDS: AtomicBool = AtomicBool::new(false);

/// The interpreter has waited for everything that it waits for: now it may end daemon threads.
pub(super) fn interpreter_ends() {
    ENDS.store(true, Ordering::SeqCst);
}

/// The calling thread may be a daemon thread, for which the interpreter does not wait at its end.
///
/// Before 3.14, Python ends a daemon thread when it asks for the GIL during finalization, by
/// unwinding its stack. If that reached a frame of Rust, the process would abort. So from now on the
/// thread then sleeps forever instead, as Python itself does from 3.14 on.
///
/// Call it before anything that may run Python code: that a caller has given, of the standard library,
/// or in `__del__`.
#[inline]
pub(in crate::py) fn outlast() {
    sys::sleep_when_unwound(|| ENDS.load(Ordering::SeqCst));
}

/// Calls Python code in a thread that may be a daemon thread.
pub(in crate::py) fn outlasting<'py>(
    callable: &Bound<'py, PyAny>,
    args: impl IntoPyObject<'py, Target = PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    outlast();
    let args = args.into_pyobject(callable.py()).map_err(Into::into)?;
    callable.call(args.into_bound(), kwargs)
}

/// Calls a method as [`outlasting`] calls a function.
pub(in crate::py) fn outlasting_method<'py>(
    object: &Bound<'py, PyAny>,
    name: &Bound<'py, PyString>,
    args: impl IntoPyObject<'py, Target = PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    outlasting(&object.getattr(name)?, args, kwargs)
}
