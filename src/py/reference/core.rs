//! `RefCore`: what Python sees of a reference to an actor, wherever the actor is.

use once_cell::sync::OnceCell;
use pyo3::exceptions::{PyNotImplementedError, PyTypeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyInt, PyString, PyTuple, PyType};

use super::target::{Entry, Target};
use crate::engine::holding::Holder;
use crate::py::codec::actors;
use crate::py::codec::actors::{Described, Description, Receiver};
use crate::py::host::seat::RoomSeat;
use crate::py::interpreter::daemon_threads::{outlast, outlasting};
use crate::py::interpreter::wait::Seconds;
use crate::py::interpreter::{imports, wait};
use crate::py::message::request::Asked;

/// The core of a reference to an actor.
#[pyclass(subclass, frozen, name = "ActorRef", module = "futures_actors._core")]
pub(in crate::py) struct RefCore {
    /// `None` in an instance that the user made of a base class.
    actor: OnceCell<Referred>,
}

struct Referred {
    target: Box<dyn Target>,
    /// The actor's class. It is not in the host, which a running thread keeps alive. So a class that
    /// holds the executor of its own actor can be garbage-collected with it.
    class: Py<PyType>,
}

impl RefCore {
    pub(in crate::py) fn new(class: Bound<'_, PyType>, target: impl Target + 'static) -> Self {
        let target = Box::new(target);
        let class = class.unbind();
        Self {
            actor: OnceCell::with_value(Referred { target, class }),
        }
    }

    /// Makes a reference to `target`, whose class is `class`; `kind` is `ActorRef` or extends it.
    pub(in crate::py) fn make<'py>(
        kind: &Bound<'py, PyType>,
        class: &Bound<'py, PyType>,
        target: Box<dyn Target>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let reference = kind.call0()?;
        let class = class.clone().unbind();
        // It is new, so `set` cannot fail.
        _ = reference
            .cast::<Self>()?
            .get()
            .actor
            .set(Referred { target, class });
        Ok(reference)
    }

    /// Makes an `ActorRef` to `target`, or a `PoolRef` if that is a pool.
    pub(in crate::py) fn to<'py>(
        class: &Bound<'py, PyType>,
        target: Box<dyn Target>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = class.py();
        let description = target.describe();
        let is_pool = description.size > 0 && description.index().is_none();
        let kind = if is_pool {
            imports::pool_ref(py)?
        } else {
            imports::actor_ref(py)?
        };
        Self::make(kind, class, target)
    }

    /// The actor; an error in an instance that the user made of a base class.
    fn actor(&self) -> PyResult<&Referred> {
        self.actor.get().ok_or_else(|| {
            PyNotImplementedError::new_err("use ProcessActorExecutor or ThreadActorExecutor")
        })
    }

    pub(in crate::py) fn target(&self) -> PyResult<&dyn Target> {
        Ok(&*self.actor()?.target)
    }

    pub(in crate::py) fn class<'a, 'py>(
        &'a self,
        py: Python<'py>,
    ) -> PyResult<&'a Bound<'py, PyType>> {
        Ok(self.actor()?.class.bind(py))
    }
}

/// How many items a stream may be ahead.
struct Ahead(usize);

impl Ahead {
    const DEFAULT: Self = Self(16);
}

impl<'py> FromPyObject<'_, 'py> for Ahead {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        // It may have a `__le__` of its own.
        outlast();
        if !value.is_instance_of::<PyInt>() || value.is_instance_of::<PyBool>() {
            let kind = value.get_type();
            return Err(PyTypeError::new_err(format!(
                "ahead must be an int, the number of items, not {}",
                kind.name()?
            )));
        }
        if value.le(0)? {
            return Err(PyValueError::new_err(format!(
                "ahead must be at least 1 item, not {}",
                value.str()?
            )));
        }
        // So many never wait to be taken.
        Ok(Self(value.extract::<u32>().unwrap_or(u32::MAX) as usize))
    }
}

#[pymethods]
impl RefCore {
    #[new]
    pub(in crate::py) fn of_nothing() -> Self {
        Self {
            actor: OnceCell::new(),
        }
    }

    /// Send a message to the actor and return the future of its answer.
    ///
    /// Messages from one thread are handled in the order in which they were posted. With option
    /// `mailbox_size`, this waits while that many messages have not begun; it raises `MailboxFull`
    /// if that takes more than `timeout` seconds, and at once in the actor's own thread. Where an
    /// event loop runs, the future waits for room instead, and fails with `MailboxFull`. Raises
    /// `RuntimeError` after `shutdown`, and `BrokenActor` if the actor could not start or has died.
    #[pyo3(signature = (message, *, timeout=None))]
    fn post<'py>(
        &self,
        message: &Bound<'py, PyAny>,
        timeout: Option<Seconds>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let deadline = wait::deadline(timeout)?;
        self.target()?.ask(Asked::Handle(message), deadline)
    }

    /// Send a message without a future: its answer is dropped, and it cannot be cancelled.
    ///
    /// It is handled in mailbox order. What `handle` raises is logged with its traceback on logger
    /// `futures_actors`, and counted. This waits for room and raises as `post` does, and also
    /// raises what pickling raises. Where an event loop runs, it blocks the loop. A message that
    /// was accepted and is lost because the actor died is logged.
    #[pyo3(signature = (message, *, timeout=None))]
    fn tell(&self, message: &Bound<'_, PyAny>, timeout: Option<Seconds>) -> PyResult<()> {
        let deadline = wait::deadline(timeout)?;
        self.target()?.tell(Asked::Handle(message), deadline)
    }

    /// Send a message whose handler yields, and return a stream of what it yields.
    ///
    /// The stream is an iterator, and an async iterator. The handler is a generator function. It
    /// runs in the actor, begins when its turn comes, and is never further ahead of the code that
    /// iterates than `ahead` items. Use it in a `with` block, whose end ends the generator. This
    /// waits for room and raises as `post` does; `timeout` is for that.
    #[pyo3(
        signature = (message, *, ahead=Ahead::DEFAULT, timeout=None),
        text_signature = "($self, message, *, ahead=16, timeout=None)"
    )]
    fn stream<'py>(
        &self,
        message: &Bound<'py, PyAny>,
        ahead: Ahead,
        timeout: Option<Seconds>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let deadline = wait::deadline(timeout)?;
        let asked = Asked::Handle(message);
        self.target()?.stream(asked, ahead.0, deadline)
    }

    /// For `apost`: post a message if that needs no waiting for room; return None if not.
    fn _try_post<'py>(&self, message: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.target()?.try_ask(Asked::Handle(message))
    }

    /// For `atell`: send a message if that needs no waiting for room; return whether it did.
    fn _try_tell(&self, message: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.target()?.try_tell(Asked::Handle(message))
    }

    /// For `apost`, `atell` and `imap`: queue for room, and return the seat in that queue.
    ///
    /// With `blocks`, this thread blocks until the seat's future is done.
    #[pyo3(signature = (*, blocks=false))]
    fn _wait_for_room(&self, py: Python<'_>, blocks: bool) -> PyResult<RoomSeat> {
        let seat = self.target()?.wait_for_room(py)?;
        if blocks {
            seat.overtake();
        } else {
            seat.enlist();
        }
        Ok(seat)
    }

    /// For `apost`: post a message into the place that `seat` was granted.
    ///
    /// Returns None if it has none: then its future is another one.
    fn _post_into_room<'py>(
        &self,
        seat: &Bound<'py, RoomSeat>,
        message: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(place) = seat.get().place() else {
            return Ok(None);
        };
        let posted = self.target()?.ask_into_room(Asked::Handle(message), place);
        posted.map(Some)
    }

    /// For `atell`: send a message into the place that `seat` was granted.
    ///
    /// Returns False if it has none: then its future is another one.
    fn _tell_into_room(
        &self,
        seat: &Bound<'_, RoomSeat>,
        message: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        let Some(place) = seat.get().place() else {
            return Ok(false);
        };
        let told = self.target()?.tell_into_room(Asked::Handle(message), place);
        told.map(|()| true)
    }

    /// Run `fn(*args, **kwargs)` in the actor's thread or process, in mailbox order.
    ///
    /// Returns the future of its result. Waits and raises as `post` does.
    #[pyo3(signature = (r#fn, /, *args, **kwargs))]
    fn submit<'py>(
        &self,
        r#fn: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.target()?.ask(Asked::Call(r#fn, args, kwargs), None)
    }

    /// Return an object whose method calls are messages: `proxy.name(...)` returns a future.
    ///
    /// A call runs the actor's method of that name, in mailbox order. This is for classes that have
    /// no `handle`. A name that starts with "_" or is no method of the actor's class raises
    /// `AttributeError`. Annotate the proxy with a protocol to have calls type-checked.
    fn proxy<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        outlasting(imports::proxy(py)?, (slf, slf.get().class(py)?), None)
    }

    /// For proxies: call the actor's method `name`, in mailbox order, and return the future.
    #[pyo3(signature = (name, /, *args, **kwargs))]
    fn _call_method<'py>(
        &self,
        name: &Bound<'py, PyString>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.target()?.ask(Asked::Method(name, args, kwargs), None)
    }

    /// Return an object whose method calls are streams: `proxy.name(...)` returns one.
    ///
    /// It is for methods that yield, as `proxy()` is for others. `ahead` is that of `stream`.
    #[pyo3(signature = (ahead=Ahead::DEFAULT), text_signature = "($self, ahead=16)")]
    fn stream_proxy<'py>(slf: &Bound<'py, Self>, ahead: Ahead) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let proxy = imports::stream_proxy(py)?;
        outlasting(proxy, (slf, slf.get().class(py)?, ahead.0), None)
    }

    /// For stream proxies: call the method `name`, and return the stream of what it yields.
    #[pyo3(signature = (ahead, name, /, *args, **kwargs))]
    fn _stream_method<'py>(
        &self,
        ahead: usize,
        name: &Bound<'py, PyString>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let asked = Asked::Method(name, args, kwargs);
        self.target()?.stream(asked, ahead, None)
    }

    /// Return whether the actor accepts messages at this moment; it may end in the next.
    fn is_alive(&self) -> PyResult<bool> {
        Ok(self.target()?.is_alive())
    }

    /// For `name`: return the actor's name.
    fn _name(&self) -> PyResult<&str> {
        Ok(self.target()?.name())
    }

    /// For `index`: return the member's index in its pool, if it is in one.
    fn _index(&self) -> PyResult<Option<usize>> {
        Ok(self.target()?.describe().index())
    }

    /// For `pool`: return a reference to the pool of a member.
    fn _pool<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Referred { target, class } = self.actor()?;
        let pool = target.pool();
        pool.map(|pool| Self::to(class.bind(py), pool)).transpose()
    }

    /// For references of an actor to itself: whether this is one, of actor `number`.
    fn _is_own(&self, number: u64) -> bool {
        let actor = self.actor.get();
        actor.is_some_and(|Referred { target, .. }| {
            target.holder() == Holder::Itself && target.id() == number
        })
    }

    /// Two references are equal if they refer to the same actor; an executor is a reference, too.
    fn __eq__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let Ok(other) = other.cast::<Self>() else {
            return Ok(py.NotImplemented());
        };
        let equal = match (slf.get().actor.get(), other.get().actor.get()) {
            (Some(one), Some(other)) => one.target.id() == other.target.id(),
            _ => slf.is(other),
        };
        Ok(equal.into_pyobject(py)?.to_owned().into_any().unbind())
    }

    fn __hash__(slf: &Bound<'_, Self>) -> u64 {
        match slf.get().actor.get() {
            Some(actor) => actor.target.id(),
            None => slf.as_ptr().addr() as u64 >> 4,
        }
    }

    /// Return the reference itself.
    fn __copy__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    /// Return the reference itself.
    fn __deepcopy__<'py>(slf: Bound<'py, Self>, _memo: &Bound<'py, PyAny>) -> Bound<'py, Self> {
        slf
    }

    /// In a packet a reference is a number, and the actor is listed beside the pickle.
    fn __reduce_ex__<'py>(
        slf: &Bound<'py, Self>,
        _protocol: &Bound<'py, PyAny>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let py = slf.py();
        let target = slf.get().target()?;
        let name = target.name();
        let Some(receiver) = actors::receiver() else {
            return Err(PyTypeError::new_err(format!(
                "cannot pickle a reference to actor {name}, which belongs to this process: it can only be \
                 sent to thread and process actors, in a message, an answer or a constructor argument; \
                 to a Ray actor, send a handle of Ray's"
            )));
        };
        let Some(entry) = target.entry(receiver) else {
            return Err(imports::LevelError::new_err(match receiver {
                Receiver::Child => format!(
                    "a reference to actor {name} cannot go to an actor that this process has \
                     started: only the process that started {name}, and the actors which that \
                     process started, can refer to it. Start the other actor there, too, or let an \
                     actor of this process post its messages to {name}"
                ),
                Receiver::Parent => format!(
                    "a reference to actor {name} cannot leave this process, which started it: only \
                     this process, and the actors which it started, can refer to it. Start {name} \
                     where the receiver was started, or let an actor of this process post messages \
                     to {name}"
                ),
            }));
        };
        let class = outlasting(imports::describe_class(py)?, (slf.get().class(py)?,), None)?;
        let args = (target.describe().described(), class).into_pyobject(py)?;
        actors::list(entry);
        Ok((imports::load_reference(py)?.clone(), args))
    }

    #[classmethod]
    #[pyo3(signature = (item, /))]
    fn __class_getitem__<'py>(
        cls: &Bound<'py, PyType>,
        item: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        outlasting(imports::generic_alias(cls.py())?, (cls, item), None)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let kind = slf.get_type();
        let kind = kind.name()?;
        let Some(Referred { target, class }) = slf.get().actor.get() else {
            return Ok(format!("<{kind} of no actor>"));
        };
        let class = class.bind(slf.py()).name()?;
        Ok(match target.name() {
            name if class == name => format!("<{kind} of {class}>"),
            name => format!("<{kind} of {class} {name:?}>"),
        })
    }

    /// There is no `__clear__`, because every cycle through a reference also contains a class or an
    /// exception, which can be cleared.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Some(actor) = self.actor.get() else {
            return Ok(());
        };
        visit.call(&actor.class)?;
        actor.target.traverse(&visit)
    }
}

/// Make the reference that was packed as this number, in a body that is being loaded.
#[pyfunction]
#[pyo3(signature = (described, class_, /))]
pub(in crate::py) fn load_reference<'py>(
    described: Described,
    class_: &Bound<'py, PyType>,
) -> PyResult<Bound<'py, PyAny>> {
    let description = Description::of(described);
    let hold = actors::find(description.number);
    let Some(listed) = hold.as_ref().and_then(Entry::in_hold) else {
        return Err(PyTypeError::new_err(format!(
            "a reference to actor {} can only be loaded by the actor that it was sent to",
            description.name()
        )));
    };
    RefCore::to(class_, listed.target(description))
}
