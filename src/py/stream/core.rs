//! `StreamCore`: what Python sees of a stream.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use once_cell::sync::OnceCell;
use pyo3::exceptions::{PyRuntimeError, PyStopIteration, PyTypeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::engine::ipc::relay::Awaited;
use crate::engine::latch::Latch;
use crate::engine::room::Wake;
use crate::engine::stream::Next;
use crate::py::future;
use crate::py::future::deadlock::{wait_for_actor, wait_unless_stuck};
use crate::py::future::{ActorCell, FutureCore, WakesFuture, settle};
use crate::py::interpreter::running_loop::need_event_loop;
use crate::py::interpreter::wait::Seconds;
use crate::py::interpreter::{cooperative, imports, lifecycle, wait};
use crate::py::message::fault::Unending;
use crate::py::message::items::{Items, OpenStream, Taker};
use crate::py::message::message::{Awaiting, Message};
use crate::py::message::outcome::Opened;
use crate::py::message::tally::Tally;

/// A stream, as its holder and its actor know it.
pub(in crate::py) struct Shared {
    items: Arc<Items>,
    /// That of the future, which holds it. This must not: an exception in a cell that others hold,
    /// too, is hidden from the garbage collector, and its traceback usually leads to the stream.
    cell: Weak<ActorCell>,
    tally: Arc<Tally>,
    taker: Taker,
    name: String,
}

impl OpenStream for Shared {
    fn close(&self, py: Python<'_>) {
        if let Some(cell) = self.cell.upgrade() {
            settle::close(py, &self.items, &cell, &self.tally);
        }
    }

    fn items(&self) -> &Items {
        &self.items
    }

    fn taker(&self) -> &Taker {
        &self.taker
    }

    fn is_of(&self, done: &Latch) -> bool {
        let cell = self.cell.upgrade();
        cell.is_some_and(|cell| std::ptr::eq(cell.done(), done))
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// The core of an `ActorStream`.
#[pyclass(
    subclass,
    frozen,
    weakref,
    name = "ActorStream",
    module = "futures_actors._core"
)]
pub(in crate::py) struct StreamCore {
    /// `None` in an instance that the user made.
    stream: OnceCell<Held>,
}

struct Held {
    shared: Arc<Shared>,
    future: Py<FutureCore>,
    /// The exception that ended the stream has been raised by `next`.
    has_raised: AtomicBool,
    generation: u32,
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.generation == lifecycle::generation() {
            Python::attach(|py| self.shared.close(py));
        }
    }
}

/// Makes the `ActorStream` of a message whose items come by `items`. At its end `wake` is called for each
/// that waits for an item.
pub(in crate::py) fn new_stream<'py>(
    future: Bound<'py, FutureCore>,
    items: Arc<Items>,
    tally: &Arc<Tally>,
    name: &str,
    wake: impl Fn(Arc<dyn Wake>) + Send + 'static,
) -> PyResult<Bound<'py, PyAny>> {
    let stream = imports::actor_stream(future.py())?.call0()?;
    let cell = &future.get().cell;
    let ended = Arc::clone(&items);
    cell.on_end(move |_| ended.finish().into_iter().for_each(wake));
    let shared = Arc::new(Shared {
        items,
        cell: Arc::downgrade(cell),
        tally: Arc::clone(tally),
        taker: Taker::default(),
        name: name.to_owned(),
    });
    shared.taker.set(stream.py());
    let weak = Arc::downgrade(&shared);
    tally.streams.add(weak);
    let held = Held {
        shared,
        future: future.unbind(),
        has_raised: AtomicBool::new(false),
        generation: lifecycle::generation(),
    };
    // It is new, so `set` cannot fail.
    _ = stream.cast::<StreamCore>()?.get().stream.set(held);
    Ok(stream)
}

impl StreamCore {
    fn held(&self) -> PyResult<&Held> {
        let held = self.stream.get().ok_or_else(|| {
            PyRuntimeError::new_err("this stream is of no actor: executor.stream() makes them")
        })?;
        if held.generation != lifecycle::generation() {
            return Err(lifecycle::forked_error());
        }
        Ok(held)
    }
}

impl Held {
    /// Takes the next item, if there is one; `waiter` is woken when there may be one later.
    fn try_take(
        &self,
        py: Python<'_>,
        waiter: impl FnOnce() -> Option<Arc<dyn Wake>>,
    ) -> PyResult<Taken> {
        self.shared.taker.set(py);
        match self.shared.items.take(waiter) {
            Next::Item(item) => match item.open(py) {
                Ok(object) => Ok(Taken::Item(object)),
                Err(error) => {
                    // The items after a lost one might make no sense.
                    self.has_raised.store(true, Ordering::SeqCst);
                    self.shared.close(py);
                    Err(error)
                }
            },
            Next::Empty => Ok(Taken::Nothing),
            Next::Closed => Ok(Taken::End),
            Next::Ended => self.end(py).map(|()| Taken::End),
        }
    }

    /// Raises the exception that has ended the stream, once.
    fn end(&self, py: Python<'_>) -> PyResult<()> {
        let future = self.future.get();
        let error = match future.opened(py)? {
            Some(Opened::Value(_)) => return Ok(()),
            Some(Opened::Raised(error)) => PyErr::from_value(error.into_bound(py)),
            // It was asked to stop, which is the end of a stream.
            None if future.cell.was_asked() => return Ok(()),
            None => PyErr::from_type(imports::cancelled_error(py)?.clone(), ()),
        };
        if self.has_raised.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        Err(error)
    }

    /// Waits until `latch` is set, which waits for an item (true), or until `deadline`.
    fn wait_for_item(
        &self,
        py: Python<'_>,
        latch: &Latch,
        deadline: Option<Instant>,
    ) -> PyResult<bool> {
        let carrier = self.future.get().cell.message(Message::carrier).flatten();
        match carrier {
            // Other greenlets run meanwhile, so this thread must not sleep in the pipe.
            Some((carrier, _)) if cooperative::is_needed(py)? => carrier.resume_io_thread(py),
            Some((carrier, sequence)) => carrier.read_item_for(py, latch, sequence, deadline)?,
            None => {}
        }
        wait::wait_for(py, latch, deadline)
    }

    /// What an await of the next item waits for.
    fn awaiting(&self) -> Awaiting {
        let number = self.future.get().cell.message(|message| match message {
            Message::Relayed(relayed) => Some(relayed.number()),
            _ => None,
        });
        match number.flatten() {
            Some(number) => Awaiting::Relayed(Awaited::Item(number), Unending::Await),
            None => Awaiting::Here(Arc::clone(&self.shared.tally.node), Unending::Await),
        }
    }

    /// Takes the next item; waits for one until `deadline`.
    fn take(&self, py: Python<'_>, deadline: Option<Instant>) -> PyResult<Option<Py<PyAny>>> {
        loop {
            let latch = Arc::<Latch>::default();
            let waiter = Arc::clone(&latch) as Arc<dyn Wake>;
            match self.try_take(py, || Some(Arc::clone(&waiter)))? {
                Taken::Item(object) => return Ok(Some(object)),
                Taken::End => return Ok(None),
                Taken::Nothing => {}
            }
            let tally = &self.shared.tally;
            let wait = |until| self.wait_for_item(py, &latch, until);
            let woken = wait_for_actor(
                &tally.node,
                || Arc::clone(&latch) as _,
                deadline,
                Unending::Answer,
                |deadline| wait_unless_stuck(&latch, tally, deadline, wait),
            );
            if !matches!(woken, Ok(true)) {
                self.shared.items.leave(&waiter);
            }
            if !woken? {
                // One may have come at the last moment.
                return match self.try_take(py, || None)? {
                    Taken::Item(object) => Ok(Some(object)),
                    Taken::End => Ok(None),
                    Taken::Nothing => {
                        let error = imports::timeout_error(py)?.clone();
                        Err(PyErr::from_type(error, ()))
                    }
                };
            }
        }
    }
}

/// What a taker found.
enum Taken {
    Item(Py<PyAny>),
    Nothing,
    End,
}

#[pymethods]
impl StreamCore {
    #[new]
    fn of_nothing() -> Self {
        Self {
            stream: OnceCell::new(),
        }
    }

    /// The future of what the generator returns or raises.
    ///
    /// It is cancelled if the stream was closed before that.
    #[getter]
    fn future(&self, py: Python<'_>) -> PyResult<Py<FutureCore>> {
        let held = self.stream.get();
        held.map(|held| held.future.clone_ref(py))
            .ok_or_else(|| PyRuntimeError::new_err("this stream is of no actor"))
    }

    /// Return the next item, and wait for it at most `timeout` seconds.
    ///
    /// Raises `TimeoutError` when they have passed, and `StopIteration` at the end. What the
    /// generator has raised is raised once, before that.
    #[pyo3(signature = (timeout=None))]
    fn next(&self, py: Python<'_>, timeout: Option<Seconds>) -> PyResult<Py<PyAny>> {
        let deadline = wait::deadline(timeout)?;
        let taken = self.held()?.take(py, deadline)?;
        taken.ok_or_else(|| PyStopIteration::new_err(()))
    }

    /// End the generator at its next `yield`, and free the items that were not taken.
    ///
    /// `GeneratorExit` is raised there, so that its `finally` blocks run. Never waits. A generator
    /// that has not begun never begins. The end of a `with` block does this, too, and so does
    /// dropping the stream.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.held()?.shared.close(py);
        Ok(())
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.held()?.take(py, None)
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    /// For `async for`: return `(item,)`, a future of a change, or None at the end.
    fn _take<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        drop(need_event_loop(py)?);
        let held = self.held()?;
        // The first look finds an item without a future to make.
        let mut taken = held.try_take(py, || None)?;
        let mut future = None;
        if matches!(taken, Taken::Nothing) {
            future::resume_io_thread(py, &held.future.get().cell);
            let (made, cell) = future::new_future(py)?;
            // A posted cell keeps its future alive for the callbacks.
            cell.post(Message::Awaiting(held.awaiting()));
            taken = held.try_take(py, || Some(Arc::new(WakesFuture(cell)) as _))?;
            future = Some(made);
        }
        Ok(match taken {
            Taken::Item(object) => Some((object,).into_pyobject(py)?.into_any()),
            Taken::Nothing => future,
            Taken::End => None,
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

    fn __reduce_ex__(&self, _protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        let name = &self.held()?.shared.name;
        Err(PyTypeError::new_err(format!(
            "cannot pickle or copy a stream of actor {name}: it belongs to the process that made it; \
             send its items instead, or send a reference to the actor, whose stream() makes another"
        )))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self.stream.get() {
            Some(held) => visit.call(&held.future),
            None => Ok(()),
        }
    }
}
