//! Refuses answers whose code has not run yet.
//!
//! If a generator or a coroutine left the actor, its body would run in the caller's thread while the
//! actor handles other messages. Other iterators and awaitables are answers like any object.

use std::fmt::{self, Display};

use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::interpreter::imports;

/// What was called for a message.
pub(super) enum Called<'a, 'py> {
    Handle,
    /// By `submit`.
    Function,
    /// By a proxy: the method of this name.
    Method(&'a Bound<'py, PyString>),
}

impl Display for Called<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handle => f.write_str("handle"),
            Self::Function => f.write_str("the submitted function"),
            Self::Method(name) => write!(f, "method {name}"),
        }
    }
}

enum Unfinished {
    Coroutine,
    Generator,
    AsyncGenerator,
}

/// Returns `answer`, or a `TypeError` if it is a generator or a coroutine.
pub(super) fn check<'py>(
    actor: &str,
    called: &dyn Display,
    answer: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let Some(kind) = unfinished(&answer)? else {
        return Ok(answer);
    };
    let (what, advice) = match kind {
        Unfinished::Coroutine => {
            close(&answer)?;
            (
                "a coroutine",
                "give the actor an `async def handle`, which runs on an event loop, or make it a plain def",
            )
        }
        Unfinished::Generator => (
            "a generator",
            "ask for it by stream() or stream_proxy(), or return a list of its items",
        ),
        Unfinished::AsyncGenerator => (
            "an async generator",
            "ask an actor with an `async def handle` for it, by stream() or stream_proxy()",
        ),
    };
    Err(PyTypeError::new_err(format!(
        "{called} of actor {actor} returned {what}, whose code would run outside the actor: {advice}"
    )))
}

fn unfinished(answer: &Bound<'_, PyAny>) -> PyResult<Option<Unfinished>> {
    let py = answer.py();
    let kind = answer.get_type_ptr();
    // None of these types can have subclasses.
    Ok(if kind == imports::coroutine(py)?.as_type_ptr() {
        Some(Unfinished::Coroutine)
    } else if kind == imports::generator(py)?.as_type_ptr() {
        Some(Unfinished::Generator)
    } else if kind == imports::async_generator(py)?.as_type_ptr() {
        Some(Unfinished::AsyncGenerator)
    } else {
        None
    })
}

/// Closes a coroutine that has not begun, so that Python does not warn that it was never awaited. A
/// coroutine that runs or is suspended is in use elsewhere.
fn close(coroutine: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = coroutine.py();
    let is_running = coroutine.getattr(intern!(py, "cr_running"))?.is_truthy()?;
    if !is_running && coroutine.getattr(intern!(py, "cr_await"))?.is_none() {
        coroutine.call_method0(intern!(py, "close"))?;
    }
    Ok(())
}

/// Return `answer`, or raise a `TypeError` if it is a generator or a coroutine.
///
/// For remote actors. `called` names what was called for the message.
#[pyfunction]
pub(super) fn check_answer<'py>(
    actor: &str,
    called: &str,
    answer: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    check(actor, &called, answer)
}
