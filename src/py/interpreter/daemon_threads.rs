//! Protects daemon threads from the end of the interpreter. `unsafe` because `PyO3` has no call that may
//! unwind.

use pyo3::BoundObject;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

/// Calls Python code in a thread that may be a daemon thread, for which the interpreter does not wait
/// at its end.
///
/// Before 3.14, Python ends a daemon thread when it asks for the GIL during finalization, by
/// unwinding its stack. If that reached a frame of Rust, the process would abort. So here the thread
/// sleeps forever instead, as Python itself does from 3.14 on.
///
/// `PyO3` declares functions of C that never unwind, so around its calls an optimizing compiler
/// leaves out what puts the thread to sleep. So this calls through a pointer of a type that may
/// unwind, whose target the compiler cannot know.
#[inline(never)]
pub(in crate::py) fn outlasting<'py>(
    callable: &Bound<'py, PyAny>,
    args: impl IntoPyObject<'py, Target = PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    type PyObject = *mut ffi::PyObject;
    type CallThatUnwinds = unsafe extern "C-unwind" fn(PyObject, PyObject, PyObject) -> PyObject;
    let py = callable.py();
    let args = args.into_pyobject(py).map_err(Into::into)?.into_bound();
    let kwargs = kwargs.map_or(std::ptr::null_mut(), Bound::as_ptr);
    // SAFETY: the two types of function differ in nothing but that one may unwind.
    #[expect(unsafe_code)]
    let call: CallThatUnwinds =
        unsafe { std::mem::transmute(ffi::PyObject_Call as *const std::ffi::c_void) };
    let call = std::hint::black_box(call);
    let asleep = SleepWhenUnwound;
    // SAFETY: this thread is attached, as `py` proves, and all three are objects or null, held here.
    #[expect(unsafe_code)]
    let returned = unsafe { call(callable.as_ptr(), args.as_ptr(), kwargs) };
    std::mem::forget(asleep);
    // SAFETY: it is a new reference, or null with an exception set.
    #[expect(unsafe_code)]
    unsafe {
        Bound::from_owned_ptr_or_err(py, returned)
    }
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

struct SleepWhenUnwound;

impl Drop for SleepWhenUnwound {
    fn drop(&mut self) {
        while !std::thread::panicking() {
            std::thread::park();
        }
    }
}
