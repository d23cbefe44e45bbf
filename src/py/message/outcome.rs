//! How a message ended: a Python object, or bytes that become one when a caller asks for it.

use std::sync::Arc;

use pyo3::prelude::*;

use super::fault::{Fault, Started, load_error, to_error};
use crate::py::codec::body::Body;

/// How a message ended.
pub(in crate::py) enum Outcome {
    Value(Py<PyAny>),
    Raised(Py<PyAny>),
    /// Becomes one of the above when somebody asks.
    Sealed(Sealed),
    /// Taken away by the garbage collector.
    Nothing,
}

impl Outcome {
    /// Runs no Python code, so it may be called under a cell's lock.
    pub(in crate::py) fn peek(&self, py: Python<'_>) -> Result<Opened, Sealed> {
        match self {
            Self::Value(value) => Ok(Opened::Value(value.clone_ref(py))),
            Self::Raised(error) => Ok(Opened::Raised(error.clone_ref(py))),
            Self::Sealed(sealed) => Err(sealed.clone()),
            Self::Nothing => Ok(Opened::Value(py.None())),
        }
    }
}

/// What a message came to, as Python objects.
pub(in crate::py) enum Opened {
    Value(Py<PyAny>),
    Raised(Py<PyAny>),
}

impl Opened {
    pub(in crate::py) fn into_outcome(self) -> Outcome {
        match self {
            Self::Value(value) => Outcome::Value(value),
            Self::Raised(error) => Outcome::Raised(error),
        }
    }
}

/// An outcome that is not a Python object yet.
#[derive(Clone)]
pub(in crate::py) enum Sealed {
    Answer(Arc<Body>),
    /// An exception, as `_child.dump_error` encodes it.
    Error(Arc<Vec<u8>>),
    Fault(Arc<(String, Fault, Started)>),
}

impl Sealed {
    /// An error is of the opening itself: the answer cannot be loaded, or a signal's handler raised.
    pub(in crate::py) fn open(&self, py: Python<'_>) -> PyResult<Opened> {
        let raised = match self {
            Self::Answer(body) => return Ok(Opened::Value(body.load(py)?.unbind())),
            Self::Error(bytes) => load_error(py, bytes)?.unbind(),
            Self::Fault(fault) => {
                let (name, fault, started) = &**fault;
                let error = to_error(py, name, fault, *started);
                error.into_value(py).into_any()
            }
        };
        Ok(Opened::Raised(raised))
    }
}
