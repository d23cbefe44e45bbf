//! What the actor's thread does, from the constructor to the end.
//!
//! The thread stays attached to Python while it has work, gives way to other threads regularly, and
//! is detached while it waits. It keeps one Python thread state for its whole life, so thread-local
//! data lives as long as the actor.

use std::sync::{Arc, Mutex, PoisonError};

use once_cell::sync::OnceCell;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyTuple, PyType};

use super::call::{handle, on_start, on_stop};
use super::event_loop::Messages;
use super::source::Source;
use crate::engine::handoff::Awaited;
use crate::engine::holding::Left;
use crate::engine::ipc::frame::Kind;
use crate::engine::latch::Wait;
use crate::engine::mailbox::Take;
use crate::py::asynchronous;
use crate::py::asynchronous::waker::Waker;
use crate::py::codec::body::Body;
use crate::py::current;
use crate::py::current::Running;
use crate::py::future::{ActorCell, settle};
use crate::py::host::host::Host;
use crate::py::host::run::{Serve, leave};
use crate::py::host::streams::RunningStreams;
use crate::py::interpreter::imports;
use crate::py::interpreter::wait::Attached;
use crate::py::message::fault::{Fault, Stage, Started, log_failure};
use crate::py::message::message::Message;
use crate::py::message::outcome::Outcome;
use crate::py::message::request::{Call, Sender, Wants};
use crate::py::reference::own;
use crate::py::stream::run::Ended;

/// What the actor's thread does.
pub(super) struct Server {
    pub(super) ident: Arc<OnceCell<u64>>,
    pub(super) source: Source,
    /// Until the object is there.
    pub(super) constructor: Option<Constructor>,
    /// If the actor is async, until its loop runs.
    pub(super) on_loop: Option<OnLoop>,
    /// The message that it has begun on and that has not ended. While its handler runs, `current` has
    /// it.
    pub(super) begun: Option<Arc<ActorCell>>,
    /// The one that it has taken out of the mailbox to begin on when that has ended.
    pub(super) next: Option<Arc<ActorCell>>,
    pub(super) streams: Arc<RunningStreams>,
}

pub(super) struct Constructor {
    pub(super) class: Py<PyType>,
    pub(super) args: Py<PyTuple>,
    pub(super) kwargs: Option<Py<PyDict>>,
}

impl Constructor {
    /// Makes the object. Consumes the arguments, so that only the object can keep them alive.
    fn construct(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        let kwargs = self.kwargs.map(|kwargs| kwargs.into_bound(py));
        self.class.bind(py).call(self.args, kwargs.as_ref())
    }
}

/// How to run an async actor.
pub(super) struct OnLoop {
    pub(super) waker: Arc<Waker>,
    pub(super) max_concurrency: usize,
    pub(super) loop_factory: Option<Py<PyAny>>,
}

impl OnLoop {
    fn run(
        self,
        py: Python<'_>,
        host: &Arc<Host>,
        constructor: Constructor,
        source: Source,
        streams: &Arc<RunningStreams>,
    ) -> PyResult<()> {
        let has_gil = imports::has_gil(py);
        let messages = Messages::new(host, &self.waker, source, streams, has_gil);
        let constructor = Mutex::new(Some(constructor));
        let construct = PyCFunction::new_closure(py, None, None, move |args, _| {
            let constructor = constructor
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            let constructor = constructor
                .ok_or_else(|| PyRuntimeError::new_err("the object has been constructed"))?;
            constructor.construct(args.py()).map(Bound::unbind)
        })?;
        let loop_factory = self.loop_factory.map(|factory| factory.into_bound(py));
        asynchronous::core::run(
            py,
            &host.name,
            Arc::new(messages),
            construct.as_any(),
            self.max_concurrency,
            loop_factory,
        )
    }
}

impl Serve for Server {
    fn serve(&mut self, host: &Arc<Host>) {
        Python::attach(|py| self.run(py, host));
    }

    fn abandon(&mut self, host: &Arc<Host>) {
        host.tally.idle();
        self.take_back();
        let begun = self.begun.take().map(|cell| (cell, Started::Yes));
        let next = self.next.take().map(|cell| (cell, Started::No));
        host.fail_by_panic(begun.into_iter().chain(next).collect());
        Python::attach(|py| {
            self.constructor = None;
            own::leave();
            leave(py);
        });
    }
}

impl Server {
    fn run(&mut self, py: Python<'_>, host: &Arc<Host>) {
        let entered =
            imports::thread_enter(py).and_then(|enter| enter.call1((&host.name,))?.extract());
        match entered {
            // Only this thread sets it, so `set` cannot fail.
            Ok(number) => _ = self.ident.set(number),
            Err(error) => error.write_unraisable(py, None),
        }
        let Some(constructor) = self.constructor.take() else {
            return;
        };
        own::enter(Arc::new(Arc::clone(host)), constructor.class.bind(py));
        if let Some(on_loop) = self.on_loop.take() {
            let source = std::mem::replace(&mut self.source, Source::Alone);
            if let Err(error) = on_loop.run(py, host, constructor, source, &self.streams) {
                let error = Arc::new(error.into_value(py).into_any());
                let fault = Fault::InitRaised(error, Stage::Constructor);
                host.fail_attached(py, fault, Vec::new());
                py.detach(|| host.break_pool());
            }
            own::leave();
            return leave(py);
        }
        let made = constructor.construct(py);
        let started = made.map_err(|error| (error, Stage::Constructor));
        let started = started.and_then(|actor| match on_start(&actor) {
            Ok(()) => Ok(actor),
            Err(error) => Err((error, Stage::OnStart)),
        });
        match started {
            Ok(actor) => {
                wait_for_pool(py, host);
                self.handle_all(&actor, host);
                if host.force.get().is_none()
                    && let Err(error) = on_stop(&actor)
                {
                    log_failure(py, &host.name, "on_stop", error);
                }
            }
            Err((error, stage)) => {
                let error = error.into_value(py).into_any();
                let fault = Fault::InitRaised(Arc::new(error), stage);
                host.fail_attached(py, fault, Vec::new());
                py.detach(|| host.break_pool());
            }
        }
        own::leave();
        leave(py);
    }

    fn handle_all(&mut self, actor: &Bound<'_, PyAny>, host: &Host) {
        let py = actor.py();
        let has_gil = imports::has_gil(py);
        let mut attached = Attached::begin();
        let mut given: Option<Outcome> = None;
        // Since it last waited: whether a thread waited for one of its answers.
        let mut awaited = Awaited::No;
        loop {
            let mut taken = match &self.begun {
                // Its callbacks may take long. Meanwhile others in the pool can have the next message.
                Some(before) if self.source.is_shared() && before.needs_python() => Take::Empty,
                _ => {
                    let taken = self.source.try_take(host);
                    self.keep(taken)
                }
            };
            if let (Some(outcome), Some(before)) = (given.take(), &self.begun) {
                // Before it waits, it may have to look at its references, attached.
                let waits = matches!(taken, Take::Empty) && host.references.left() == Left::Others;
                if waits && !before.needs_python() {
                    let message = py.detach(|| {
                        self.source.ended(has_gil, attached.now());
                        self.source.handoff(host).set_busy(false);
                        let awaited = awaited.or(self.settle_detached(outcome));
                        self.source.wait(host, awaited, has_gil)
                    });
                    awaited = Awaited::No;
                    attached = Attached::begin();
                    taken = self.keep(message.map_or(Take::Closed, Take::Item));
                } else {
                    awaited = awaited.or(Awaited::by(before.done()));
                    self.source.handoff(host).set_busy(has_gil);
                    settle::settle_attached(py, before, outcome);
                    self.source.ended(has_gil, attached.now());
                    self.begun = None;
                }
            }
            match taken {
                Take::Item(()) => attached.give_way(py),
                Take::Closed => return,
                Take::Empty => {
                    if own::is_known_to_itself_alone(host, actor) {
                        host.close_mailbox();
                        continue;
                    }
                    self.next = py.detach(|| {
                        self.source.handoff(host).set_busy(false);
                        self.source.wait(host, awaited, has_gil)
                    });
                    awaited = Awaited::No;
                    attached = Attached::begin();
                }
            }
            self.begun = self.next.take();
            let Some(cell) = &self.begun else { return };
            let (asked, wants, sender) = match settle::begin(cell) {
                Some(Message::Call(asked, wants)) => (Ok(asked), wants, Sender::Here),
                Some(Message::Received(kind, body, items)) => {
                    let wants = Wants::of(kind.is_told(), items);
                    (load(py, kind, *body), wants, Sender::Elsewhere)
                }
                _ => {
                    self.begun = None;
                    continue;
                }
            };
            host.tally.begin(attached.now());
            let stream = match &wants {
                Wants::Items(items) => Some(self.streams.enter(cell, items)),
                _ => None,
            };
            if let Some(cell) = self.begun.take() {
                current::begin(Running::Here(cell));
            }
            // The message is gone before its future ends, and the answer goes with it.
            let ended = match asked {
                Ok(asked) => handle(actor, host, asked, &wants, sender),
                Err(error) => Ended::By(Err(error)),
            };
            drop(stream);
            self.take_back();
            host.tally.idle();
            let Some(cell) = &self.begun else { return };
            given = Some(match ended {
                Ended::By(ended) => host.outcome(py, cell, &wants, sender, ended),
                Ended::Closed => host.stopped(cell),
            });
        }
    }

    /// Takes back the message that has run in this thread, which was in `current` meanwhile.
    fn take_back(&mut self) {
        if let Some(Running::Here(cell)) = current::end() {
            self.begun = Some(cell);
        }
    }

    fn keep(&mut self, taken: Take<Arc<ActorCell>>) -> Take<()> {
        match taken {
            Take::Item(cell) => {
                self.next = Some(cell);
                Take::Item(())
            }
            Take::Empty => Take::Empty,
            Take::Closed => Take::Closed,
        }
    }

    /// Settles the current message, detached. A moment ago its cell needed no Python. Says whether a
    /// thread waited for that.
    ///
    /// The actor first looks for another message. Only if there is none it detaches, and then settles
    /// this one, so that a waiting caller finds the GIL free and need not sleep for it. The next
    /// message begins only after this.
    fn settle_detached(&mut self, outcome: Outcome) -> Awaited {
        let Some(cell) = &self.begun else {
            return Awaited::No;
        };
        let awaited = Awaited::by(cell.done());
        settle::settle(cell, outcome);
        // If the future is gone, the answer is dropped here, attached. Otherwise it is dropped with
        // the future, by a thread that is attached.
        if Arc::strong_count(cell) == 1 {
            Python::attach(|_| self.begun = None);
        }
        self.begun = None;
        awaited
    }
}

/// Returns when every other member of the pool has been constructed, too.
fn wait_for_pool(py: Python<'_>, host: &Host) {
    host.be_born();
    if let Some(place) = host.place.get() {
        py.detach(|| while place.team.opened.wait(None) != Wait::Set {});
    }
}

/// Loads a message from another process. What carried it is dropped before the call.
fn load(py: Python<'_>, kind: Kind, body: Body) -> PyResult<Call> {
    Call::of_object(kind, body.load(py)?)
}
