//! The options of an actor, for the cores: those given to `MyActor.options(...)`, and those that are
//! keywords of its class. `_options.py` has checked them.

use std::time::Duration;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyType};

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
}

impl<'py> Options<'py> {
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
            });
        }
        let class = actor
            .getattr(intern!(py, "actor_class"))?
            .cast_into::<PyType>()?;
        let shared_memory: Option<u64> = actor.getattr(intern!(py, "shared_memory"))?.extract()?;
        let max_restarts: Option<usize> = actor.getattr(intern!(py, "max_restarts"))?.extract()?;
        let window: Option<f64> = actor.getattr(intern!(py, "restart_window"))?.extract()?;
        let name: Option<String> = actor.getattr(intern!(py, "name"))?.extract()?;
        Ok(Self {
            name: match name {
                Some(name) => name,
                None => class.name()?.to_string(),
            },
            class,
            mailbox_size: actor.getattr(intern!(py, "mailbox_size"))?.extract()?,
            start_method: actor.getattr(intern!(py, "start_method"))?.extract()?,
            shared_memory: shared_memory.unwrap_or(u64::MAX),
            max_restarts: max_restarts.unwrap_or(0),
            // A window that does not fit a `Duration` means none.
            restart_window: window.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        })
    }
}
