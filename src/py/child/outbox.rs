//! What this process sends to the parent.

use std::sync::OnceLock;
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::engine::ipc::frame::{Frame, Kind, encode};
use crate::engine::ipc::outbox::{Haste, Outbox};
use crate::engine::sys;

/// Sends answers and log records. It stays until this process ends: then the kernel closes the answer
/// pipe, by which the parent learns of the end.
pub(super) static OUTBOX: OnceLock<Outbox> = OnceLock::new();

/// Send an encoded log record to the parent; it arrives before any answer that is sent later.
#[pyfunction]
pub(in crate::py) fn log_to_parent(py: Python<'_>, record: &[u8]) -> PyResult<()> {
    let Some(answers) = OUTBOX.get() else {
        return Err(PyRuntimeError::new_err("this process has no parent yet"));
    };
    send(py, answers, [encode(Kind::Log, 0, record)], Haste::Now)
}

/// An answer is held back only if there is another message: then more answers will follow.
pub(super) fn haste(next: Option<&Frame>) -> Haste {
    match next {
        Some(_) => Haste::Soon,
        None => Haste::Now,
    }
}

pub(super) fn send(
    py: Python<'_>,
    answers: &Outbox,
    frames: impl IntoIterator<Item = Vec<u8>> + Send,
    haste: Haste,
) -> PyResult<()> {
    /// How long it takes at most until the watch thread ends this process after its parent's end.
    const WATCH: Duration = Duration::from_secs(1);
    let sent = py.detach(|| {
        let sent = answers.send(frames, haste);
        if sent == Err(sys::Error::BROKEN_PIPE) {
            // The parent has most likely gone. Then this process ends now, without a traceback.
            std::thread::sleep(WATCH);
        }
        sent
    });
    sent.map_err(|error| std::io::Error::from(error).into())
}
