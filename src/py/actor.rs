//! The base classes that users extend. They hold no data, so a subclass has the layout of `object`:
//! it pickles, copies and mixes with other classes like any Python class.

use pyo3::exceptions::{PyNotImplementedError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PySuper, PyTuple, PyType};

use super::interpreter::daemon_threads::outlasting;
use super::interpreter::imports;

/// Make an instance of an actor class, which may have other bases too.
///
/// It is `__new__` of the base classes. The one that `#[new]` makes would not do: for a class whose
/// first base is another class, the interpreter refuses it as unsafe.
#[pyfunction]
#[pyo3(signature = (cls, /, *args, **kwargs))]
pub(super) fn new_actor<'py>(
    cls: &Bound<'py, PyType>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = cls.py();
    let object = py.get_type::<PyAny>();
    let name = intern!(py, "__new__");
    // The next class that has a `__new__` of its own: `dict`, or a mixin, or `object`.
    let next = PySuper::new(&py.get_type::<Actor>(), cls)?.getattr(name)?;
    if !next.is(&object.getattr(name)?) {
        let all = (cls,)
            .into_pyobject(py)?
            .add(args)?
            .cast_into::<PyTuple>()?;
        return outlasting(&next, all, kwargs);
    }
    if !(args.is_empty() && kwargs.is_none_or(PyDictMethods::is_empty)) {
        let init = intern!(py, "__init__");
        if cls.getattr(init)?.is(&object.getattr(init)?) {
            let name = cls.name()?;
            return Err(PyTypeError::new_err(format!("{name}() takes no arguments")));
        }
    }
    outlasting(&next, (cls,), None)
}

/// Gives the base classes their `__new__`.
pub(super) fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let new = wrap_pyfunction!(new_actor, module)?;
    let new = py
        .import("builtins")?
        .call_method1("staticmethod", (new,))?;
    for class in [
        py.get_type::<Actor>(),
        py.get_type::<ThreadActor>(),
        py.get_type::<ProcessActor>(),
    ] {
        class.setattr("__new__", &new)?;
    }
    Ok(())
}

/// The base class of actors, which handle messages one at a time.
///
/// Extend `ThreadActor` or `ProcessActor`.
#[pyclass(subclass, frozen, module = "futures_actors")]
pub(super) struct Actor;

#[pymethods]
impl Actor {
    /// Start an actor of this class and return its executor.
    ///
    /// Every argument goes to the constructor, which runs in the actor's own thread or process.
    #[classmethod]
    #[pyo3(signature = (*args, **kwargs))]
    fn executor(
        _cls: &Bound<'_, PyType>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        let _ = (args, kwargs);
        Err(no_kind())
    }

    /// Take options of the class, as in `class Fetch(ProcessActor, mailbox_size=8)`.
    ///
    /// `Options` describes them. Subclasses inherit them one by one, and `options(...)` overrides
    /// them. What is no option goes to the other bases. Raises as `options` does.
    #[classmethod]
    #[pyo3(signature = (**options))]
    fn __init_subclass__(
        cls: &Bound<'_, PyType>,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let py = cls.py();
        let next = PySuper::new(&py.get_type::<Self>(), cls)?;
        let next = next.getattr(intern!(py, "__init_subclass__"))?;
        match options {
            None => outlasting(&next, (), None).map(drop),
            Some(options) => {
                outlasting(imports::keep_class_options(py)?, (cls, options, next), None).map(drop)
            }
        }
    }

    /// Return an object whose `executor(...)` starts actors of this class with options.
    ///
    /// `Options` describes the options. An unknown option raises `TypeError`, a bad value
    /// `TypeError` or `ValueError`; the error names it.
    #[classmethod]
    #[pyo3(signature = (**options))]
    fn options<'py>(
        cls: &Bound<'py, PyType>,
        options: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = cls.py();
        let given = options.map_or_else(|| PyDict::new(py), Clone::clone);
        outlasting(imports::options(py)?, (cls, given), None)
    }

    /// Return an object whose `executor(...)` starts a pool of actors of this class.
    ///
    /// `size` is how many; None means one for each CPU that this process may use. The options
    /// are those of `options`: `name` and `mailbox_size` are the pool's, all others each member's.
    /// Raises as `options` does.
    #[classmethod]
    #[pyo3(signature = (size=None, /, **options))]
    fn pool<'py>(
        cls: &Bound<'py, PyType>,
        size: Option<&Bound<'py, PyAny>>,
        options: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = cls.py();
        let given = options.map_or_else(|| PyDict::new(py), Clone::clone);
        outlasting(imports::pool_options(py)?, (cls, size, given), None)
    }

    /// For `options(...)`: start an actor of this class with them.
    #[classmethod]
    fn _start(
        _cls: &Bound<'_, PyType>,
        options: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        kwargs: &Bound<'_, PyDict>,
    ) -> PyResult<Py<PyAny>> {
        let _ = (options, args, kwargs);
        Err(no_kind())
    }

    /// Answer a message: what this returns, or raises, goes to the message's future.
    #[pyo3(signature = (message, /))]
    fn handle<'py>(
        slf: &Bound<'py, Self>,
        message: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        match slf.getattr_opt(intern!(slf.py(), "handles"))? {
            Some(handles) => handles.call1((message,)),
            None => Err(PyNotImplementedError::new_err(
                "must implement message handler",
            )),
        }
    }

    /// Get ready for the first message, in the actor's thread or process.
    ///
    /// This one does nothing. It is called after each construction of the object, also when the
    /// process is started again. If it raises, every message fails with `ActorInitError`.
    #[allow(clippy::unused_self)]
    fn on_start(&self) {}

    /// Clean up after the last message, in the actor's thread or process.
    ///
    /// This one does nothing. It is called after `shutdown`, when the executor is dropped, and at
    /// the interpreter's exit, but not after `terminate` or `kill`, nor if the constructor raised.
    /// What it raises is logged on logger `futures_actors`.
    #[allow(clippy::unused_self)]
    fn on_stop(&self) {}

    #[classmethod]
    #[pyo3(signature = (item, /))]
    fn __class_getitem__<'py>(
        cls: &Bound<'py, PyType>,
        item: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        outlasting(imports::generic_alias(cls.py())?, (cls, item), None)
    }
}

fn no_kind() -> PyErr {
    PyNotImplementedError::new_err("use ProcessActor or ThreadActor")
}

/// Base class of actors that live in a thread of their own.
#[pyclass(extends = Actor, subclass, frozen, module = "futures_actors")]
pub(super) struct ThreadActor;

#[pymethods]
impl ThreadActor {
    /// Start an actor of this class in a thread of its own and return its executor.
    ///
    /// Every argument goes to the constructor, which starts to run in that thread at once. If it
    /// raises, every message fails with `ActorInitError`.
    #[classmethod]
    #[pyo3(signature = (*args, **kwargs))]
    fn executor<'py>(
        cls: &Bound<'py, PyType>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        start(imports::thread_actor_executor, cls, args, kwargs)
    }

    /// For `options(...)`: start an actor of this class with them.
    #[classmethod]
    fn _start<'py>(
        _cls: &Bound<'py, PyType>,
        options: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        start(imports::thread_actor_executor, options, args, Some(kwargs))
    }
}

/// Base class of actors that live in a process of their own.
#[pyclass(extends = Actor, subclass, frozen, module = "futures_actors")]
pub(super) struct ProcessActor;

#[pymethods]
impl ProcessActor {
    /// Start an actor of this class in a process of its own and return its executor.
    ///
    /// Every argument goes to the constructor, which starts to run in that process at once. The
    /// class and the arguments are pickled; `TypeError` or `pickle.PicklingError` is raised if that
    /// fails. If the constructor raises, every message fails with `ActorInitError`.
    #[classmethod]
    #[pyo3(signature = (*args, **kwargs))]
    fn executor<'py>(
        cls: &Bound<'py, PyType>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        start(imports::process_actor_executor, cls, args, kwargs)
    }

    /// For `options(...)`: start an actor of this class with them.
    #[classmethod]
    fn _start<'py>(
        _cls: &Bound<'py, PyType>,
        options: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        start(imports::process_actor_executor, options, args, Some(kwargs))
    }
}

/// Starts an actor. `actor` is its class, or an `Options` object with the class.
fn start<'py>(
    executor: fn(Python<'py>) -> PyResult<&'py Bound<'py, PyType>>,
    actor: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = actor.py();
    let all = (actor,)
        .into_pyobject(py)?
        .add(args)?
        .cast_into::<PyTuple>()?;
    outlasting(executor(py)?, all, kwargs)
}
