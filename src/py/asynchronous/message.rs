//! A message of an async actor, as its event loop sees it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::source::{Open, Outlet, Source, Taken, Ticket};
use super::traces::Traces;
use crate::engine::stream::Space;
use crate::py::answer;
use crate::py::answer::Called;
use crate::py::current;
use crate::py::current::Running as Current;
use crate::py::message::request::Call;
use crate::py::stream;
use crate::py::stream::run::Ended;

/// The messages that run: when each began, by number.
#[derive(Default)]
pub(super) struct Running(Mutex<BTreeMap<u64, u64>>);

impl Running {
    /// Changes it, and shows what there is now.
    fn change(&self, source: &dyn Source, change: impl FnOnce(&mut BTreeMap<u64, u64>)) {
        let mut since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut since);
        let oldest = since.first_key_value().map_or(0, |(_, since)| *since);
        source.show(since.len(), oldest);
    }
}

/// What was called for a message.
enum Kind {
    Handle,
    Function,
    Method(Py<PyString>),
}

/// A message that an event loop has begun.
#[pyclass(frozen, module = "futures_actors._core")]
pub(in crate::py) struct LoopMessage {
    name: Arc<str>,
    source: Arc<dyn Source>,
    running: Arc<Running>,
    number: u64,
    /// When it began, by `sys::now_nanos`.
    begun: u64,
    /// Until it is called.
    open: Mutex<Option<Open>>,
    /// Relaxed: it is for the handler of a signal, which runs in the same thread.
    is_in_call: AtomicBool,
    called: Mutex<Option<Kind>>,
    /// Until it ends.
    ticket: Mutex<Option<Ticket>>,
    /// Until it ends: a traceback may refer to this, and must not keep the future alive by that.
    current: Mutex<Option<Current>>,
    /// From `enter` to `has_left_nothing`.
    before: Mutex<Option<Traces>>,
    is_stream: bool,
    /// If it is a stream, until it ends, as `current`.
    outlet: Mutex<Option<Arc<dyn Outlet>>>,
}

impl LoopMessage {
    /// A message that has begun at the time `begun`, by `sys::now_nanos`, with this number.
    pub(super) fn new(
        name: &Arc<str>,
        source: &Arc<dyn Source>,
        running: &Arc<Running>,
        number: u64,
        begun: u64,
        taken: Taken,
    ) -> Self {
        running.change(&**source, |since| _ = since.insert(number, begun));
        Self {
            name: Arc::clone(name),
            source: Arc::clone(source),
            running: Arc::clone(running),
            number,
            begun,
            open: Mutex::new(Some(taken.open)),
            is_in_call: AtomicBool::new(false),
            called: Mutex::new(None),
            ticket: Mutex::new(Some(taken.ticket)),
            current: Mutex::new(Some(taken.current)),
            before: Mutex::default(),
            is_stream: taken.outlet.is_some(),
            outlet: Mutex::new(taken.outlet.map(Arc::from)),
        }
    }

    /// When it began, by `sys::now_nanos`.
    pub(super) fn begun(&self) -> u64 {
        self.begun
    }
}

fn take<T>(slot: &Mutex<Option<T>>) -> Option<T> {
    slot.lock().unwrap_or_else(PoisonError::into_inner).take()
}

impl LoopMessage {
    fn end(&self, py: Python<'_>, ended: Ended<'_>) -> PyResult<()> {
        let Some(ticket) = take(&self.ticket) else {
            return Ok(());
        };
        if let Some(current) = take(&self.current) {
            current.end();
        }
        self.running
            .change(&*self.source, |since| _ = since.remove(&self.number));
        let outlet = take(&self.outlet);
        let told = self.source.end(py, ticket, ended);
        drop(outlet);
        told
    }

    fn outlet(&self) -> Option<Arc<dyn Outlet>> {
        let outlet = self.outlet.lock();
        outlet.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn was(&self, kind: Kind) {
        *self.called.lock().unwrap_or_else(PoisonError::into_inner) = Some(kind);
    }

    /// Has `check` look at what was called, and at what that has answered.
    fn checked<'py>(
        &self,
        answer: Bound<'py, PyAny>,
        check: impl FnOnce(&Called<'_, 'py>, Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = answer.py();
        match take(&self.called) {
            Some(Kind::Function) => check(&Called::Function, answer),
            Some(Kind::Method(name)) => check(&Called::Method(name.bind(py)), answer),
            Some(Kind::Handle) | None => check(&Called::Handle, answer),
        }
    }
}

impl LoopMessage {
    fn call_now<'py>(&self, actor: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = actor.py();
        let Some(open) = take(&self.open) else {
            return Ok(py.None().into_bound(py));
        };
        match open(py)? {
            Call::Handle(object) => {
                self.was(Kind::Handle);
                actor.call_method1(intern!(py, "handle"), (object.into_bound(py),))
            }
            Call::Function(function, args, kwargs) => {
                self.was(Kind::Function);
                let kwargs = kwargs.map(|kwargs| kwargs.into_bound(py));
                let function = function.into_bound(py);
                function.call(args.into_bound(py), kwargs.as_ref())
            }
            Call::Method(method, args, kwargs) => {
                self.was(Kind::Method(method.clone_ref(py)));
                let kwargs = kwargs.map(|kwargs| kwargs.into_bound(py));
                actor.call_method(method.bind(py), args.into_bound(py), kwargs.as_ref())
            }
        }
    }
}

#[pymethods]
impl LoopMessage {
    /// Have `current_message()` return this message in the context that runs.
    ///
    /// Give the running task to learn from `has_left_nothing` whether it can handle another one.
    fn enter(&self, py: Python<'_>, task: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        let current = self.current.lock();
        let current = current.unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(current) = current {
            current::enter(py, current)?;
        }
        if let Some(task) = task {
            let before = Traces::of(&task).ok().flatten();
            *self.before.lock().unwrap_or_else(PoisonError::into_inner) = before;
        }
        Ok(())
    }

    /// Return whether the message, which has ended, has left nothing behind in its task.
    fn has_left_nothing(&self, task: Option<Bound<'_, PyAny>>) -> bool {
        let now = task.and_then(|task| Traces::of(&task).ok().flatten());
        let before = take(&self.before);
        matches!((before, now), (Some(before), Some(now)) if now.are(&before))
    }

    /// Call what the message asks for, and return what that returns: it may be a coroutine.
    fn call<'py>(&self, actor: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.is_in_call.store(true, Ordering::Relaxed);
        let called = self.call_now(actor);
        self.is_in_call.store(false, Ordering::Relaxed);
        called
    }

    /// Whether `call` runs at this moment.
    #[getter]
    fn is_in_call(&self) -> bool {
        self.is_in_call.load(Ordering::Relaxed)
    }

    /// The number by which it is asked to stop.
    #[getter]
    fn number(&self) -> u64 {
        self.number
    }

    /// Return whether `call` has been called.
    fn has_been_called(&self) -> bool {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.is_none()
    }

    /// Whether its items are wanted, and not an answer.
    #[getter]
    fn is_stream(&self) -> bool {
        self.is_stream
    }

    /// Return an answer whose items are wanted, or raise a `TypeError` if it has none.
    fn check_stream<'py>(&self, answer: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        if answer.hasattr(intern!(answer.py(), "__anext__"))? {
            return Ok(answer);
        }
        self.checked(answer, |called, answer| {
            stream::run::check(&self.name, called, answer).map(Bound::into_any)
        })
    }

    /// Return whether there is room for another item, or None if no more items are wanted.
    ///
    /// If there is no room, the loop is told to look at this message when there may be some.
    fn has_room(&self, py: Python<'_>) -> PyResult<Option<bool>> {
        let Some(outlet) = self.outlet() else {
            return Ok(None);
        };
        Ok(match outlet.space(py)? {
            Space::Free => Some(true),
            Space::Full => Some(false),
            Space::Closed => None,
        })
    }

    /// Hand on an item of the stream. An exception says that it cannot be sent.
    fn put(&self, item: Bound<'_, PyAny>) -> PyResult<()> {
        match self.outlet() {
            Some(outlet) => outlet.put(item),
            None => Ok(()),
        }
    }

    /// End the message with its answer.
    fn finish(&self, py: Python<'_>, answer: Bound<'_, PyAny>) -> PyResult<()> {
        let checked = self.checked(answer, |called, answer| {
            answer::check(&self.name, called, answer)
        });
        self.end(py, Ended::By(checked))
    }

    /// End the stream with what its generator has returned.
    fn finish_stream(&self, py: Python<'_>, value: Bound<'_, PyAny>) -> PyResult<()> {
        self.end(py, Ended::By(Ok(value)))
    }

    /// End the message with an exception.
    fn fail(&self, py: Python<'_>, error: Bound<'_, PyAny>) -> PyResult<()> {
        self.end(py, Ended::By(Err(PyErr::from_value(error))))
    }

    /// End the stream, which was closed.
    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        self.end(py, Ended::Closed)
    }

    /// Log that a generator ignores `GeneratorExit`, and make sure that it never goes on.
    fn give_up(&self, generator: Bound<'_, PyAny>) {
        stream::run::give_up(&self.name, generator);
    }
}

impl Drop for LoopMessage {
    fn drop(&mut self) {
        if let Some(ticket) = take(&self.ticket) {
            self.running
                .change(&*self.source, |since| _ = since.remove(&self.number));
            Python::attach(|py| self.source.lose(py, ticket));
        }
    }
}
