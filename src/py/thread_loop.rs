//! Async thread actors: their messages come from the mailbox, and their answers go into cells.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;

use super::asynchronous::message::no_streams;
use super::asynchronous::waker::Waker;
use super::asynchronous::{Source, Taken, Ticket};
use super::future::settle;
use super::interpreter::lifecycle;
use super::message::fault::{Fault, Stage, Started};
use super::message::message::Message;
use super::message::request::Wants;
use super::reference::own;
use crate::engine::mailbox::Take;
use crate::py::host::host::Host;

pub(super) struct Messages {
    host: Arc<Host>,
    waker: Arc<Waker>,
    is_over: AtomicBool,
}

impl Messages {
    pub(super) fn new(host: &Arc<Host>, waker: &Arc<Waker>) -> Self {
        Self {
            host: Arc::clone(host),
            waker: Arc::clone(waker),
            is_over: AtomicBool::new(false),
        }
    }
}

impl Source for Messages {
    fn take(&self, _py: Python<'_>) -> PyResult<Option<Taken>> {
        let mut is_asleep = false;
        loop {
            if self.host.force.get().is_some() && !self.host.mailbox.is_closed() {
                // `terminate` is about to fail what is in the mailbox, and then wakes the loop.
                self.waker.sleep();
                return Ok(None);
            }
            match self.host.mailbox.try_take() {
                Take::Item(cell) => {
                    if let Some(Message::Call(asked, wants)) = settle::begin(&cell) {
                        let is_stream = matches!(wants, Wants::Items(_));
                        return Ok(Some(Taken {
                            open: Box::new(move |_| {
                                if is_stream {
                                    Err(no_streams())
                                } else {
                                    Ok(asked)
                                }
                            }),
                            ticket: Ticket::Cell(cell, wants),
                        }));
                    }
                }
                Take::Closed => {
                    self.is_over.store(true, Ordering::SeqCst);
                    return Ok(None);
                }
                Take::Empty if is_asleep => return Ok(None),
                Take::Empty => {
                    self.waker.sleep();
                    is_asleep = true;
                }
            }
        }
    }

    fn over(&self) -> Option<bool> {
        let is_over = self.is_over.load(Ordering::SeqCst);
        is_over.then(|| self.host.force.get().is_none())
    }

    fn fail(&self, py: Python<'_>, error: PyErr, stage: &str) -> PyResult<()> {
        let stage = match stage {
            "on_start" => Stage::OnStart,
            _ => Stage::Constructor,
        };
        let error = Arc::new(error.into_value(py).into_any());
        self.host
            .fail_attached(py, Fault::InitRaised(error, stage), Vec::new());
        Ok(())
    }

    fn end(
        &self,
        py: Python<'_>,
        ticket: Ticket,
        ended: PyResult<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        if let Ticket::Cell(cell, wants) = ticket {
            self.host.finish(py, &cell, &wants, ended);
        }
        Ok(())
    }

    fn lose(&self, py: Python<'_>, ticket: Ticket) {
        if let Ticket::Cell(cell, _) = ticket {
            let taken = vec![(cell, Started::Yes)];
            self.host.fail_attached(py, Fault::Panicked, taken);
        }
    }

    fn show(&self, running: usize, since: u64) {
        self.host.tally.show(running, since);
        if running == 0 {
            lifecycle::comes_to_rest();
        }
    }

    fn is_unneeded(&self, actor: &Bound<'_, PyAny>) -> bool {
        let is_unneeded = own::is_known_to_itself_alone(&self.host, actor);
        if is_unneeded {
            self.host.close_mailbox();
        }
        is_unneeded
    }

    fn begin(&self, ticket: &Ticket, number: u64) {
        if let Ticket::Cell(cell, _) = ticket {
            let waker = Arc::clone(&self.waker);
            cell.on_request(move || Python::attach(|py| waker.request(py, number)));
        }
    }

    fn attach(&self, py: Python<'_>, calls: (Py<PyAny>, Py<PyAny>, Py<PyAny>)) {
        self.waker.attach(py, calls);
    }

    fn detach(&self) {
        self.waker.detach();
    }
}
