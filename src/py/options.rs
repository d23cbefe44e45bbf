//! The options of an actor, for the cores: those given to `MyActor.options(...)`, and those that are
//! keywords of its class. `_options.py` has checked them.

use std::time::Duration;

use pyo3::exceptions::{PyAttributeError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFunction, PySet, PyString, PyType};

use super::interpreter::daemon_threads::outlasting;
use super::interpreter::imports;

pub(super) struct Options<'py> {
    pub(super) class: Bound<'py, PyType>,
    /// The name for threads, errors and the log: the class's name unless one was given.
    pub(super) name: String,
    /// How many messages may be accepted and not begun. `None` means no limit.
    pub(super) mailbox_size: Option<usize>,
    pub(super) start_method: Option<String>,
    /// How many bytes of shared memory each side of a link may use.
    pub(super) shared_memory: u64,
    /// How often the process may be started again within `restart_window`, or in all without one.
    pub(super) max_restarts: usize,
    pub(super) restart_window: Option<Duration>,
    /// Whether the actor runs on an event loop.
    pub(super) is_async: bool,
    /// How many messages an async actor handles at a time.
    pub(super) max_concurrency: usize,
    /// Makes the event loop of an async actor.
    pub(super) loop_factory: Option<Bound<'py, PyAny>>,
    /// How many members a pool has. `None` if these are the options of one actor.
    pub(super) pool_size: Option<usize>,
}

impl<'py> Options<'py> {
    /// Reads the options of an actor that is no pool.
    pub(super) fn of_one(actor: &Bound<'py, PyAny>) -> PyResult<Self> {
        let options = Self::of(actor)?;
        if options.pool_size.is_some() {
            return Err(PyTypeError::new_err(format!(
                "this is the executor of one actor: start a pool by {}.executor(...)",
                actor.repr()?
            )));
        }
        Ok(options)
    }

    /// Reads the options of `actor`, which is an actor class or a Python `Options` object.
    pub(super) fn of(actor: &Bound<'py, PyAny>) -> PyResult<Self> {
        let py = actor.py();
        if let Ok(class) = actor.cast::<PyType>() {
            if class
                .getattr_opt(intern!(py, "__actor_options__"))?
                .is_some()
            {
                let all = (class, PyDict::new(py));
                return Self::of(&outlasting(imports::options(py)?, all, None)?);
            }
            return Ok(Self {
                class: class.clone(),
                name: class.name()?.to_string(),
                mailbox_size: None,
                start_method: None,
                shared_memory: u64::MAX,
                max_restarts: 0,
                restart_window: None,
                is_async: is_async(class)?,
                max_concurrency: 1,
                loop_factory: None,
                pool_size: None,
            });
        }
        let class = actor.getattr_opt(intern!(py, "actor_class"))?;
        let class = class.and_then(|class| class.cast_into::<PyType>().ok());
        let class = class.ok_or_else(|| {
            PyTypeError::new_err(format!(
                "an executor needs an actor class, or what its options(...) returns, not {}",
                actor.get_type()
            ))
        })?;
        let shared_memory: Option<u64> = actor.getattr(intern!(py, "shared_memory"))?.extract()?;
        let max_restarts: Option<usize> = actor.getattr(intern!(py, "max_restarts"))?.extract()?;
        let window: Option<f64> = actor.getattr(intern!(py, "restart_window"))?.extract()?;
        let concurrency: Option<usize> =
            actor.getattr(intern!(py, "max_concurrency"))?.extract()?;
        let name: Option<String> = actor.getattr(intern!(py, "name"))?.extract()?;
        let pool_size = actor.getattr_opt(intern!(py, "pool_size"))?;
        Ok(Self {
            pool_size: pool_size.map(|size| size.extract()).transpose()?,
            name: match name {
                Some(name) => name,
                None => class.name()?.to_string(),
            },
            is_async: is_async(&class)?,
            class,
            mailbox_size: actor.getattr(intern!(py, "mailbox_size"))?.extract()?,
            start_method: actor.getattr(intern!(py, "start_method"))?.extract()?,
            shared_memory: shared_memory.unwrap_or(u64::MAX),
            max_restarts: max_restarts.unwrap_or(0),
            // A window that does not fit a `Duration` means none.
            restart_window: window.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
            max_concurrency: concurrency.unwrap_or(1),
            loop_factory: actor.getattr(intern!(py, "loop_factory"))?.extract()?,
        })
    }
}

/// Return whether an actor of this class is async.
///
/// It is if `handle`, `on_start`, `on_stop` or a public method is a coroutine function or an async
/// generator function.
#[pyfunction]
pub(super) fn is_async(class: &Bound<'_, PyType>) -> PyResult<bool> {
    let py = class.py();
    let seen = PySet::empty(py)?;
    for base in class.mro() {
        let attributes = base.getattr(intern!(py, "__dict__"))?;
        for item in attributes.call_method0(intern!(py, "items"))?.try_iter()? {
            let (name, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item?.extract()?;
            let Ok(text) = name.cast::<PyString>() else {
                continue;
            };
            let is_public = !text.to_cow()?.starts_with('_');
            // Only the nearest attribute of a name counts.
            if is_public && !seen.contains(&name)? {
                let called = match text.to_cow()?.as_ref() {
                    // It may be an object that is called: with another name, that is no method.
                    "handle" | "on_start" | "on_stop" => {
                        value.get_type().getattr_opt(intern!(py, "__call__"))?
                    }
                    _ => None,
                };
                for function in called.into_iter().chain([value]) {
                    if is_async_function(function)? {
                        return Ok(true);
                    }
                }
                seen.add(name)?;
            }
        }
    }
    Ok(false)
}

fn is_async_function(mut value: Bound<'_, PyAny>) -> PyResult<bool> {
    const COROUTINE: u32 = 0x80;
    const ASYNC_GENERATOR: u32 = 0x200;
    let py = value.py();
    loop {
        if is_marked(&value)? {
            return Ok(true);
        }
        if value.is_instance_of::<PyFunction>() {
            let flags: u32 = value
                .getattr(intern!(py, "__code__"))?
                .getattr(intern!(py, "co_flags"))?
                .extract()?;
            return Ok(flags & (COROUTINE | ASYNC_GENERATOR) != 0);
        }
        let inner = match value.get_type().name()?.to_cow()?.as_ref() {
            "staticmethod" | "classmethod" => intern!(py, "__func__"),
            "partial" | "partialmethod" => intern!(py, "func"),
            "singledispatchmethod" => return has_async_function(&value),
            _ => return Ok(false),
        };
        match value.getattr_opt(inner)? {
            Some(function) => value = function,
            None => return Ok(false),
        }
    }
}

/// Whether `inspect.markcoroutinefunction` was told that this is one, whatever it is.
fn is_marked(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = value.py();
    // `object` looks it up, because an attribute that is no method may be a proxy that raises.
    let found = py
        .get_type::<PyAny>()
        .getattr(intern!(py, "__getattribute__"))?
        .call1((value, intern!(py, "_is_coroutine_marker")));
    match found {
        Ok(_) => imports::is_coroutine_function(py)?
            .call1((value,))?
            .is_truthy(),
        Err(error) if error.is_instance_of::<PyAttributeError>(py) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether one of the functions is async among which `functools.singledispatchmethod` chooses.
fn has_async_function(method: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = method.py();
    let Some(dispatcher) = method.getattr_opt(intern!(py, "dispatcher"))? else {
        return Ok(false);
    };
    let functions = dispatcher
        .getattr(intern!(py, "registry"))?
        .call_method0(intern!(py, "values"))?;
    for function in functions.try_iter()? {
        if is_async_function(function?)? {
            return Ok(true);
        }
    }
    Ok(false)
}
