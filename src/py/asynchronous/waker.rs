//! Wakes the event loop of an actor from other threads.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::source::Calls;
use crate::engine::room::Wake;
use crate::py::interpreter::daemon_threads::outlasting;
use crate::py::interpreter::rest;

/// Invariant: a message that is put into the mailbox after `sleep` wakes the loop, once.
#[derive(Default)]
pub(in crate::py) struct Waker {
    /// The loop has found nothing, and must be woken.
    is_awaited: AtomicBool,
    /// How many calls of `wake` have begun and not ended. One of them may have taken `is_awaited`, and
    /// be interrupted by the handler of a signal before it has woken the loop. That handler may wait
    /// for the actor, so it must wake the loop itself.
    waking: AtomicUsize,
    is_terminated: AtomicBool,
    /// How many messages the loop of a thread looks for, or has begun and not settled.
    busy: AtomicUsize,
    /// While the loop takes messages: they refer to it, and it to the host that has this.
    calls: Mutex<Option<Calls>>,
    /// While the loop runs: has everything stop.
    stop: Mutex<Option<Py<PyAny>>>,
}

impl Waker {
    fn calls(&self) -> MutexGuard<'_, Option<Calls>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self) -> MutexGuard<'_, Option<Py<PyAny>>> {
        self.stop.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on, `terminate` calls this. If it was called before, this is called now.
    pub(in crate::py) fn stop_by(&self, py: Python<'_>, stop: Py<PyAny>) {
        *self.stop() = Some(stop);
        if self.is_terminated.load(Ordering::SeqCst) {
            self.terminate(py);
        }
    }

    /// From now on, calls these.
    pub(in crate::py) fn attach(&self, calls: Calls) {
        *self.calls() = Some(calls);
    }

    /// The loop ends, and needs no wake-up any more.
    pub(in crate::py) fn detach(&self) {
        self.stay_awake();
        let calls = self.calls().take();
        drop(calls);
        let stop = self.stop().take();
        drop(stop);
    }

    /// The loop looks for a message. `end` must follow if there is none, and else when its callbacks have
    /// run. Returns whether no message runs.
    pub(in crate::py) fn begin(&self) -> bool {
        self.busy.fetch_add(1, Ordering::SeqCst) == 0
    }

    /// Whether so many messages run. For the loop's thread.
    pub(in crate::py) fn runs(&self, messages: usize) -> bool {
        self.busy.load(Ordering::SeqCst) == messages
    }

    pub(in crate::py) fn end(&self) {
        self.busy.fetch_sub(1, Ordering::SeqCst);
        rest::comes_to_rest();
    }

    /// Whether the loop runs and nothing runs in it but so many messages: neither a callback of one, nor
    /// `on_start`. The caller must have found before that no other message can begin.
    pub(in crate::py) fn runs_only(&self, messages: usize) -> bool {
        self.runs(messages) && self.calls().is_some()
    }

    /// The loop has found no message. It must look once more after this.
    pub(in crate::py) fn sleep(&self) {
        self.is_awaited.store(true, Ordering::SeqCst);
    }

    /// The loop looks for messages by itself, and needs no wake-up until it calls `sleep`.
    pub(in crate::py) fn stay_awake(&self) {
        self.is_awaited.store(false, Ordering::SeqCst);
    }

    pub(in crate::py) fn wake(&self, py: Python<'_>) {
        let others = self.waking.fetch_add(1, Ordering::SeqCst);
        if self.is_awaited.swap(false, Ordering::SeqCst) || others > 0 {
            let calls = self.calls();
            let wake = calls.as_ref().map(|calls| calls.wake.clone_ref(py));
            drop(calls);
            call(py, wake, ());
        }
        self.waking.fetch_sub(1, Ordering::SeqCst);
    }

    /// Has the loop look at the message with this number, which is asked to stop or has room.
    pub(in crate::py) fn look(&self, py: Python<'_>, number: u64) {
        let calls = self.calls();
        let look = calls.as_ref().map(|calls| calls.look.clone_ref(py));
        drop(calls);
        call(py, look, (number,));
    }

    /// Has what runs stop at its next `await`: messages, `on_start` or `on_stop`.
    pub(in crate::py) fn terminate(&self, py: Python<'_>) {
        self.is_terminated.store(true, Ordering::SeqCst);
        let guard = self.stop();
        let stop = guard.as_ref().map(|stop| stop.clone_ref(py));
        drop(guard);
        call(py, stop, ());
    }
}

/// Wakes an event loop by any thread.
pub(in crate::py) struct WakesLoop(pub(in crate::py) Arc<Waker>);

impl Wake for WakesLoop {
    fn wake(&self) {
        let Waker {
            is_awaited, waking, ..
        } = &*self.0;
        if is_awaited.load(Ordering::SeqCst) || waking.load(Ordering::SeqCst) > 0 {
            Python::attach(|py| self.0.wake(py));
        }
    }
}

fn call<'py>(
    py: Python<'py>,
    call: Option<Py<PyAny>>,
    args: impl IntoPyObject<'py, Target = PyTuple>,
) {
    let Some(call) = call else { return };
    match outlasting(call.bind(py), args, None) {
        // The loop has been closed.
        Err(error) if error.is_instance_of::<PyRuntimeError>(py) => {}
        Err(error) => error.write_unraisable(py, None),
        Ok(_) => {}
    }
}
