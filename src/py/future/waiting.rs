//! Waiting for a future, in `result()` and `exception()`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use super::callbacks::let_callbacks_go_first;
use super::condition::Condition;
use super::core::FutureCore;
use super::deadlock::{wait_for_actor, wait_unless_stuck};
use crate::py::interpreter::wait::{Seconds, wait_for, wait_for_answer};
use crate::py::interpreter::{cooperative, imports, lifecycle, wait};
use crate::py::message::fault::Unending;
use crate::py::message::message::Message;
use crate::py::message::tally::Tally;

impl FutureCore {
    /// Waits until the future is done and its callbacks have had their head start. An error is a
    /// `TimeoutError`, or on the main thread what a signal handler raised.
    pub(super) fn wait(slf: &Bound<'_, Self>, timeout: Option<Seconds>) -> PyResult<()> {
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
        if let Some(condition) = this.condition.get()
            && condition.is_own(py)?
        {
            // While this thread holds the condition, no other thread can end the future.
            return Self::wait_by_condition(slf, condition, deadline);
        }
        let is_cooperative = cooperative::is_needed(py)?;
        let has_stream = this.tally().is_some_and(|t| t.streams.has_of_this_thread());
        let is_done = match this.tally() {
            Some(tally) if !is_cooperative => {
                let pending = || Arc::clone(&this.cell) as _;
                let wait = |deadline| {
                    if has_stream {
                        this.resume_io_thread(py);
                        let done = this.cell.done();
                        let wait = |until| this.wait_for_answer(py, tally, until);
                        return wait_unless_stuck(done, tally, deadline, wait);
                    }
                    this.wait_for_answer(py, tally, deadline)
                };
                wait_for_actor(&tally.node, pending, deadline, Unending::Answer, wait)?
            }
            _ => {
                // The I/O thread reads: this one must not sleep in the pipe.
                this.resume_io_thread(py);
                wait_for(py, this.cell.done(), deadline)?
            }
        };
        if !is_done {
            return Err(Self::timeout_error(py)?);
        }
        if this.condition.get().is_some() {
            // Code that assigns `_state` holds the condition until it has assigned the rest.
            Self::with_condition(slf, |_| Ok(()))?;
        }
        Ok(())
    }

    /// Waits until the actor has answered (true) or `deadline` has passed (false).
    fn wait_for_answer(
        &self,
        py: Python<'_>,
        tally: &Tally,
        deadline: Option<Instant>,
    ) -> PyResult<bool> {
        let done = self.cell.done();
        if let Some((carrier, sequence)) = self.cell.message(Message::carrier).flatten() {
            carrier.read_for(py, done, sequence, deadline)?;
        }
        wait_for_answer(py, done, &tally.handoff, deadline)
    }

    /// For a thread that holds the condition: waits as the standard library's futures do.
    fn wait_by_condition(
        slf: &Bound<'_, Self>,
        condition: &Condition,
        deadline: Option<Instant>,
    ) -> PyResult<()> {
        let py = slf.py();
        while !slf.get().cell.done().is_set() {
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Err(Self::timeout_error(py)?);
            }
            condition.wait(py, left)?;
        }
        Ok(())
    }

    fn timeout_error(py: Python<'_>) -> PyResult<PyErr> {
        let error = imports::timeout_error(py)?.clone();
        Ok(PyErr::from_type(error, ()))
    }

    pub(super) fn cancelled_error(py: Python<'_>) -> PyResult<PyErr> {
        let error = imports::cancelled_error(py)?.clone();
        Ok(PyErr::from_type(error, ()))
    }
}
