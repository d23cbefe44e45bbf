//! Runs the generator of a stream, in the thread where `handle` runs.

use std::fmt::Display;

use pyo3::exceptions::{PyGeneratorExit, PyRuntimeError, PyStopIteration, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyIterator;
use pyo3::types::iterator::PySendResult;

use crate::py::answer;
use crate::py::interpreter::wait::Attached;
use crate::py::message::fault::log_failure;

/// How a stream has ended.
pub(in crate::py) enum Ended<'py> {
    /// The generator has returned or raised.
    By(PyResult<Bound<'py, PyAny>>),
    /// It was closed, and has ended with that.
    Closed,
}

/// Where the items of a generator go.
pub(in crate::py) trait Sink<'py> {
    /// Waits until there is room for another item. False: no more items are wanted. An error is what
    /// a signal handler raised, and is thrown into the generator.
    fn wait_for_room(&mut self, py: Python<'py>) -> PyResult<bool>;

    /// Puts an item in, if one is still wanted. An error says that it cannot be sent, and is thrown
    /// into the generator.
    fn put(&mut self, item: Bound<'py, PyAny>) -> PyResult<()>;
}

/// Returns what a handler has answered to `stream` as an iterator, or a `TypeError`.
pub(in crate::py) fn check<'py>(
    actor: &str,
    called: &dyn Display,
    answer: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyIterator>> {
    match answer.cast_into::<PyIterator>() {
        Ok(iterator) => Ok(iterator),
        Err(error) => {
            // A coroutine or an async generator has a better error.
            let answer = answer::check(actor, called, error.into_inner())?;
            let kind = answer.get_type();
            Err(PyTypeError::new_err(format!(
                "{called} of actor {actor} returned {}, which is no iterator: write it with yield, or \
                 send the message by post() or proxy() instead of stream() or stream_proxy()",
                kind.name()?
            )))
        }
    }
}

/// Return `answer` as an iterator, or raise a `TypeError` if it is none.
///
/// For remote actors. `called` names what was called for the message.
#[pyfunction]
pub(in crate::py) fn check_stream<'py>(
    actor: &str,
    called: &str,
    answer: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyIterator>> {
    check(actor, &called, answer)
}

/// Runs a generator to its end, never further ahead than `sink` has room.
pub(in crate::py) fn run<'py>(
    actor: &str,
    generator: &Bound<'py, PyIterator>,
    sink: &mut dyn Sink<'py>,
) -> Ended<'py> {
    let py = generator.py();
    let mut attached = Attached::begin();
    let none = py.None().into_bound(py);
    loop {
        let room = sink.wait_for_room(py);
        // `yield from` looks for no signal when it goes on, so Ctrl-C could pass unseen.
        let next = match room.and_then(|room| py.check_signals().map(|()| room)) {
            Ok(true) => generator.send(&none),
            Ok(false) => return close(actor, generator),
            Err(error) => throw(generator, error),
        };
        let mut yielded = match next {
            Ok(PySendResult::Next(item)) => item,
            Ok(PySendResult::Return(value)) => return Ended::By(Ok(value)),
            Err(error) => return Ended::By(Err(error)),
        };
        while let Err(error) = sink.put(yielded) {
            yielded = match throw(generator, error) {
                Ok(PySendResult::Next(item)) => item,
                Ok(PySendResult::Return(value)) => return Ended::By(Ok(value)),
                Err(error) => return Ended::By(Err(error)),
            };
        }
        attached.give_way(py);
    }
}

/// Raises `error` in the generator, at its `yield`. An iterator of another type ends with it.
fn throw<'py>(generator: &Bound<'py, PyIterator>, error: PyErr) -> PyResult<PySendResult<'py>> {
    let py = generator.py();
    let Some(throw) = generator.getattr_opt(intern!(py, "throw"))? else {
        return Err(error);
    };
    match throw.call1((error.into_value(py),)) {
        Ok(item) => Ok(PySendResult::Next(item)),
        Err(error) if error.is_instance_of::<PyStopIteration>(py) => {
            let value = error.value(py).getattr(intern!(py, "value"))?;
            Ok(PySendResult::Return(value))
        }
        Err(error) => Err(error),
    }
}

/// Ends a generator at its `yield`, by `GeneratorExit`.
fn close<'py>(actor: &str, generator: &Bound<'py, PyIterator>) -> Ended<'py> {
    /// How often one that goes on is told again.
    const TRIES: u32 = 8;
    let py = generator.py();
    for _ in 0..TRIES {
        match throw(generator, PyGeneratorExit::new_err(())) {
            Err(error) if error.is_instance_of::<PyGeneratorExit>(py) => return Ended::Closed,
            Err(error) => return Ended::By(Err(error)),
            Ok(PySendResult::Return(value)) => return Ended::By(Ok(value)),
            Ok(PySendResult::Next(_)) => {}
        }
    }
    give_up(actor, generator.clone().into_any());
    Ended::Closed
}

/// Logs that a generator ignores `GeneratorExit`, and keeps it: if it were dropped, the interpreter
/// would resume it once more.
pub(in crate::py) fn give_up(actor: &str, generator: Bound<'_, PyAny>) {
    let error = PyRuntimeError::new_err("generator ignored GeneratorExit: it is not resumed again");
    log_failure(generator.py(), actor, "a stream that was closed", error);
    std::mem::forget(generator);
}
