//! Objects to pickles and back: plain pickle first, by value where that does not do.
//!
//! What lives in `__main__`, a closure or a REPL cannot be imported by the other side, so it
//! crosses by value, with cloudpickle, which is imported only then.

use memchr::memmem;
use pyo3::exceptions::{PyAttributeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyType};

use super::imports;

// The C half of `pickle` is taken by its own name: the other half imports `re`, which a child does
// not need.

const PROTOCOL: u8 = 5;

/// Pickle `object`: as plain pickle does if that will do, else by value.
///
/// An error says what it was (`what`, such as "the message for actor
/// Counter") and what refused.
#[pyfunction]
pub(super) fn dumps<'py>(object: &Bound<'py, PyAny>, what: &str) -> PyResult<Bound<'py, PyBytes>> {
    let py = object.py();
    let plain = imports::pickle_dumps(py)?.call1((object, PROTOCOL));
    match plain {
        Ok(pickle) => {
            let pickle = pickle.cast_into::<PyBytes>()?;
            if memmem::find(pickle.as_bytes(), b"__main__").is_none() {
                return Ok(pickle);
            }
        }
        Err(error) if is_refusal(py, &error)? => {}
        Err(error) => return Err(error),
    }
    let by_value = imports::dump_by_value(py)?.call1((object,));
    match by_value {
        Ok(pickle) => Ok(pickle.cast_into()?),
        Err(error) if is_refusal(py, &error)? => {
            let error = error.into_value(py);
            let explained = imports::explain_refusal(py)?.call1((what, error))?;
            Err(PyErr::from_value(explained))
        }
        Err(error) => Err(error),
    }
}

/// Whether pickle means "not this object", and not an object's own code "not now".
fn is_refusal(py: Python<'_>, error: &PyErr) -> PyResult<bool> {
    static PICKLING_ERROR: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let pickling_error = PICKLING_ERROR.import(py, "_pickle", "PicklingError")?;
    Ok(error.is_instance(py, pickling_error)
        || error.is_instance_of::<PyTypeError>(py)
        || error.is_instance_of::<PyAttributeError>(py)
        || error.is_instance_of::<pyo3::exceptions::PyRecursionError>(py))
}

/// Unpickle what `dumps` has made, in this process or in one that talks to it.
#[pyfunction]
pub(super) fn loads<'py>(py: Python<'py>, pickle: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let bytes = PyBytes::new(py, pickle);
    if memmem::find(pickle, b"cloudpickle").is_some() {
        return imports::load_by_value(py)?.call1((bytes,));
    }
    imports::pickle_loads(py)?.call1((bytes,))
}
