//! How a message ended: a Python object, or bytes that become one when a caller asks for it.

use std::sync::Arc;

use pyo3::prelude::*;

use super::fault::{Fault, Started, load_error, to_error};
use crate::engine::cell::Ending;
use crate::py::codec::body::Body;

/// How a message ended.
pub(in crate::py) enum Outcome {
    Value(Py<PyAny>),
    Raised(Py<PyAny>),
    /// It was asked to stop, and has.
    Stopped,
    /// Becomes an answer or an exception when it is asked for.
    Sealed(Sealed),
    /// There is none, or the garbage collector has cleared it. It reads as `None`.
    Nothing,
}

impl Ending for Outcome {
    fn is_cancellation(&self) -> bool {
        matches!(self, Self::Stopped)
    }
}

impl Outcome {
    /// The outcome as Python objects, or sealed. Runs no Python code, so it may be called under a
    /// cell's lock.
    pub(in crate::py) fn peek(&self, py: Python<'_>) -> Result<Opened, Sealed> {
        match self {
            Self::Value(value) => Ok(Opened::Value(value.clone_ref(py))),
            Self::Raised(error) => Ok(Opened::Raised(error.clone_ref(py))),
            Self::Sealed(sealed) => Err(sealed.clone()),
            Self::Stopped | Self::Nothing => Ok(Opened::Value(py.None())),
        }
    }
}

/// How a message ended, as Python objects.
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
    /// An exception, as `_process.child.dump_error` encodes it.
    Error(Arc<Vec<u8>>),
    Fault(Arc<(String, Fault, Started)>),
}

impl Sealed {
    /// Makes the Python objects. An error means that the answer cannot be loaded, or that a signal
    /// handler raised.
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
