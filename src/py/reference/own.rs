//! The reference of an actor to itself, which `current_actor()` returns. It does not keep the actor
//! alive as long as only the actor has it.
//!
//! Nothing tells whether a Python object is held by the actor or by others. So once no other reference
//! is left, the actor's thread looks before it waits for messages: if it finds every reference to
//! itself inside the actor's object, the actor ends. It is woken to look when one is dropped.

use std::cell::RefCell;
use std::sync::Arc;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyType;

use super::core::RefCore;
use super::hold::Hold;
use super::target::Target;
use crate::engine::holding::{Holder, Left};
use crate::py::future::callbacks;
use crate::py::host::host::Host;
use crate::py::interpreter::imports;
use crate::py::interpreter::wait::keep;

/// An actor whose code runs in this thread.
pub(in crate::py) trait Itself: Send + Sync {
    /// What its reference to itself refers to.
    fn target(&self) -> Box<dyn Target>;
}

impl Itself for Arc<Host> {
    fn target(&self) -> Box<dyn Target> {
        Box::new(Hold::new(Self::clone(self), Holder::Itself))
    }
}

/// An actor, and its class.
type Actor = (Arc<dyn Itself>, Py<PyType>);

thread_local! {
    /// The actor whose code runs in this thread.
    static ACTOR: RefCell<Option<Actor>> = const { RefCell::new(None) };
}

/// From now on this thread runs the code of this actor.
pub(in crate::py) fn enter(actor: Arc<dyn Itself>, class: &Bound<'_, PyType>) {
    ACTOR.set(Some((actor, class.clone().unbind())));
}

/// This thread runs the code of no actor any more. Call it attached.
pub(in crate::py) fn leave() {
    drop(ACTOR.take());
}

/// Return a reference to the actor whose code runs in this thread.
///
/// It works in the constructor, `on_start`, `handle`, `on_stop` and methods of a thread or process
/// actor, and in functions given to its `submit`. Elsewhere it raises `RuntimeError`: in callbacks
/// of futures, and in threads that an actor has started. In a pool it is the member: `.index` is
/// its place in the pool, and `.pool` refers to the pool. An actor's reference to itself does not
/// keep it alive, but one that it has handed to others does.
#[pyfunction]
pub(in crate::py) fn current_actor(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let actor = ACTOR.with_borrow(|actor| {
        let (actor, class) = actor.as_ref()?;
        Some((Arc::clone(actor), class.clone_ref(py)))
    });
    match actor {
        Some((actor, class)) if !callbacks::run_here() => {
            RefCore::to(class.bind(py), actor.target())
        }
        _ => Err(PyRuntimeError::new_err(
            "no actor's code runs in this thread: call current_actor() in an actor's constructor, \
             handle, on_stop or methods, and hand what it returns to other code",
        )),
    }
}

/// Whether only the actor itself has references to it, all of them inside its object. The actor's
/// thread calls it when it has no message.
pub(in crate::py) fn is_known_to_itself_alone(host: &Host, actor: &Bound<'_, PyAny>) -> bool {
    let py = actor.py();
    let mut left = host.references.left();
    while let Left::Own(own) = left {
        let found = imports::holds_all(py)
            .and_then(|holds_all| holds_all.call1((actor, host.number(), own))?.extract());
        let found = found.unwrap_or_else(|error| {
            if let Some(error) = keep(error) {
                error.write_unraisable(py, None);
            }
            false
        });
        if found {
            return true;
        }
        // Nothing wakes this thread for a reference that it has dropped itself. Python may have freed
        // one in it during the look, by a garbage collection for example.
        let before = std::mem::replace(&mut left, host.references.left());
        if left == before {
            break;
        }
    }
    false
}
