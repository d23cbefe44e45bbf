//! Watches the parent, on a thread of its own, whatever Python code runs on the others.

use std::time::Duration;

use crate::engine::sys::{self, Handle, HandleNumber, Interest, Ready};

/// Ends this process as soon as the parent is gone. Then the parent's end of the request pipe is
/// closed, or, if another process has a copy of that end, the parent's process has ended.
pub(super) fn watch_parent(request: Handle, parent: HandleNumber) -> sys::Result<()> {
    const RETRY_INTERVAL: Duration = Duration::from_millis(100);
    // If the parent has ended already, this may watch no process or another one, but then the pipe
    // has hung up.
    let process = sys::watch_parent(parent);
    sys::spawn("parent watch".to_owned(), 64 << 10, move || {
        let hung_up = Interest::HangUp(&request);
        let ended = process.as_ref().map(Interest::Readable);
        let poll = || sys::poll([Some(hung_up), ended], sys::HANG_UP_INTERVAL);
        let is_over = |found: [Ready; 2]| found.into_iter().any(Ready::is_ready);
        while !sys::retry(poll).is_ok_and(is_over) {
            // An error, such as no memory, must not end the watch before the parent ends.
            std::thread::sleep(RETRY_INTERVAL);
        }
        sys::end_now();
    })
    .map(drop)
}
