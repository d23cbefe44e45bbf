//! Objects to pickles and back: by plain pickle first, and by value if that is not enough.
//!
//! The other process cannot import what was defined in `__main__`, a REPL or a closure. Such objects
//! cross by value, with cloudpickle, which is imported only then.

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
use crate::engine::plain::Plain;
use crate::py::interpreter::daemon_threads::outlasting;
use crate::py::interpreter::imports;

// `_pickle`, the C half of `pickle`, is imported directly: the Python half imports `re`, which a
// child does not need.

const PROTOCOL: u8 = 5;

/// If a pickle contains this, the other process may not be able to load it.
static MAIN: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new("__main__"));
/// If a pickle contains this, it may be of a connection. Plain pickle sends the number of its
/// descriptor, which means another one in the other process.
static CONNECTION: LazyLock<Finder<'_>> =
    LazyLock::new(|| Finder::new("multiprocessing.connection"));

/// Modules that take long to import. A pickle that needs one contains its name.
const SLOW_IMPORTS: [&str; 2] = ["cloudpickle", "concurrent.futures"];

/// Which slow modules unpickling `pickle` will import.
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

/// What is pickled, for an error. The text is made only if there is one.
pub(in crate::py) enum What<'a> {
    /// The name is that of the actor.
    Message(&'a str),
    Answer(&'a str),
    /// Of a stream.
    Item(&'a str),
    /// And its class.
    Arguments(&'a str),
}

impl Display for What<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(name) => write!(f, "the message for actor {name}"),
            Self::Answer(name) => write!(f, "the answer of actor {name}"),
            Self::Item(name) => write!(f, "the item that actor {name} has yielded"),
            Self::Arguments(name) => {
                write!(f, "class or constructor arguments of actor {name}")
            }
        }
    }
}

/// A plain object for which the pickler need not be called; `None` for any other.
pub(super) fn as_plain<'a>(object: &'a Bound<'_, PyAny>) -> Option<Plain<'a>> {
    if object.is_none() {
        Some(Plain::None)
    } else if let Ok(number) = object.cast_exact::<PyInt>() {
        number.extract().ok().map(Plain::Int)
    } else if let Ok(text) = object.cast_exact::<PyString>() {
        // Its characters first: they are known, while its bytes may have to be made.
        let is_short = text.len().is_ok_and(|len| len <= Plain::MOST_BYTES);
        let text = is_short.then(|| text.to_str().ok())??;
        (text.len() <= Plain::MOST_BYTES).then_some(Plain::Text(text))
    } else if let Ok(number) = object.cast_exact::<PyFloat>() {
        Some(Plain::Float(number.value()))
    } else if let Ok(truth) = object.cast_exact::<PyBool>() {
        Some(Plain::Bool(truth.is_true()))
    } else if let Ok(bytes) = object.cast_exact::<PyBytes>() {
        let bytes = bytes.as_bytes();
        (bytes.len() <= Plain::MOST_BYTES).then_some(Plain::Bytes(bytes))
    } else {
        None
    }
}

/// The object of a pickle for which the unpickler need not be called; `None` for any other.
pub(super) fn load_plain<'py>(py: Python<'py>, pickle: &[u8]) -> Option<Bound<'py, PyAny>> {
    Some(match Plain::read(pickle)? {
        Plain::None => py.None().into_bound(py),
        Plain::Bool(truth) => PyBool::new(py, truth).to_owned().into_any(),
        Plain::Int(number) => number.into_pyobject(py).ok()?.into_any(),
        Plain::Float(number) => PyFloat::new(py, number).into_any(),
        Plain::Text(text) => PyString::new(py, text).into_any(),
        Plain::Bytes(bytes) => PyBytes::new(py, bytes).into_any(),
    })
}

/// The pickle of an object that has neither buffers to leave out nor parts that must go by value nor
/// actors in it; `None` for any other. A quick check of its type: many messages are such objects, and a
/// search would take noticeable time.
pub(super) fn dumps_plain<'py>(
    object: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyBytes>>> {
    if !is_plain(object) {
        return Ok(None);
    }
    let pickle = imports::pickle_dumps(object.py())?.call1((object, PROTOCOL))?;
    Ok(Some(pickle.cast_into()?))
}

/// Like `dumps`, but leaves big buffers out of the pickle.
pub(super) fn dumps_apart<'py>(
    object: &Bound<'py, PyAny>,
    what: &What<'_>,
) -> PyResult<(Bound<'py, PyBytes>, Vec<PyUntypedBuffer>)> {
    let collector = Bound::new(object.py(), Collector::new())?;
    let pickle = dump(object, what, Some(&collector))?;
    Ok((pickle, collector.get().take()))
}

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
    let plain = outlasting(dumps, (object, PROTOCOL), kwargs.as_ref());
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
        // They will be offered again when the object is pickled by value.
        drop(collector.get().take());
    }
    let by_value = outlasting(imports::dump_by_value(py)?, (object,), kwargs.as_ref());
    match by_value {
        Ok(pickle) => Ok(pickle.cast_into()?),
        Err(error) if is_refusal(py, &error)? => {
            let error = error.into_value(py);
            let explained = outlasting(
                imports::explain_refusal(py)?,
                (what.to_string(), error),
                None,
            )?;
            Err(PyErr::from_value(explained))
        }
        Err(error) => Err(error),
    }
}

/// Whether the other process can load what plain pickle has made.
fn will_do(py: Python<'_>, pickle: &[u8]) -> PyResult<bool> {
    if MAIN.find(pickle).is_some() || CONNECTION.find(pickle).is_some() {
        return Ok(false);
    }
    let Some(modules) = modules_by_value(py)? else {
        return Ok(true);
    };
    for name in modules {
        // A search for the name also finds submodules, which go by value with their module.
        let name = name.cast_into::<PyString>()?;
        if Finder::new(name.to_str()?).find(pickle).is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The modules given to `cloudpickle.register_pickle_by_value`, if there are any.
fn modules_by_value(py: Python<'_>) -> PyResult<Option<Bound<'_, PySet>>> {
    static NAMES: PyOnceLock<Py<PySet>> = PyOnceLock::new();
    let names = if let Some(names) = NAMES.get(py) {
        names.bind(py)
    } else {
        let name = intern!(py, "cloudpickle.cloudpickle");
        // It need not be imported for this: if it is not loaded, nothing is registered.
        let Some(module) = imports::modules(py)?.get_item(name)? else {
            return Ok(None);
        };
        let Ok(names) = module.getattr(intern!(py, "_PICKLE_BY_VALUE_MODULES")) else {
            // Another thread is importing it.
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

/// Whether the error says that this object cannot be pickled. Other errors come from the object's own
/// code.
fn is_refusal(py: Python<'_>, error: &PyErr) -> PyResult<bool> {
    static PICKLING_ERROR: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let pickling_error = PICKLING_ERROR.import(py, "_pickle", "PicklingError")?;
    Ok(error.is_instance(py, pickling_error)
        || error.is_instance_of::<PyTypeError>(py)
        || error.is_instance_of::<PyAttributeError>(py)
        // For deep nesting, and for objects that only children of `multiprocessing` can get.
        || error.is_instance_of::<PyRuntimeError>(py))
}

/// Unpickle what `dumps` has made, in this process or in one that it talks to.
#[pyfunction]
pub(in crate::py) fn loads<'py>(py: Python<'py>, pickle: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    loads_apart(py, pickle, None)
}

/// Like `loads`, with the buffers that were left out, in the same order.
pub(in crate::py) fn loads_apart<'py>(
    py: Python<'py>,
    pickle: &[u8],
    buffers: Option<Bound<'py, PyList>>,
) -> PyResult<Bound<'py, PyAny>> {
    loads_from(PyBytes::new(py, pickle).as_any(), buffers)
}

/// Like `loads_apart`, from an object that has the bytes of the pickle.
pub(in crate::py) fn loads_from<'py>(
    object: &Bound<'py, PyAny>,
    buffers: Option<Bound<'py, PyList>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = object.py();
    let load = imports::pickle_loads(py)?;
    let Some(buffers) = buffers else {
        return outlasting(load, (object,), None);
    };
    let kwargs = PyDict::new(py);
    kwargs.set_item(intern!(py, "buffers"), buffers)?;
    outlasting(load, (object,), Some(&kwargs))
}
