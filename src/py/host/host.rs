//! The host: a mailbox, the thread that serves it, and the fault that ended it, if one did.
//! `post.rs` has how messages come in, `stop.rs` how the host ends.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, ThreadId};

use once_cell::sync::OnceCell;
use pyo3::exceptions::{PyRuntimeError, PyTimeoutError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::team::Team;
use super::transport::{Dump, Transport};
use crate::engine::holding::References;
use crate::engine::latch::Latch;
use crate::engine::mailbox::Mailbox;
use crate::py::codec::actors::Description;
use crate::py::future::ActorCell;
use crate::py::interpreter::wait::{Seconds, wait_for};
use crate::py::interpreter::{lifecycle, wait};
use crate::py::message::fault::{Fault, ForceSlot, Started, to_error};
use crate::py::message::tally::Tally;
use crate::py::options::Options;

pub(in crate::py) struct Host {
    pub(in crate::py) tally: Arc<Tally>,
    /// The actor's name, for errors and the log.
    pub(in crate::py) name: String,
    pub(in crate::py) mailbox: Arc<Mailbox<Arc<ActorCell>>>,
    pub(in crate::py) transport: Box<dyn Transport>,
    /// Invariant: set before it closes the mailbox, so that a refused `post` can say why.
    pub(in crate::py) fault: OnceCell<Fault>,
    /// Set before it closes the mailbox.
    pub(in crate::py) force: ForceSlot,
    /// Set when the thread will not run Python code any more.
    pub(in crate::py) ended: Latch,
    thread: Mutex<Option<JoinHandle<()>>>,
    pub(in crate::py) thread_id: OnceCell<ThreadId>,
    pub(in crate::py) generation: u32,
    pub(in crate::py) references: References,
    /// Set before the thread starts, if the actor is a member of a pool.
    pub(in crate::py) place: OnceCell<Place>,
    /// Set when it is made, if this is a pool's host.
    pub(in crate::py) members: OnceCell<Vec<Arc<Host>>>,
}

/// A member's place in its pool.
pub(in crate::py) struct Place {
    pub(in crate::py) team: Arc<Team>,
    pub(in crate::py) index: usize,
    /// How other processes refer to the member.
    description: Description,
    /// `None` after the member has ended: then the two no longer keep each other.
    pool: Mutex<Option<Arc<Host>>>,
}

impl Place {
    pub(in crate::py) fn new(
        team: &Arc<Team>,
        index: usize,
        description: Description,
        pool: &Arc<Host>,
    ) -> Self {
        Self {
            team: Arc::clone(team),
            index,
            description,
            pool: Mutex::new(Some(Arc::clone(pool))),
        }
    }

    /// The pool, until this member has ended.
    pub(in crate::py) fn pool(&self) -> Option<Arc<Host>> {
        let pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        pool.clone()
    }

    pub(super) fn take_pool(&self) -> Option<Arc<Host>> {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        pool.take()
    }
}

impl Host {
    pub(in crate::py) fn new(
        options: &Options<'_>,
        mailbox: Arc<Mailbox<Arc<ActorCell>>>,
        tally: Arc<Tally>,
        transport: Box<dyn Transport>,
    ) -> Self {
        tally.set_async(options.is_async);
        if options.is_async {
            tally.streams.set_places(options.max_concurrency);
        }
        Self {
            tally,
            name: options.name.clone(),
            mailbox,
            transport,
            fault: OnceCell::new(),
            force: ForceSlot::default(),
            ended: Latch::default(),
            thread: Mutex::new(None),
            thread_id: OnceCell::new(),
            generation: lifecycle::generation(),
            references: References::default(),
            place: OnceCell::new(),
            members: OnceCell::new(),
        }
    }

    pub(in crate::py) fn thread(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this is a copy in a process that `os.fork` has made, which has no thread. The caller
    /// must not take the locks of such a copy and its transport: a thread that is not in this process
    /// may have held them.
    pub(in crate::py) fn is_forked(&self) -> bool {
        self.generation != lifecycle::generation()
    }

    /// How other processes refer to the actor.
    pub(in crate::py) fn describe(&self) -> Description {
        match self.place.get() {
            Some(place) => place.description.clone(),
            None => Description::new(
                self.tally.node.id,
                &self.name,
                self.mailbox.room().is_some(),
                self.members().len(),
                self.tally.streams.places(),
            ),
        }
    }

    /// The number by which processes mean the actor.
    pub(in crate::py) fn number(&self) -> u64 {
        match self.place.get() {
            Some(place) => place.description.number,
            None => self.tally.node.id,
        }
    }

    /// The pool of this member, until the member has ended.
    pub(in crate::py) fn pool(&self) -> Option<Arc<Self>> {
        self.place.get().and_then(Place::pool)
    }

    /// The process that the actor lives in, while it lives.
    pub(in crate::py) fn pid(&self) -> Option<u32> {
        if self.is_forked() {
            return None;
        }
        self.transport.pid()
    }

    /// Whether the actor's end waits for the calling thread, which therefore must not wait for the end.
    pub(in crate::py) fn is_own_thread(&self) -> bool {
        self.thread_id.get() == Some(&std::thread::current().id()) || self.transport.is_own_thread()
    }

    /// Visits the Python objects that only this host holds.
    pub(in crate::py) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Some(fault) = self.fault.get() {
            fault.traverse(visit)?;
        }
        self.transport.traverse(visit)
    }

    pub(in crate::py) fn dump_traceback(
        &self,
        py: Python<'_>,
        timeout: Option<Seconds>,
    ) -> PyResult<String> {
        let deadline = wait::deadline(timeout)?;
        if self.is_forked() {
            return Err(lifecycle::forked_error());
        }
        let mut dump = if self.ended.is_set() || self.fault.get().is_some() {
            Dump::Ended
        } else {
            self.transport.dump_traceback(py, deadline)?
        };
        if matches!(dump, Dump::Ended) && self.fault.get().is_none() && !self.is_own_thread() {
            // Once the host has ended, its fault says why.
            if !wait_for(py, &self.ended, deadline)? {
                dump = Dump::TimedOut("its process has ended and has not been reaped yet");
            }
        }
        let name = &self.name;
        match (dump, self.fault.get()) {
            (Dump::Text(text), _) => Ok(text),
            (Dump::TimedOut(why), _) => Err(PyTimeoutError::new_err(format!(
                "no traceback of actor {name} in {} s: {why}",
                timeout.unwrap_or_default().0
            ))),
            (Dump::Ended, Some(fault)) => Err(to_error(py, name, fault, Started::No)),
            (Dump::Ended, None) => Err(PyRuntimeError::new_err(format!(
                "actor {name} has ended: it has no traceback"
            ))),
        }
    }
}
