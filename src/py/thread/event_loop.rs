//! Async thread actors: their messages come from the mailbox, and their answers go into cells.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;

use super::source;
use crate::engine::handoff::Awaited;
use crate::engine::mailbox::Take;
use crate::engine::room::Wake;
use crate::engine::stream::Space;
use crate::py::asynchronous::waker::Waker;
use crate::py::asynchronous::{Calls, Open, Outlet, Source, Taken, Ticket};
use crate::py::current::Running;
use crate::py::future::{ActorCell, settle};
use crate::py::host::host::Host;
use crate::py::host::streams::{RunningStream, RunningStreams};
use crate::py::interpreter::rest;
use crate::py::message::fault::{Fault, Stage, Started};
use crate::py::message::message::Message;
use crate::py::message::request::{Call, Sender, Wants};
use crate::py::reference::own;
use crate::py::stream::run::Ended;

pub(super) struct Messages {
    host: Arc<Host>,
    waker: Arc<Waker>,
    /// Used only by the loop's thread.
    source: Mutex<source::Source>,
    has_gil: bool,
    /// Whether a thread waited for an answer since the loop last had nothing to do. Relaxed: it is for
    /// the loop's thread.
    was_awaited: AtomicBool,
    /// Whether the last message came while it was waited for in that way. Relaxed likewise.
    is_brisk: AtomicBool,
    is_over: AtomicBool,
    streams: Arc<RunningStreams>,
}

impl Messages {
    pub(super) fn new(
        host: &Arc<Host>,
        waker: &Arc<Waker>,
        source: source::Source,
        streams: &Arc<RunningStreams>,
        has_gil: bool,
    ) -> Self {
        Self {
            has_gil,
            was_awaited: AtomicBool::new(false),
            is_brisk: AtomicBool::new(false),
            streams: Arc::clone(streams),
            host: Arc::clone(host),
            waker: Arc::clone(waker),
            source: Mutex::new(source),
            is_over: AtomicBool::new(false),
        }
    }
}

impl Messages {
    fn source(&self) -> MutexGuard<'_, source::Source> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For a loop that has no message: begins one that comes in a moment. If a thread has just got the
    /// answer for which it waited, it is likely to post the next one.
    fn take_soon(&self, py: Python<'_>, number: u64) -> Option<Taken> {
        // A message that begins when `terminate` has stopped the others would not be stopped.
        if !self.was_awaited.swap(false, Ordering::Relaxed) || self.host.force.get().is_some() {
            return None;
        }
        // `take_next` looks once more after this.
        self.waker.stay_awake();
        let cell = py.detach(|| {
            let source = self.source();
            source.wait_for_a_moment(&self.host, Awaited::Yes, self.has_gil)
        })?;
        let message = settle::begin(&cell)?;
        self.taken(cell, message, number)
    }

    /// Begins the next message, which gets this number, if there is one.
    fn take_next(&self, number: u64) -> Option<Taken> {
        loop {
            if self.host.force.get().is_some() && !self.host.mailbox.is_closed() {
                // `terminate` is about to fail what is in the mailbox, and then wakes the loop.
                self.waker.sleep();
                // Looked at once more: without a GIL it may just have done that.
                if !self.host.mailbox.is_closed() {
                    return None;
                }
            }
            let taken = self.source().try_take_or(&self.host, || self.waker.sleep());
            match taken {
                Take::Item(cell) => {
                    if let Some(message) = settle::begin(&cell) {
                        return self.taken(cell, message, number);
                    }
                }
                Take::Closed => {
                    self.is_over.store(true, Ordering::SeqCst);
                    return None;
                }
                Take::Empty => return None,
            }
        }
    }

    /// A message that has begun, and has this number.
    fn taken(&self, cell: Arc<ActorCell>, message: Message, number: u64) -> Option<Taken> {
        let wants = message.wants();
        let (open, sender): (Open, _) = match message {
            Message::Call(asked, _) => (Box::new(move |_| Ok(asked)), Sender::Here),
            Message::Received(kind, body, _) => {
                let open = move |py: Python<'_>| Call::of_object(kind, body.load(py)?);
                (Box::new(open), Sender::Elsewhere)
            }
            _ => return None,
        };
        let items = match &wants {
            Wants::Items(items) => Some(Arc::clone(items)),
            _ => None,
        };
        let (waker, closed) = (Arc::clone(&self.waker), items.clone());
        cell.on_request(move || {
            Python::attach(|py| {
                drop(closed.as_ref().map(|items| items.close()));
                waker.look(py, number);
            });
        });
        let outlet = items.map(|items| {
            let waker = Arc::clone(&self.waker);
            let looks = Arc::new(Looks { waker, number });
            Box::new(Local {
                host: Arc::clone(&self.host),
                stream: self.streams.enter(&cell, &items),
                sender,
                looks,
            }) as Box<dyn Outlet>
        });
        Some(Taken {
            open,
            current: Running::Here(Arc::clone(&cell)),
            ticket: Ticket::Cell(cell, wants, sender),
            outlet,
        })
    }
}

/// The items of a stream go to takers in this process, or to a relay.
struct Local {
    host: Arc<Host>,
    stream: Arc<RunningStream>,
    sender: Sender,
    looks: Arc<Looks>,
}

impl Outlet for Local {
    fn space(&self, _py: Python<'_>) -> PyResult<Space> {
        let items = &self.stream.items;
        let space = items.space(|| Arc::clone(&self.looks) as Arc<dyn Wake>);
        if space == Space::Full {
            rest::comes_to_rest();
        }
        Ok(space)
    }

    fn put(&self, item: Bound<'_, PyAny>) -> PyResult<()> {
        self.host.put_item(&self.stream.items, self.sender, item)
    }
}

/// Has the loop look at a message.
struct Looks {
    waker: Arc<Waker>,
    number: u64,
}

impl Wake for Looks {
    fn wake(&self) {
        Python::attach(|py| self.waker.look(py, self.number));
    }
}

impl Source for Messages {
    fn take(&self, py: Python<'_>, number: u64) -> PyResult<Option<Taken>> {
        let is_idle = self.waker.begin();
        let soon = is_idle.then(|| self.take_soon(py, number)).flatten();
        if is_idle {
            self.is_brisk.store(soon.is_some(), Ordering::Relaxed);
        }
        let taken = soon.or_else(|| self.take_next(number));
        if taken.is_none() {
            self.waker.end();
        }
        Ok(taken)
    }

    fn expects_more(&self) -> bool {
        self.is_brisk.load(Ordering::Relaxed) || self.source().is_worth_a_look(&self.host)
    }

    fn over(&self) -> Option<bool> {
        let is_over = self.is_over.load(Ordering::SeqCst);
        is_over.then(|| self.host.force.get().is_none())
    }

    fn fail(&self, py: Python<'_>, error: PyErr, stage: &str) -> PyResult<()> {
        let stage = match stage {
            "on_start" => Stage::OnStart,
            "loop_factory" => Stage::LoopFactory,
            _ => Stage::Constructor,
        };
        let error = Arc::new(error.into_value(py).into_any());
        // One that is ended by force while it starts may raise because of that.
        let fault = match self.host.force.get() {
            Some(force) => Fault::Forced(force),
            None => Fault::InitRaised(error, stage),
        };
        self.host.fail_attached(py, fault, Vec::new());
        py.detach(|| self.host.break_pool());
        Ok(())
    }

    fn end(&self, py: Python<'_>, ticket: Ticket, ended: Ended<'_>) -> PyResult<()> {
        if let Ticket::Cell(cell, wants, sender) = ticket {
            if Awaited::by(cell.done()) == Awaited::Yes {
                self.was_awaited.store(true, Ordering::Relaxed);
                // Then `take_soon` is about to release the GIL.
                let source = self.source();
                if self.waker.runs(1) && !source.is_shared() {
                    source.handoff(&self.host).set_busy(self.has_gil);
                }
            }
            let outcome = match ended {
                Ended::Closed => self.host.stopped(&cell),
                Ended::By(ended) => self.host.outcome(py, &cell, &wants, sender, ended),
            };
            settle::settle_attached(py, &cell, outcome);
        }
        self.waker.end();
        Ok(())
    }

    fn lose(&self, py: Python<'_>, ticket: Ticket) {
        if let Ticket::Cell(cell, ..) = ticket {
            let taken = vec![(cell, Started::Yes)];
            self.host.fail_attached(py, Fault::Panicked, taken);
        }
        self.waker.end();
    }

    fn show(&self, running: usize, since: u64) {
        self.host.tally.show(running, since);
    }

    fn is_unneeded(&self, actor: &Bound<'_, PyAny>) -> bool {
        let is_unneeded = own::is_known_to_itself_alone(&self.host, actor);
        if is_unneeded {
            self.host.close_mailbox();
        }
        is_unneeded
    }

    fn begin(&self, py: Python<'_>, stop: Py<PyAny>) {
        self.waker.stop_by(py, stop);
    }

    fn attach(&self, _py: Python<'_>, calls: Calls) -> PyResult<()> {
        self.waker.attach(calls);
        self.host.be_born();
        Ok(())
    }

    fn detach(&self) {
        self.waker.detach();
    }
}
