//! Log records of a child, on their way to this process's loggers.
//!
//! They are handled on a thread of their own, which starts with the first: a handler may wait for
//! what only the threads that read can bring, such as an answer of this very actor. Who has read
//! records waits until they are handled before it ends the messages that came with them, but for
//! no longer than [`PATIENCE`].

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::engine::sys;
use crate::py::interpreter::{cooperative, imports};

/// How long messages wait for the records that were logged before their answers.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many records may wait for a handler that hangs; what comes then is lost, and counted.
const MOST: u64 = 100_000;

thread_local! {
    /// Whose records this thread handles: the address of their count.
    static HANDLES: Cell<usize> = const { Cell::new(0) };
}

pub(in crate::py) struct Logs {
    actor: String,
    state: Mutex<State>,
    count: Arc<Count>,
}

enum State {
    /// No record has come.
    Unused,
    Open(Sender<Vec<u8>>, JoinHandle<()>),
    Closed,
}

/// How many records have been read, and how many are handled.
#[derive(Default)]
struct Count {
    read: AtomicU64,
    handled: Mutex<u64>,
    bell: Condvar,
    /// Somebody has waited in vain: nobody waits again until the thread has caught up.
    is_late: AtomicBool,
    lost: AtomicU64,
}

impl Count {
    fn handled(&self) -> MutexGuard<'_, u64> {
        self.handled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn one_more(&self) {
        let mut handled = self.handled();
        *handled += 1;
        if *handled == self.read.load(Ordering::SeqCst) {
            self.is_late.store(false, Ordering::SeqCst);
        }
        drop(handled);
        self.bell.notify_all();
    }
}

impl Logs {
    pub(in crate::py) fn new(actor: String) -> Self {
        Self {
            actor,
            state: Mutex::new(State::Unused),
            count: Arc::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a record that was read. Never blocks.
    pub(in crate::py) fn take(&self, record: Vec<u8>) {
        let mut state = self.state();
        if matches!(*state, State::Unused) {
            *state = self.open();
        }
        let waiting = self.count.read.load(Ordering::SeqCst) - *self.count.handled();
        match &*state {
            State::Open(sender, _) if waiting < MOST && sender.send(record).is_ok() => {
                self.count.read.fetch_add(1, Ordering::SeqCst);
            }
            _ => _ = self.count.lost.fetch_add(1, Ordering::SeqCst),
        }
    }

    fn open(&self) -> State {
        let (sender, records) = unbounded();
        let (actor, count) = (self.actor.clone(), Arc::clone(&self.count));
        let name = format!("{actor} log");
        let thread = sys::spawn(name, 8 << 20, move || handle_all(&actor, &records, &count));
        // With no thread to be had this record is lost; the next one tries again.
        thread.map_or(State::Unused, |thread| State::Open(sender, thread))
    }

    /// Whether `wait` would wait for a record. Detached only.
    pub(in crate::py) fn is_behind(&self) -> bool {
        let read = self.count.read.load(Ordering::SeqCst);
        read > 0 && *self.count.handled() < read && !self.count.is_late.load(Ordering::SeqCst)
    }

    /// Waits until every record that was read is handled, or too long. Blocks; detached only.
    pub(in crate::py) fn wait(&self) {
        let read = self.count.read.load(Ordering::SeqCst);
        if read == 0 {
            return;
        }
        let handled = self.count.handled();
        if self.count.is_late.load(Ordering::SeqCst) {
            return;
        }
        let some_left = |handled: &mut u64| *handled < read;
        let waited = self
            .count
            .bell
            .wait_timeout_while(handled, PATIENCE, some_left);
        let (_handled, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        // Under the lock, so it cannot come after the thread has caught up.
        self.count
            .is_late
            .store(waited.timed_out(), Ordering::SeqCst);
    }

    /// Waits until every record is handled and the thread gone. Blocks; detached only.
    pub(in crate::py) fn close(&self) {
        let state = std::mem::replace(&mut *self.state(), State::Closed);
        if let State::Open(sender, thread) = state {
            drop(sender);
            // It hands what Python raises to Python; a panic has been shown by its hook.
            drop(thread.join());
        }
    }

    /// Whether the calling thread is the one that handles these records.
    pub(in crate::py) fn is_own_thread(&self) -> bool {
        HANDLES.get() == Arc::as_ptr(&self.count).addr()
    }
}

/// The thread: waits detached, as a thread actor's does.
fn handle_all(actor: &str, records: &Receiver<Vec<u8>>, count: &Arc<Count>) {
    HANDLES.set(Arc::as_ptr(count).addr());
    cooperative::never_here();
    Python::attach(|py| {
        let entered =
            imports::thread_enter(py).and_then(|enter| enter.call1((format!("{actor} log"),)));
        report(py, entered);
        while let Some(record) = next(py, records) {
            let lost = count.lost.swap(0, Ordering::SeqCst);
            let record = PyBytes::new(py, &record);
            let handled =
                imports::handle_record(py).and_then(|handle| handle.call1((record, actor, lost)));
            report(py, handled);
            count.one_more();
        }
        let left = imports::thread_leave(py).and_then(PyAnyMethods::call0);
        report(py, left);
    });
}

fn next(py: Python<'_>, records: &Receiver<Vec<u8>>) -> Option<Vec<u8>> {
    records
        .try_recv()
        .ok()
        .or_else(|| py.detach(|| records.recv().ok()))
}

fn report(py: Python<'_>, result: PyResult<Bound<'_, PyAny>>) {
    if let Err(error) = result {
        error.write_unraisable(py, None);
    }
}
