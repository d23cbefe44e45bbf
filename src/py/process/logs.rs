//! Passes the log records of a child to this process's loggers.
//!
//! Log handlers run on a thread of their own, not the one that delivers answers: a handler may wait
//! for an answer, even of this very actor. The thread starts with the first record. The I/O thread
//! ends a message only after the records that came before its answer are handled, but waits no
//! longer than [`PATIENCE`] for that.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
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
/// How many records may wait for a handler that hangs. Further ones are lost, and counted.
const MOST_WAITING: u64 = 100_000;

thread_local! {
    /// Which actor's records this thread handles: the address of their `Count`.
    static HANDLES: Cell<usize> = const { Cell::new(0) };
}

pub(in crate::py) struct Logs {
    actor: String,
    state: Mutex<State>,
    count: Arc<Count>,
}

enum State {
    /// No record has come yet.
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
    /// A thread has waited in vain: none waits again until the log thread has caught up.
    is_late: AtomicBool,
    lost: AtomicU64,
}

impl Count {
    fn handled(&self) -> MutexGuard<'_, u64> {
        self.handled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add_handled(&self) {
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

    /// Passes a record that was read to the log thread. Never blocks.
    pub(in crate::py) fn take(&self, record: Vec<u8>) {
        let mut state = self.state();
        if matches!(*state, State::Unused) {
            *state = self.open();
        }
        let waiting = self.count.read.load(Ordering::SeqCst) - *self.count.handled();
        match &*state {
            State::Open(sender, _) if waiting < MOST_WAITING && sender.send(record).is_ok() => {
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
        // Without a thread this record is lost. The next record tries again.
        thread.map_or(State::Unused, |thread| State::Open(sender, thread))
    }

    /// Whether `wait` would block. Call it detached.
    pub(in crate::py) fn is_behind(&self) -> bool {
        let read = self.count.read.load(Ordering::SeqCst);
        read > 0 && *self.count.handled() < read && !self.count.is_late.load(Ordering::SeqCst)
    }

    /// Waits until every record that was read is handled, at most for `PATIENCE`. Call it detached.
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
        // Stored under the lock, so not after the log thread has caught up and cleared it.
        self.count
            .is_late
            .store(waited.timed_out(), Ordering::SeqCst);
    }

    /// Waits until every record is handled and the log thread has ended. Call it detached.
    pub(in crate::py) fn close(&self) {
        let state = std::mem::replace(&mut *self.state(), State::Closed);
        if let State::Open(sender, thread) = state {
            drop(sender);
            // Exceptions have been reported in the thread, and a panic by the panic hook.
            drop(thread.join());
        }
    }

    /// Whether the calling thread is the one that handles these records.
    pub(in crate::py) fn is_own_thread(&self) -> bool {
        HANDLES.get() == Arc::as_ptr(&self.count).addr()
    }
}

/// The log thread. It waits detached.
fn handle_all(actor: &str, records: &Receiver<Vec<u8>>, count: &Arc<Count>) {
    HANDLES.set(Arc::as_ptr(count).addr());
    cooperative::never_here();
    Python::attach(|py| {
        let entered =
            imports::thread_enter(py).and_then(|enter| enter.call1((format!("{actor} log"),)));
        report(py, entered);
        while let Some(record) = next(py, records) {
            let handle = || {
                sys::moment();
                let lost = count.lost.swap(0, Ordering::SeqCst);
                let record = PyBytes::new(py, &record);
                let handled = imports::handle_record(py)
                    .and_then(|handle| handle.call1((record, actor, lost)));
                report(py, handled);
            };
            // A panic costs one record, and no message waits for that in vain.
            if catch_unwind(AssertUnwindSafe(handle)).is_err() {
                count.lost.fetch_add(1, Ordering::SeqCst);
            }
            count.add_handled();
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
