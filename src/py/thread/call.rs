//! What a message asks the object to do, and the object's own methods that are called for no message.

use std::sync::Arc;

use once_cell::sync::OnceCell;
use pyo3::intern;
use pyo3::prelude::*;

use crate::engine::latch::Latch;
use crate::engine::room::Wake;
use crate::engine::stream::Space;
use crate::py::answer;
use crate::py::answer::Called;
use crate::py::current;
use crate::py::host::host::Host;
use crate::py::interpreter::rest;
use crate::py::interpreter::wait::wait_for;
use crate::py::message::items::Items;
use crate::py::message::request::{Call, Sender, Wants};
use crate::py::stream;
use crate::py::stream::run::{Ended, Sink};

/// Calls the object's `on_start`, if it has one.
pub(in crate::py) fn on_start(actor: &Bound<'_, PyAny>) -> PyResult<()> {
    // Executors also accept classes that do not extend `Actor`, which may lack it.
    match actor.getattr_opt(intern!(actor.py(), "on_start"))? {
        Some(on_start) => on_start.call0().map(drop),
        None => Ok(()),
    }
}

/// Calls the object's `on_stop`, if it has one.
pub(in crate::py) fn on_stop(actor: &Bound<'_, PyAny>) -> PyResult<()> {
    match actor.getattr_opt(intern!(actor.py(), "on_stop"))? {
        Some(on_stop) => on_stop.call0().map(drop),
        None => Ok(()),
    }
}

/// Handles a message: calls what it asks for, and runs the generator if it is a stream.
pub(super) fn handle<'py>(
    actor: &Bound<'py, PyAny>,
    host: &Host,
    asked: Call,
    wants: &Wants,
    sender: Sender,
) -> Ended<'py> {
    let name = &*host.name;
    let Wants::Items(items) = wants else {
        return Ended::By(call(actor, asked, |called, answer| {
            answer::check(name, called, answer)
        }));
    };
    current::close_on_request(items);
    let generator = call(actor, asked, |called, answer| {
        stream::run::check(name, called, answer)
    });
    match generator {
        Ok(generator) => {
            let mut sink = Local {
                host,
                items,
                sender,
            };
            stream::run::run(name, &generator, &mut sink)
        }
        Err(error) => Ended::By(Err(error)),
    }
}

/// Calls what a message asks for, and has `check` look at the answer.
fn call<'py, T>(
    actor: &Bound<'py, PyAny>,
    call: Call,
    check: impl FnOnce(&Called<'_, 'py>, Bound<'py, PyAny>) -> PyResult<T>,
) -> PyResult<T> {
    let py = actor.py();
    match call {
        Call::Handle(object) => {
            let answer = actor.call_method1(intern!(py, "handle"), (object.into_bound(py),))?;
            check(&Called::Handle, answer)
        }
        Call::Function(function, args, kwargs) => {
            let kwargs = kwargs.map(|kwargs| kwargs.into_bound(py));
            let function = function.into_bound(py);
            let answer = function.call(args.into_bound(py), kwargs.as_ref())?;
            check(&Called::Function, answer)
        }
        Call::Method(method, args, kwargs) => {
            let kwargs = kwargs.map(|kwargs| kwargs.into_bound(py));
            let method = method.bind(py);
            let answer = actor.call_method(method, args.into_bound(py), kwargs.as_ref())?;
            check(&Called::Method(method), answer)
        }
    }
}

/// The items of a stream go to takers in this process, or to a relay.
struct Local<'a> {
    host: &'a Host,
    items: &'a Items,
    sender: Sender,
}

impl<'py> Sink<'py> for Local<'_> {
    fn wait_for_room(&mut self, py: Python<'py>) -> PyResult<bool> {
        loop {
            let latch = OnceCell::<Arc<Latch>>::new();
            let waiter = || Arc::clone(latch.get_or_init(Arc::default)) as Arc<dyn Wake>;
            match (self.items.space(waiter), latch.get()) {
                (Space::Free, _) => return Ok(true),
                (Space::Closed, _) => return Ok(false),
                (Space::Full, latch) => {
                    if let Some(latch) = latch {
                        rest::comes_to_rest();
                        wait_for(py, latch, None)?;
                    }
                }
            }
        }
    }

    fn put(&mut self, item: Bound<'py, PyAny>) -> PyResult<()> {
        self.host.put_item(self.items, self.sender, item)
    }
}
