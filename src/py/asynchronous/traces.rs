//! Whether a message has left something behind in its task. `_tasks.py` says why.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::py::interpreter::imports;

/// What differs once a message has left something behind in the task that runs. Only in that: the
/// references to a task differ while it waits.
pub(super) struct Traces {
    references: usize,
    weak_references: usize,
    /// What holds the variables of the context: another object whenever one is set. To compare contexts
    /// would call `__eq__` of what they hold.
    variables: Py<PyAny>,
}

impl Traces {
    /// `None` if someone has changed the task, or may refer to a part of it.
    pub(super) fn of(task: &Bound<'_, PyAny>) -> PyResult<Option<Self>> {
        let py = task.py();
        // The second is also set by `asyncio.Task.cancel(task)`, which does not mark it.
        for name in [intern!(py, "is_marked"), intern!(py, "_must_cancel")] {
            if task.getattr(name)?.is_truthy()? {
                return Ok(None);
            }
        }
        let context = imports::copy_context(py)?.call0()?;
        let parts = imports::referents(py)?.call1((context,))?;
        Ok(Some(Self {
            references: imports::references(py)?.call1((task,))?.extract()?,
            weak_references: imports::weak_references(py)?.call1((task,))?.extract()?,
            variables: parts.cast_into::<PyList>()?.get_item(0)?.unbind(),
        }))
    }

    pub(super) fn are(&self, others: &Self) -> bool {
        self.references == others.references
            && self.weak_references == others.weak_references
            && self.variables.is(&others.variables)
    }
}
