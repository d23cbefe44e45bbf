//! Tracebacks of a child that may hang. The parent asks by a signal; the signal's handler, which needs
//! neither the GIL nor memory, writes to the end of the file that parent and child share.
//!
//! A word in that memory counts: it is 0 until the child has a handler, then one more than the
//! number of complete tracebacks.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::region::Region;
use crate::engine::sys::{self, Error, Handle};

/// The child's half. `sys::traceback_signal()` has a handler that writes tracebacks to `file`; from
/// now on the handler also counts them, and the parent may ask.
pub fn offer(shared: &'static Region, file: &Handle) -> Result<(), Error> {
    sys::set_append(file)?;
    sys::count_tracebacks(shared.tracebacks())?;
    shared.tracebacks().store(1, Ordering::SeqCst);
    Ok(())
}

/// What has become of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Traceback {
    /// The child has no handler yet.
    NotReady,
    /// It was asked and has not finished.
    Pending,
    Text(String),
}

/// The parent's half.
///
/// Invariant: `collected <= asked <= collected + 1`, and the word is at most `asked + 1`: a new
/// traceback is asked for only when the text of the one before has been read.
#[derive(Debug)]
pub struct Tracebacks {
    file: Arc<Handle>,
    /// The length of the file without a traceback.
    len_bytes: u64,
    process: Arc<Handle>,
    asked: u64,
    collected: u64,
    text: String,
}

impl Tracebacks {
    /// `file` is the one that `Region::create` gave, which only tracebacks lengthen from now on;
    /// `process` is what `sys::watch_process` gave for the child.
    pub fn new(file: Arc<Handle>, process: Arc<Handle>) -> Result<Self, Error> {
        if sys::traceback_signal().is_none() {
            return Err(Error::UNSUPPORTED);
        }
        Ok(Self {
            len_bytes: sys::len_of(&file)?,
            file,
            process,
            asked: 0,
            collected: 0,
            text: String::new(),
        })
    }

    /// Asks the child, unless this `request` has done so already, and returns how far it is. A
    /// request that comes while another is pending joins that one. Never blocks.
    pub fn poll(&mut self, shared: &Region, request: &mut Option<u64>) -> Result<Traceback, Error> {
        self.collect(shared)?;
        if request.is_some_and(|number| number > self.asked) {
            // It was for a child that this one has replaced.
            *request = None;
        }
        if request.is_none() && !self.ask(shared)? {
            return Ok(Traceback::NotReady);
        }
        let number = *request.get_or_insert(self.asked);
        Ok(if number <= self.collected {
            Traceback::Text(self.text.clone())
        } else {
            Traceback::Pending
        })
    }

    /// False: the child is not ready.
    fn ask(&mut self, shared: &Region) -> Result<bool, Error> {
        let is_ready = shared.tracebacks().load(Ordering::SeqCst) > 0;
        if is_ready && self.asked == self.collected {
            sys::ask_for_traceback(&self.process)?;
            self.asked += 1;
        }
        Ok(is_ready)
    }

    fn collect(&mut self, shared: &Region) -> Result<(), Error> {
        let is_done = shared.tracebacks().load(Ordering::SeqCst) > self.asked;
        if is_done && self.asked > self.collected {
            let text = sys::read_from(&self.file, self.len_bytes)?;
            sys::set_len(&self.file, self.len_bytes)?;
            self.text = String::from_utf8_lossy(&text).into_owned();
            self.collected = self.asked;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn a_child_that_has_no_handler_yet_is_not_asked() {
        if sys::traceback_signal().is_none() {
            return;
        }
        let (shared, file) = Region::create().expect("memory");
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("cat");
        let pid = i32::try_from(child.id()).expect("a pid");
        let process = sys::watch_process(pid).expect("pidfd");
        let mut tracebacks = Tracebacks::new(Arc::new(file), Arc::new(process)).expect("a file");
        let mut request = None;
        let mut poll = || tracebacks.poll(&shared, &mut request);
        assert_eq!(poll(), Ok(Traceback::NotReady));
        child.kill().expect("it runs");
        child.wait().expect("reaped");
        // The child can be asked, but has written nothing.
        shared.tracebacks().store(1, Ordering::SeqCst);
        assert_eq!(poll(), Err(Error::NO_PROCESS));
    }

    #[test]
    fn without_a_handler_there_is_nothing_to_count() {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        if sys::traceback_signal().is_some() {
            assert_eq!(sys::count_tracebacks(&COUNT), Err(Error::INVALID));
        }
    }
}
