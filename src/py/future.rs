//! `FutureCore`: the half of `ActorFuture` that holds a cell. How that is ended is in `settle`; of what
//! the standard library reaches for (`_condition`, `_waiters`, `_state`, ...) the getters are here and
//! the rest in `stdlib`.

use std::sync::Arc;
use std::time::Instant;

use once_cell::race::OnceBox;
use once_cell::sync::OnceCell;
use pyo3::exceptions::{PyAttributeError, PyException, PyRuntimeError, PyTypeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString, PyType};

use super::callbacks::{Runner, Watch, let_callbacks_go_first, run_callbacks, serve};
use super::message::{ActorCell, Message};
use super::outcome::{Opened, Outcome};
use super::stdlib::{Stdlib, phase_named, state_name};
use super::tally::{Completion, Tally};
use super::wait::wait_for;
use super::{imports, lifecycle, settle, wait};
use crate::engine::cell::{Cancel, Hold, Origin, Phase};

/// The state of an `ActorFuture`.
#[pyclass(subclass, frozen, weakref, module = "futures_actors._core")]
pub(super) struct FutureCore {
    pub(super) cell: Arc<ActorCell>,
    pub(super) stdlib: OnceBox<Stdlib>,
    /// Where a cancellation is counted, if it was posted.
    tally: OnceCell<Arc<Tally>>,
    /// The lifecycle's generation: a process made by `os.fork` has no actors to wait for.
    generation: u32,
}

impl Drop for FutureCore {
    /// What the future came to goes with it, here, where the thread is attached: an engine may hold
    /// the cell for a moment longer.
    fn drop(&mut self) {
        if !self.is_elsewhere() {
            drop(self.cell.hollow(Outcome::Nothing));
        }
    }
}

type Snapshot = (bool, bool, Option<Py<PyAny>>, Option<Py<PyAny>>);

/// A pending future and its cell.
pub(super) fn new_future(py: Python<'_>) -> PyResult<(Bound<'_, PyAny>, Arc<ActorCell>)> {
    let future = imports::actor_future(py)?.call0()?;
    let cell = Arc::clone(&future.cast::<FutureCore>()?.get().cell);
    Ok((future, cell))
}

/// As `new_future`, of a message to the actor that `tally` is of.
pub(super) fn new_posted<'py>(
    py: Python<'py>,
    tally: &Arc<Tally>,
) -> PyResult<(Bound<'py, PyAny>, Arc<ActorCell>)> {
    let future = imports::actor_future(py)?.call0()?;
    let core = future.cast::<FutureCore>()?.get();
    // Nobody else sets it.
    _ = core.tally.set(Arc::clone(tally));
    let cell = Arc::clone(&core.cell);
    Ok((future, cell))
}

impl FutureCore {
    /// A copy that `os.fork` has made of a future whose message is in the other process. Here nobody
    /// ends it, nor lets go of its cell's lock should a thread of the other process have held it: so
    /// that is not taken. Once it is done a thread takes it to look, if at all.
    fn is_elsewhere(&self) -> bool {
        self.tally.get().is_some() && self.is_forked() && !self.cell.done().is_set()
    }

    fn is_forked(&self) -> bool {
        self.generation != lifecycle::generation()
    }

    /// An error if somebody is to end it here.
    fn check_reach(&self) -> PyResult<()> {
        if self.is_elsewhere() {
            return Err(lifecycle::forked_error());
        }
        Ok(())
    }

    fn phase(&self) -> Phase {
        if self.is_elsewhere() {
            return Phase::Pending;
        }
        self.cell.phase()
    }

    /// Somebody is to hear of the message's end without reading its answer, or ends it by hand.
    fn attend(&self, py: Python<'_>) {
        if !self.is_elsewhere() {
            settle::attend(py, &self.cell);
        }
    }

    /// What the message came to, as Python objects; `None` unless it finished. The first to ask
    /// opens a sealed outcome; if two open it at once, both get what the first one stored. An error
    /// is what a signal's handler raised meanwhile: then it is still sealed.
    pub(super) fn opened(&self, py: Python<'_>) -> PyResult<Option<Opened>> {
        if self.is_elsewhere() {
            return Ok(None);
        }
        let sealed = match self.cell.outcome(|outcome| outcome.peek(py)) {
            None => return Ok(None),
            Some(Ok(opened)) => return Ok(Some(opened)),
            Some(Err(sealed)) => sealed,
        };
        let mine = match sealed.open(py) {
            Ok(opened) => opened,
            Err(error) if error.is_instance_of::<PyException>(py) => {
                Opened::Raised(error.into_value(py).into_any())
            }
            Err(error) => return Err(error),
        };
        let mut mine = Some(mine.into_outcome());
        let stored = self.cell.outcome(|outcome| {
            if matches!(outcome, Outcome::Sealed(_)) {
                mine = mine.take().map(|mine| std::mem::replace(outcome, mine));
            }
            outcome.peek(py)
        });
        drop(mine);
        Ok(stored.and_then(Result::ok))
    }

    fn stdlib<'a>(slf: &'a Bound<'_, Self>) -> PyResult<&'a Stdlib> {
        let py = slf.py();
        let this = slf.get();
        if let Some(stdlib) = this.stdlib.get() {
            return Ok(stdlib);
        }
        this.attend(py);
        let stdlib = Box::new(Stdlib::new(py)?);
        // If another thread was faster, its condition is the one; ours is dropped.
        drop(this.stdlib.set(stdlib));
        if !this.is_elsewhere() {
            let mut future = Some(slf.clone().unbind());
            let mut watch = Some(Box::<Watch>::default());
            this.cell.witness(|origin, slot| {
                let slot = slot.get_or_insert_with(|| watch.take().unwrap_or_default());
                if origin == Origin::Posted && slot.future.is_none() {
                    slot.future = future.take();
                }
            });
        }
        let stdlib = this.stdlib.get();
        stdlib.ok_or_else(|| PyRuntimeError::new_err("a future lost its condition"))
    }

    /// Runs `body` holding the future's condition.
    fn with_condition<T>(
        slf: &Bound<'_, Self>,
        body: impl FnOnce(&Stdlib) -> PyResult<T>,
    ) -> PyResult<T> {
        let stdlib = Self::stdlib(slf)?;
        stdlib.hold(slf.py(), || body(stdlib))
    }

    fn finish_or_refuse(slf: &Bound<'_, Self>, outcome: Outcome) -> PyResult<()> {
        slf.get().check_reach()?;
        slf.get().attend(slf.py());
        let (finished, raised) = Self::finish(slf, outcome, Runner::Caller);
        raised?;
        if finished.is_ok() {
            return Ok(());
        }
        let text = format!("{}: {}", state_name(slf.get().phase()), slf.repr()?);
        Err(PyErr::from_type(
            imports::invalid_state_error(slf.py())?.clone(),
            text,
        ))
    }

    /// Waits until the future is done and its callbacks have had their head start; an error if
    /// `timeout` passes before, or if the thread is the main one and a signal's handler raises.
    fn wait(slf: &Bound<'_, Self>, timeout: Option<f64>) -> PyResult<()> {
        let cell = &slf.get().cell;
        if cell.served().is_set() {
            return Ok(());
        }
        let deadline = wait::deadline(timeout)?;
        if !cell.done().is_set() {
            Self::wait_until_done(slf, deadline)?;
        }
        let_callbacks_go_first(slf.py(), cell, deadline)
    }

    fn wait_until_done(slf: &Bound<'_, Self>, deadline: Option<Instant>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if this.is_forked() {
            return Err(lifecycle::forked_error());
        }
        if let Some((link, sequence)) = this.cell.message(Message::link).flatten() {
            link.read_for(py, &this.cell, sequence, deadline)?;
        }
        if !wait_for(py, this.cell.done(), deadline)? {
            let error = imports::timeout_error(py)?.clone();
            return Err(PyErr::from_type(error, ()));
        }
        if this.stdlib.get().is_some() {
            // Code that assigns `_state` holds the condition until it has assigned the rest.
            Self::with_condition(slf, |_| Ok(()))?;
        }
        Ok(())
    }

    fn cancelled_error(py: Python<'_>) -> PyResult<PyErr> {
        let error = imports::cancelled_error(py)?.clone();
        Ok(PyErr::from_type(error, ()))
    }

    /// Replaces the outcome by what `assign` makes of it.
    fn assign(
        &self,
        value: &Bound<'_, PyAny>,
        outcome: impl FnOnce(Py<PyAny>) -> Outcome,
    ) -> PyResult<()> {
        if value.is_none() {
            return Ok(());
        }
        let next = outcome(value.clone().unbind());
        let before = self
            .cell
            .outcome(|outcome| std::mem::replace(outcome, next));
        drop(before.ok_or_else(|| {
            PyAttributeError::new_err(
                "the future has not finished: use set_result or set_exception",
            )
        })?);
        Ok(())
    }
}

#[pymethods]
impl FutureCore {
    #[new]
    fn new() -> Self {
        Self {
            cell: Arc::default(),
            stdlib: OnceBox::new(),
            tally: OnceCell::new(),
            generation: lifecycle::generation(),
        }
    }

    /// Keeps `concurrent.futures.Future.__init__` from making what is served on demand.
    #[allow(clippy::unused_self)]
    fn __init__(&self) {}

    /// Cancel the message if `handle` has not begun on it; return whether it is cancelled.
    ///
    /// True means that `handle` will never see the message. Callbacks run before this returns.
    pub(super) fn cancel(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let cell = &slf.get().cell;
        if slf.get().is_forked() {
            // The message is the other process's business.
            return Ok(slf.get().cancelled());
        }
        settle::attend(slf.py(), cell);
        let (ended, told) = match cell.cancel(Hold::Attached) {
            Cancel::NeedsCondition => Self::cancel_witnessed(slf),
            ended => (ended, Ok(())),
        };
        match ended {
            Cancel::Cancelled { message, watch } => {
                settle::discard(slf.py(), message);
                if let Some(tally) = slf.get().tally.get() {
                    tally.end(Completion::Cancelled);
                }
                let served = serve(slf.py(), cell, Some(slf), watch, Runner::Caller);
                told.and(served).map(|()| true)
            }
            Cancel::Already => told.map(|()| true),
            Cancel::TooLate | Cancel::NeedsCondition => told.map(|()| false),
        }
    }

    /// Return whether the message was cancelled.
    fn cancelled(&self) -> bool {
        self.phase().is_cancelled()
    }

    /// Return whether `handle` has the message now.
    fn running(&self) -> bool {
        self.phase() == Phase::Running
    }

    /// Return whether the message was cancelled, answered, or failed.
    fn done(&self, py: Python<'_>) -> bool {
        let done = self.phase().is_done();
        if !done {
            self.attend(py);
        }
        done
    }

    /// Return what `handle` returned, or raise what it raised, waiting until it has.
    ///
    /// `timeout` is in seconds; None waits without end. Raises `TimeoutError` when it has passed,
    /// and `CancelledError` if the message was cancelled.
    #[pyo3(signature = (timeout=None))]
    fn result(slf: &Bound<'_, Self>, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        Self::wait(slf, timeout)?;
        match slf.get().opened(py)? {
            Some(Opened::Value(value)) => Ok(value),
            Some(Opened::Raised(error)) => Err(PyErr::from_value(error.into_bound(py))),
            None => Err(Self::cancelled_error(py)?),
        }
    }

    /// Return what `handle` raised, or None, waiting until it is known.
    ///
    /// `timeout` is in seconds; None waits without end. Raises `TimeoutError` when it has passed,
    /// and `CancelledError` if the message was cancelled.
    #[pyo3(signature = (timeout=None))]
    fn exception(slf: &Bound<'_, Self>, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        Self::wait(slf, timeout)?;
        match slf.get().opened(py)? {
            Some(Opened::Value(_)) => Ok(py.None()),
            Some(Opened::Raised(error)) => Ok(error),
            None => Err(Self::cancelled_error(py)?),
        }
    }

    /// Call `fn(future)` when the future is done, or now if it is.
    ///
    /// Callbacks run in the order they were added, in this process, and before a thread that waits
    /// in `result` goes on, unless they take longer than some milliseconds. An exception that one
    /// raises is logged on logger `concurrent.futures`.
    #[pyo3(signature = (r#fn, /))]
    fn add_done_callback(slf: &Bound<'_, Self>, r#fn: Py<PyAny>) -> PyResult<()> {
        if slf.get().is_elsewhere() {
            // Nobody would call it.
            return Ok(());
        }
        let mut future = Some(slf.clone().unbind());
        let mut watch = Some(Box::<Watch>::default());
        let mut callback = Some(r#fn);
        let added = slf.get().cell.watch(|origin, slot| {
            let slot = slot.get_or_insert_with(|| watch.take().unwrap_or_default());
            if origin == Origin::Posted && slot.future.is_none() {
                slot.future = future.take();
            }
            slot.callbacks.extend(callback.take());
        });
        match added {
            Some(()) => {}
            None => return run_callbacks(slf, callback.into_iter().collect(), Runner::Caller),
        }
        settle::attend(slf.py(), &slf.get().cell);
        Ok(())
    }

    /// For executors and tests: mark the future running, or tell that it was cancelled.
    fn set_running_or_notify_cancel(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let py = slf.py();
        let this = slf.get();
        this.check_reach()?;
        let found = if this.stdlib.get().is_some() {
            Self::with_condition(slf, |stdlib| {
                let found = this.cell.advance();
                if found == Phase::Cancelled {
                    stdlib.tell_waiters(slf, "add_cancelled")?;
                }
                Ok(found)
            })?
        } else {
            this.cell.advance()
        };
        match found {
            Phase::Pending => Ok(true),
            Phase::Cancelled => Ok(false),
            phase => {
                let address = slf.as_ptr().addr();
                let text = intern!(py, "Future %s in unexpected state: %s");
                let logger = imports::futures_logger(py)?;
                logger.call_method1("critical", (text, address, state_name(phase)))?;
                Err(PyRuntimeError::new_err("Future in unexpected state"))
            }
        }
    }

    /// For executors and tests: end the future with an answer.
    fn set_result(slf: &Bound<'_, Self>, result: Py<PyAny>) -> PyResult<()> {
        Self::finish_or_refuse(slf, Outcome::Value(result))
    }

    /// For executors and tests: end the future with an exception.
    fn set_exception(slf: &Bound<'_, Self>, exception: Py<PyAny>) -> PyResult<()> {
        let outcome = if exception.is_none(slf.py()) {
            Outcome::Value(exception)
        } else {
            Outcome::Raised(exception)
        };
        Self::finish_or_refuse(slf, outcome)
    }

    /// Wait for the answer in a coroutine; cancelling the task cancels a message not begun.
    fn __await__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let wrapped = imports::wrap_future(slf.py())?.call1((slf,))?;
        wrapped.call_method0(intern!(slf.py(), "__await__"))
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let py = slf.py();
        let phase = slf.get().phase();
        let class = slf.get_type();
        let head = format!("<{} at {:#x}", class.name()?, slf.as_ptr().addr());
        Ok(match slf.get().opened(py)? {
            None => {
                let state = match phase {
                    Phase::Notified => "cancelled".to_owned(),
                    phase => state_name(phase).to_lowercase(),
                };
                format!("{head} state={state}>")
            }
            Some(Opened::Value(value)) => {
                let kind = value.bind(py).get_type();
                format!("{head} state=finished returned {}>", kind.name()?)
            }
            Some(Opened::Raised(error)) => {
                let kind = error.bind(py).get_type();
                format!("{head} state=finished raised {}>", kind.name()?)
            }
        })
    }

    #[classmethod]
    #[pyo3(signature = (item, /))]
    fn __class_getitem__<'py>(
        cls: &Bound<'py, PyType>,
        item: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        imports::generic_alias(cls.py())?.call1((cls, item))
    }

    fn __reduce_ex__(slf: &Bound<'_, Self>, _protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(PyTypeError::new_err(format!(
            "cannot pickle or copy {}: a future belongs to the process that made it; \
             send its result() instead",
            slf.repr()?
        )))
    }

    #[getter]
    fn _state<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        PyString::intern(py, state_name(self.phase()))
    }

    #[setter(_state)]
    fn set_state(&self, py: Python<'_>, state: &str) -> PyResult<()> {
        let phase = phase_named(state)?;
        let nothing = py.None();
        drop(self.cell.force(phase, || Outcome::Value(nothing)));
        Ok(())
    }

    #[getter]
    fn _result(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        match self.opened(py)? {
            Some(Opened::Value(value)) => Ok(Some(value)),
            _ => Ok(None),
        }
    }

    #[setter(_result)]
    fn assign_result(&self, result: &Bound<'_, PyAny>) -> PyResult<()> {
        self.assign(result, Outcome::Value)
    }

    #[getter]
    fn _exception(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        match self.opened(py)? {
            Some(Opened::Raised(error)) => Ok(Some(error)),
            _ => Ok(None),
        }
    }

    #[setter(_exception)]
    fn assign_exception(&self, exception: &Bound<'_, PyAny>) -> PyResult<()> {
        self.assign(exception, Outcome::Raised)
    }

    #[getter]
    fn _condition(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        Ok(Self::stdlib(slf)?.condition.clone_ref(slf.py()))
    }

    #[getter]
    fn _waiters(slf: &Bound<'_, Self>) -> PyResult<Py<PyList>> {
        Ok(Self::stdlib(slf)?.waiters.clone_ref(slf.py()))
    }

    #[getter]
    fn _done_callbacks(&self, py: Python<'_>) -> Vec<Py<PyAny>> {
        if self.is_elsewhere() {
            return Vec::new();
        }
        let callbacks = |watch: &Watch| {
            let callbacks = watch.callbacks.iter();
            callbacks.map(|callback| callback.clone_ref(py)).collect()
        };
        let found = self.cell.watch(|_, watch| watch.as_deref().map(callbacks));
        found.flatten().unwrap_or_default()
    }

    /// Return `(done, cancelled, result, exception)`.
    fn _get_snapshot(&self, py: Python<'_>) -> PyResult<Snapshot> {
        Ok(match self.opened(py)? {
            Some(Opened::Value(value)) => (true, false, Some(value), None),
            Some(Opened::Raised(error)) => (true, false, None, Some(error)),
            None => {
                let cancelled = self.phase().is_cancelled();
                (cancelled, cancelled, None, None)
            }
        })
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Some(stdlib) = self.stdlib.get() {
            visit.call(&stdlib.condition)?;
            visit.call(&stdlib.waiters)?;
        }
        if Arc::strong_count(&self.cell) > 1 {
            // An engine has it too, and what an engine has is alive.
            return Ok(());
        }
        self.cell.inspect(|outcome, watch| {
            match outcome {
                Some(Outcome::Value(value)) => visit.call(value)?,
                Some(Outcome::Raised(error)) => visit.call(error)?,
                _ => {}
            }
            let Some(watch) = watch else { return Ok(()) };
            visit.call(&watch.future)?;
            watch
                .callbacks
                .iter()
                .try_for_each(|callback| visit.call(callback))
        })
    }

    fn __clear__(&self) {
        if Arc::strong_count(&self.cell) == 1 && !self.is_elsewhere() {
            drop(self.cell.hollow(Outcome::Nothing));
        }
    }
}
