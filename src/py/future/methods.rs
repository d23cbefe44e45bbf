//! What Python sees of a future: the methods of `concurrent.futures.Future`, and the private
//! attributes that the standard library uses (`_condition`, `_waiters`, `_state`, ...).

use std::sync::Arc;

use pyo3::exceptions::{PyAttributeError, PyRuntimeError, PyTypeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyList, PyString, PyType};

use super::callbacks::{Runner, run_callbacks};
use super::condition::{phase_named, state_name};
use super::core::{FutureCore, Watch, ask_carrier, ask_carrier_soon};
use crate::engine::cell::{Origin, Phase};
use crate::engine::waits;
use crate::py::interpreter::daemon_threads::{outlast, outlasting, outlasting_method};
use crate::py::interpreter::imports;
use crate::py::interpreter::running_loop::need_event_loop;
use crate::py::interpreter::wait::Seconds;
use crate::py::message::outcome::{Opened, Outcome, Sealed};
use crate::py::message::ticket::Ask;

type Snapshot = (bool, bool, Option<Py<PyAny>>, Option<Py<PyAny>>);

impl FutureCore {
    fn finish_or_refuse(slf: &Bound<'_, Self>, outcome: Outcome) -> PyResult<()> {
        outlast();
        slf.get().check_reach()?;
        slf.get().resume_io_thread(slf.py());
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

    /// When the task that awaits `wrapped` is cancelled, asks the coroutine of an async actor to stop.
    fn ask_if_cancelled(slf: &Bound<'_, Self>, wrapped: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let future = slf.clone().unbind();
        let ask = PyCFunction::new_closure(py, None, None, move |args, _| {
            let py = args.py();
            let wrapped = args.get_item(0)?;
            if wrapped
                .call_method0(intern!(py, "cancelled"))?
                .is_truthy()?
            {
                Self::request_cancel(future.bind(py))?;
            }
            PyResult::Ok(())
        })?;
        wrapped
            .call_method1(intern!(py, "add_done_callback"), (ask,))
            .map(drop)
    }

    /// Replaces the outcome by what `outcome` makes of `value`.
    fn assign(
        &self,
        value: &Bound<'_, PyAny>,
        outcome: impl FnOnce(Py<PyAny>) -> Outcome,
    ) -> PyResult<()> {
        if value.is_none() {
            return Ok(());
        }
        outlast();
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
        Self::new_bare()
    }

    /// Keeps `concurrent.futures.Future.__init__` from making attributes that are made on demand.
    #[allow(clippy::unused_self)]
    fn __init__(&self) {}

    /// Cancel the message if `handle` has not begun on it; return whether it is cancelled.
    ///
    /// True means that `handle` will never see the message. Callbacks run before this returns.
    fn cancel(slf: &Bound<'_, Self>) -> PyResult<bool> {
        if slf.get().is_forked() {
            // Only the process that posted the message can cancel it.
            return Ok(slf.get().cancelled());
        }
        Self::cancel_cell(slf)
    }

    /// Cancel the message if it has not begun, else ask its handler to stop.
    ///
    /// Returns True if the message is cancelled or has been asked, by this call or an earlier one,
    /// and False if it had ended. Does not wait for the handler, which sees it by
    /// `current_message()`; the future is cancelled if the handler then raises `CancelledError`.
    fn request_cancel(slf: &Bound<'_, Self>) -> PyResult<bool> {
        if slf.get().is_forked() {
            return Ok(slf.get().cancelled());
        }
        let this = slf.get();
        let items = this.cell.message(|message| message.items()).flatten();
        let stopped = Self::stop_cell(slf);
        // After that: once a stream is closed, its generator may end before it is asked.
        if let Some(items) = items {
            outlast();
            drop(items.close());
        } else if let (Ok(true), Some(tally)) = (&stopped, this.tally())
            // Its answer has come, and its future is about to end.
            && let Some(stream) = tally.streams.find(this.cell.done())
        {
            outlast();
            drop(stream.items().close());
        }
        stopped
    }

    /// Return whether the message was cancelled.
    fn cancelled(&self) -> bool {
        self.phase().is_cancelled()
    }

    /// Return whether `handle` is running on the message now.
    fn running(&self, py: Python<'_>) -> PyResult<bool> {
        if !self.is_elsewhere() {
            ask_carrier(py, &self.cell, Ask::HasBegun)?;
        }
        Ok(self.phase() == Phase::Running)
    }

    /// Return whether the message was cancelled, answered, or failed.
    fn done(&self, py: Python<'_>) -> bool {
        let done = self.phase().is_done();
        if !done {
            self.resume_io_thread(py);
        }
        done
    }

    /// Wait until the message has ended; return what `handle` returned, or raise what it raised.
    ///
    /// `timeout` is in seconds; None means no limit. Raises `TimeoutError` when it has passed, and
    /// `CancelledError` if the message was cancelled.
    #[pyo3(signature = (timeout=None))]
    fn result(slf: &Bound<'_, Self>, timeout: Option<Seconds>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        Self::wait(slf, timeout)?;
        match slf.get().opened(py)? {
            Some(Opened::Value(value)) => Ok(value),
            Some(Opened::Raised(error)) => Err(PyErr::from_value(error.into_bound(py))),
            None => Err(Self::cancelled_error(py)?),
        }
    }

    /// Wait until the message has ended; return what `handle` raised, or None.
    ///
    /// `timeout` is in seconds; None means no limit. Raises `TimeoutError` when it has passed, and
    /// `CancelledError` if the message was cancelled.
    #[pyo3(signature = (timeout=None))]
    fn exception(slf: &Bound<'_, Self>, timeout: Option<Seconds>) -> PyResult<Py<PyAny>> {
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
    /// Callbacks run in this process, in the order in which they were added. They run before a
    /// thread that waits in `result` goes on, unless they take longer than a few milliseconds. An
    /// exception that a callback raises is logged on logger `concurrent.futures`.
    #[pyo3(signature = (r#fn, /))]
    fn add_done_callback(slf: &Bound<'_, Self>, r#fn: Py<PyAny>) -> PyResult<()> {
        if slf.get().is_elsewhere() {
            // The future never ends here, so the callback would never run.
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
        slf.get().resume_io_thread(slf.py());
        Ok(())
    }

    /// For executors and tests: mark the future running, or tell waiters of its cancellation.
    fn set_running_or_notify_cancel(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let py = slf.py();
        let this = slf.get();
        this.check_reach()?;
        let found = if this.condition.get().is_some() {
            Self::with_condition(slf, |condition| {
                let found = this.cell.advance();
                if found == Phase::Cancelled {
                    condition.tell_waiters(slf.as_any(), "add_cancelled")?;
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
                let said = (text, address, state_name(phase));
                outlasting_method(logger, intern!(py, "critical"), said, None)?;
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

    /// For a cancelled task that awaited the answer: cancel the message if it has not begun.
    ///
    /// If an async actor has begun it, its coroutine is asked to stop. This does not wait for what
    /// becomes of the message, which the future tells later. It is for messages that another
    /// process passes on, and does nothing for others.
    fn _abandon(slf: &Bound<'_, Self>) {
        if !slf.get().is_forked() {
            ask_carrier_soon(slf.py(), &slf.get().cell, Ask::Abandon);
        }
    }

    /// Wait for the answer in a coroutine; cancelling the task cancels a message that has not begun.
    fn __await__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        drop(need_event_loop(py)?);
        let is_relayed = slf.get().cell.message(|message| message.is_relayed());
        let wrap = if is_relayed == Some(true) {
            imports::wrap_relayed(py)?
        } else {
            imports::wrap_future(py)?
        };
        let wrapped = outlasting(wrap, (slf,), None)?;
        let tally = slf.get().tally();
        let asks = tally.is_some_and(|tally| tally.is_async());
        if waits::is_served_by_any() && slf.get().is_of_actor() {
            // A handler may wait for ever, because actors wait for each other.
            let asked = (slf, &wrapped, asks);
            let watched = outlasting(imports::watch_await(py)?, asked, None)?;
            if !watched.is_none() {
                return Ok(watched);
            }
        }
        if asks {
            Self::ask_if_cancelled(slf, &wrapped)?;
        }
        outlasting_method(&wrapped, intern!(py, "__await__"), (), None)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let py = slf.py();
        let phase = slf.get().phase();
        let class = slf.get_type();
        let head = format!("<{} at {:#x}", class.name()?, slf.as_ptr().addr());
        Ok(match slf.get().opened(py)? {
            None => {
                let state = match phase {
                    Phase::Notified | Phase::Stopped => "cancelled".to_owned(),
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
        outlasting(imports::generic_alias(cls.py())?, (cls, item), None)
    }

    fn __reduce_ex__(slf: &Bound<'_, Self>, _protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(PyTypeError::new_err(format!(
            "cannot pickle or copy {}: a future belongs to the process that made it; post its \
             result() instead, or send a reference to the actor, which can be asked",
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
        Ok(Self::condition(slf)?.object.clone_ref(slf.py()))
    }

    #[getter]
    fn _waiters(slf: &Bound<'_, Self>) -> PyResult<Py<PyList>> {
        Ok(Self::condition(slf)?.waiters.clone_ref(slf.py()))
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
        if let Some(condition) = self.condition.get() {
            visit.call(&condition.object)?;
            visit.call(&condition.waiters)?;
        }
        if Arc::strong_count(&self.cell) > 1 {
            // An engine has the cell too, so what is in it is alive.
            return Ok(());
        }
        self.cell.inspect(|outcome, watch| {
            match outcome {
                Some(Outcome::Value(value)) => visit.call(value)?,
                Some(Outcome::Raised(error)) => visit.call(error)?,
                Some(Outcome::Sealed(Sealed::Fault(fault))) if Arc::strong_count(fault) == 1 => {
                    fault.1.traverse(&visit)?;
                }
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
        outlast();
        if Arc::strong_count(&self.cell) == 1 && !self.is_elsewhere() {
            drop(self.cell.clear(Outcome::Nothing));
        }
    }
}
