//! Objects to pickles and back: plain pickle first, by value where that does not do.
//!
//! What lives in `__main__`, a closure or a REPL cannot be imported by the other side, so it
//! crosses by value, with cloudpickle, which is imported only then.

use std::fmt::{self, Display};
use std::sync::LazyLock;

use memchr::memmem::Finder;
use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyAttributeError, PyRuntimeError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PySet, PyString, PyType};

use super::buffer::Collector;
use crate::py::interpreter::imports;
use crate::py::interpreter::main_only::outlasting;

// The C half of `pickle` is taken by its own name: the other half imports `re`, which a child does
// not need.

const PROTOCOL: u8 = 5;

/// In a pickle that the other side cannot load, perhaps.
static MAIN: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new("__main__"));
/// In the pickle of a connection, perhaps: plain pickle sends the number of its descriptor, which
/// is another one there.
static CONNECTION: LazyLock<Finder<'_>> =
    LazyLock::new(|| Finder::new("multiprocessing.connection"));

/// Modules that take long to import, and that pickles name which need them.
const SLOW_IMPORTS: [&str; 2] = ["cloudpickle", "concurrent.futures"];

/// Those modules that unpickling `pickle` will import and that take long to.
pub(in crate::py) fn slow_imports(pickle: &[u8]) -> Vec<&'static str> {
    let is_named = |name: &&str| Finder::new(name).find(pickle).is_some();
    SLOW_IMPORTS.into_iter().filter(is_named).collect()
}

/// Pickle `object`, by value if plain pickle cannot do it.
///
/// An error names the object (`what`, such as "the message for actor Counter") and the part that
/// could not be pickled.
#[pyfunction]
pub(in crate::py) fn dumps<'py>(
    object: &Bound<'py, PyAny>,
    what: &str,
) -> PyResult<Bound<'py, PyBytes>> {
    dump(object, &what, None)
}

/// What is pickled, for an error: text is made of it only then.
pub(in crate::py) enum What<'a> {
    /// Of the actor of this name.
    Message(&'a str),
    Answer(&'a str),
}

impl Display for What<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(name) => write!(f, "the message for actor {name}"),
            Self::Answer(name) => write!(f, "the answer of actor {name}"),
        }
    }
}

/// As `dumps`, but leaves big buffers out of the pickle.
pub(in crate::py) fn dumps_apart<'py>(
    object: &Bound<'py, PyAny>,
    what: &What<'_>,
) -> PyResult<(Bound<'py, PyBytes>, Vec<PyUntypedBuffer>)> {
    if is_plain(object) {
        let pickle = imports::pickle_dumps(object.py())?.call1((object, PROTOCOL))?;
        return Ok((pickle.cast_into()?, Vec::new()));
    }
    let collector = Bound::new(object.py(), Collector::new())?;
    let pickle = dump(object, what, Some(&collector))?;
    Ok((pickle, collector.get().take()))
}

/// Whether an object has nothing that pickle would leave out, or that must go by value. A quick
/// look: most messages are such, and what the search costs would show.
fn is_plain(object: &Bound<'_, PyAny>) -> bool {
    object.is_none()
        || object.is_exact_instance_of::<PyInt>()
        || object.is_exact_instance_of::<PyString>()
        || object.is_exact_instance_of::<PyFloat>()
        || object.is_exact_instance_of::<PyBool>()
        || object.is_exact_instance_of::<PyBytes>()
}

fn dump<'py>(
    object: &Bound<'py, PyAny>,
    what: &dyn Display,
    collector: Option<&Bound<'py, Collector>>,
) -> PyResult<Bound<'py, PyBytes>> {
    let py = object.py();
    let kwargs = collector.map(|collector| {
        let kwargs = PyDict::new(py);
        kwargs.set_item(intern!(py, "buffer_callback"), collector)?;
        PyResult::Ok(kwargs)
    });
    let kwargs = kwargs.transpose()?;
    let dumps = imports::pickle_dumps(py)?;
    let plain = outlasting(|| dumps.call((object, PROTOCOL), kwargs.as_ref()));
    match plain {
        Ok(pickle) => {
            let pickle = pickle.cast_into::<PyBytes>()?;
            if will_do(py, pickle.as_bytes())? {
                return Ok(pickle);
            }
        }
        Err(error) if is_refusal(py, &error)? => {}
        Err(error) => return Err(error),
    }
    if let Some(collector) = collector {
        // By value, it will be offered them anew.
        drop(collector.get().take());
    }
    let by_value = outlasting(|| imports::dump_by_value(py)?.call((object,), kwargs.as_ref()));
    match by_value {
        Ok(pickle) => Ok(pickle.cast_into()?),
        Err(error) if is_refusal(py, &error)? => {
            let error = error.into_value(py);
            let explained = imports::explain_refusal(py)?.call1((what.to_string(), error))?;
            Err(PyErr::from_value(explained))
        }
        Err(error) => Err(error),
    }
}

/// Whether the other side can load what plain pickle has made.
fn will_do(py: Python<'_>, pickle: &[u8]) -> PyResult<bool> {
    if MAIN.find(pickle).is_some() || CONNECTION.find(pickle).is_some() {
        return Ok(false);
    }
    let Some(modules) = modules_by_value(py)? else {
        return Ok(true);
    };
    for name in modules {
        // A module's submodules go by value with it.
        let name = name.cast_into::<PyString>()?;
        if Finder::new(name.to_str()?).find(pickle).is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The names that `cloudpickle.register_pickle_by_value` was given, if there are any.
fn modules_by_value(py: Python<'_>) -> PyResult<Option<Bound<'_, PySet>>> {
    static NAMES: PyOnceLock<Py<PySet>> = PyOnceLock::new();
    let names = if let Some(names) = NAMES.get(py) {
        names.bind(py)
    } else {
        let name = intern!(py, "cloudpickle.cloudpickle");
        // It is not imported for this: then nothing is registered.
        let Some(module) = imports::modules(py)?.get_item(name)? else {
            return Ok(None);
        };
        let Ok(names) = module.getattr(intern!(py, "_PICKLE_BY_VALUE_MODULES")) else {
            // It is being imported by another thread.
            return Ok(None);
        };
        let names = names.cast_into::<PySet>()?.unbind();
        NAMES.get_or_init(py, || names).bind(py)
    };
    if names.is_empty() {
        return Ok(None);
    }
    // A copy: other threads may change it.
    let copy = names.call_method0(intern!(py, "copy"))?;
    Ok(Some(copy.cast_into()?))
}

/// Whether pickle means "not this object", and not an object's own code "not now".
fn is_refusal(py: Python<'_>, error: &PyErr) -> PyResult<bool> {
    static PICKLING_ERROR: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let pickling_error = PICKLING_ERROR.import(py, "_pickle", "PicklingError")?;
    Ok(error.is_instance(py, pickling_error)
        || error.is_instance_of::<PyTypeError>(py)
        || error.is_instance_of::<PyAttributeError>(py)
        // Of deep nesting, and of what only children of multiprocessing can have.
        || error.is_instance_of::<PyRuntimeError>(py))
}

/// Unpickle what `dumps` has made, in this process or in one that it talks to.
#[pyfunction]
pub(in crate::py) fn loads<'py>(py: Python<'py>, pickle: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    loads_apart(py, pickle, None)
}

/// As `loads`, with the buffers that were left out, in their order.
pub(in crate::py) fn loads_apart<'py>(
    py: Python<'py>,
    pickle: &[u8],
    buffers: Option<Bound<'py, PyList>>,
) -> PyResult<Bound<'py, PyAny>> {
    loads_from(PyBytes::new(py, pickle).as_any(), buffers)
}

/// As `loads_apart`, of the bytes that an object has.
pub(in crate::py) fn loads_from<'py>(
    object: &Bound<'py, PyAny>,
    buffers: Option<Bound<'py, PyList>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = object.py();
    let load = imports::pickle_loads(py)?;
    let Some(buffers) = buffers else {
        return outlasting(|| load.call1((object,)));
    };
    let kwargs = PyDict::new(py);
    kwargs.set_item(intern!(py, "buffers"), buffers)?;
    outlasting(|| load.call((object,), Some(&kwargs)))
}
