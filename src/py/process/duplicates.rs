//! The descriptors that the constructor arguments of an actor refer to, if it may be started again:
//! each child takes duplicates of them. The Python side is `_pickling/descriptors.py`.

use pyo3::intern;
use pyo3::prelude::*;

use crate::py::interpreter::imports;

/// Can be taken from `multiprocessing` until this is dropped. Dropping it attaches to Python.
pub(super) struct Duplicates(Option<Py<PyAny>>);

impl Duplicates {
    /// Runs `pack`, and keeps the duplicates that are made for what it pickles.
    pub(super) fn of<T>(py: Python<'_>, pack: impl FnOnce() -> PyResult<T>) -> PyResult<(Self, T)> {
        let made = imports::duplicates(py)?.call0()?;
        let duplicates = Self(Some(made.clone().unbind()));
        let packed = pack();
        let has_some = made.call_method0(intern!(py, "end"))?.extract()?;
        let packed = packed?;
        Ok((if has_some { duplicates } else { Self(None) }, packed))
    }
}

impl Drop for Duplicates {
    fn drop(&mut self) {
        let Some(duplicates) = self.0.take() else {
            return;
        };
        Python::attach(|py| {
            if let Err(error) = duplicates.call_method0(py, intern!(py, "close")) {
                error.write_unraisable(py, None);
            }
        });
    }
}
