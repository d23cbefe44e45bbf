//! How this process learns that a child has ended, and with which exit code: from the system for its
//! own children, from the fork server for those of the fork server.
//!
//! Threads wait here without Python, so it does not matter which modules a program has patched.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::sys::{self, Error, Handle, Interest, Ready, Reaped, Result};

/// The length of the record that a fork server writes for each child: the number of the request and
/// the exit code, in the machine's byte order. Each is written whole or not at all.
const RECORD_BYTES: usize = 12;

/// The exit codes of the children of one fork server, which it writes to one pipe.
///
/// Of the threads that wait for children, one reads the pipe for all. When it has the code that it
/// waits for, or its deadline has passed, another one reads. Invariant: while threads wait, one reads.
#[derive(Debug)]
pub struct ExitCodes {
    pipe: Handle,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The exit codes that no thread has asked for yet, by the number of the request.
    codes: HashMap<u64, i32>,
    is_being_read: bool,
    /// The server is gone, so no more records come.
    is_over: bool,
}

/// What is known of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Exit {
    /// The exit code, negative for a signal.
    Code(i32),
    /// It cannot be known: other code has reaped the child, or the server is gone.
    Unknown,
    /// The child has not ended before the deadline.
    TimedOut,
}

impl ExitCodes {
    /// `pipe` is the end to read from.
    pub fn new(pipe: Handle) -> Self {
        Self {
            pipe,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it is known how the child of request `number` has ended. Blocks.
    fn wait(&self, number: u64, deadline: Option<Instant>) -> Result<Exit> {
        let mut state = self.state();
        loop {
            if let Some(code) = state.codes.remove(&number) {
                return Ok(Exit::Code(code));
            }
            if state.is_over {
                return Ok(Exit::Unknown);
            }
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Ok(Exit::TimedOut);
            }
            if state.is_being_read {
                state = match left {
                    None => self.changed.wait(state),
                    Some(left) => match self.changed.wait_timeout(state, left) {
                        Ok((state, _)) => Ok(state),
                        Err(poisoned) => Err(PoisonError::new(poisoned.into_inner().0)),
                    },
                }
                .unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.is_being_read = true;
            drop(state);
            let reads = Reads(self);
            let read = self.read(left);
            drop(reads);
            state = self.state();
            state.is_being_read = false;
            self.changed.notify_all();
            match read? {
                None => {}
                Some(records) => {
                    state.is_over = records.is_empty();
                    state.codes.extend(records);
                }
            }
        }
    }

    /// The records that come within `timeout`. `None` if none came in time, empty if no more come.
    fn read(&self, timeout: Option<Duration>) -> Result<Option<Vec<(u64, i32)>>> {
        let [ready] = match sys::poll([Some(Interest::Readable(&self.pipe))], timeout) {
            Err(Error::INTERRUPTED) => return Ok(None),
            polled => polled?,
        };
        if ready == Ready::No {
            return Ok(None);
        }
        let mut bytes = Vec::with_capacity(256 * RECORD_BYTES);
        sys::retry(|| sys::read(&self.pipe, &mut bytes))?;
        let records = bytes.chunks_exact(RECORD_BYTES).filter_map(|record| {
            let (number, code) = record.split_at(8);
            let number = number.try_into().map(u64::from_ne_bytes).ok()?;
            let code = code.try_into().map(i32::from_ne_bytes).ok()?;
            Some((number, code))
        });
        Ok(Some(records.collect()))
    }
}

/// Where the exit code of a child comes from.
#[derive(Clone, Debug)]
pub enum ExitSource {
    /// The system: the process is a child of this one, and no other code here reaps it.
    System,
    /// The fork server, which started the child for the request with this number.
    Server(Arc<ExitCodes>, u64),
}

/// A child that has been started for an actor.
#[derive(Clone, Debug)]
pub struct Child {
    pub pid: u32,
    /// What `sys::watch_process` gave for it.
    pub watch: Option<Arc<Handle>>,
    pub exit_source: ExitSource,
}

/// For the thread that reads for all: if it panics, another can go on.
struct Reads<'a>(&'a ExitCodes);

impl Drop for Reads<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.state().is_being_read = false;
            self.0.changed.notify_all();
        }
    }
}

impl Child {
    /// Waits for the child's end and returns its exit code, negative for a signal, if that can be
    /// known. With `grace`, kills the child if it has not ended by itself after that time. Blocks.
    pub fn reap(&self, grace: Option<Duration>) -> Result<Option<i32>> {
        if let Some(grace) = grace {
            match self.wait(Some(Instant::now() + grace))? {
                // The child has not been reaped, so the pid is still its own. If this process may not
                // kill it, because it has given up privileges, the child ends when its link closes.
                Exit::TimedOut => {
                    let watch = self.watch.as_deref();
                    _ = sys::signal_process(watch, self.number(), sys::Signal::Kill);
                }
                exit => return Ok(exit.code()),
            }
        }
        self.wait(None).map(Exit::code)
    }

    fn number(&self) -> i32 {
        i32::try_from(self.pid).unwrap_or_default()
    }

    fn wait(&self, deadline: Option<Instant>) -> Result<Exit> {
        if let ExitSource::Server(codes, number) = &self.exit_source {
            return codes.wait(*number, deadline);
        }
        loop {
            match sys::reap(self.watch.as_deref(), self.number(), deadline.is_none())? {
                Reaped::Code(code) => return Ok(Exit::Code(code)),
                Reaped::ByAnother => return Ok(Exit::Unknown),
                Reaped::Lives => {}
            }
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            match (left, self.watch.as_deref()) {
                (Some(Duration::ZERO), _) => return Ok(Exit::TimedOut),
                (_, Some(watch)) => {
                    _ = sys::retry(|| sys::poll([Some(Interest::Readable(watch))], left))?;
                }
                (_, None) => std::thread::sleep(EXIT_POLL),
            }
        }
    }
}

/// How often a child is checked if the system cannot notify this process of its end.
const EXIT_POLL: Duration = Duration::from_millis(5);

impl Exit {
    fn code(self) -> Option<i32> {
        match self {
            Self::Code(code) => Some(code),
            Self::Unknown | Self::TimedOut => None,
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::io::{IoSlice, Write};
    use std::process::{Command, Stdio};

    fn record(number: u64, code: i32) -> Vec<u8> {
        [&number.to_ne_bytes()[..], &code.to_ne_bytes()].concat()
    }

    fn write(pipe: &Handle, bytes: &[u8]) {
        sys::write(pipe, &[IoSlice::new(bytes)]).expect("room");
    }

    #[test]
    fn threads_that_wait_for_other_children_read_for_each_other() {
        for round in 0..50 {
            let (read, written) = sys::pipe().expect("descriptors");
            let codes = Arc::new(ExitCodes::new(read));
            let waiters: Vec<_> = (0..8_u64)
                .map(|number| {
                    let codes = Arc::clone(&codes);
                    std::thread::spawn(move || codes.wait(number, None))
                })
                .collect();
            for number in (0..7).rev() {
                write(
                    &written,
                    &record(number, i32::try_from(number).expect("few") - 3),
                );
            }
            drop(written);
            for (number, waiter) in (0..).zip(waiters) {
                let exit = waiter.join().expect("no panic").expect("no error");
                let known = Exit::Code(number - 3);
                assert_eq!(
                    exit,
                    if number < 7 { known } else { Exit::Unknown },
                    "{round}"
                );
            }
        }
    }

    #[test]
    fn a_waiter_that_gives_up_leaves_the_reading_to_the_next() {
        let (read, written) = sys::pipe().expect("descriptors");
        let codes = Arc::new(ExitCodes::new(read));
        let other = Arc::clone(&codes);
        let soon = Instant::now() + Duration::from_millis(30);
        let gives_up = std::thread::spawn(move || other.wait(1, Some(soon)));
        let other = Arc::clone(&codes);
        let waits = std::thread::spawn(move || other.wait(2, None));
        assert_eq!(gives_up.join().expect("no panic"), Ok(Exit::TimedOut));
        write(&written, &record(2, 7));
        assert_eq!(waits.join().expect("no panic"), Ok(Exit::Code(7)));
    }

    fn child(command: &mut Command) -> (Child, std::process::Child) {
        let process = command.stdin(Stdio::piped()).spawn().expect("a program");
        let watch = i32::try_from(process.id())
            .ok()
            .and_then(sys::watch_process);
        let child = Child {
            pid: process.id(),
            watch: watch.map(Arc::new),
            exit_source: ExitSource::System,
        };
        (child, process)
    }

    #[test]
    fn a_child_of_this_process_is_reaped() {
        for watched in [true, false] {
            let (mut ends, _process) = child(Command::new("sh").args(["-c", "exit 7"]));
            let (mut killed, _other) = child(Command::new("sh").args(["-c", "kill -9 $$"]));
            let (mut lives, mut third) = child(&mut Command::new("cat"));
            for each in [&mut ends, &mut killed, &mut lives] {
                each.watch.take_if(|_| !watched);
            }
            assert_eq!(ends.reap(None), Ok(Some(7)));
            assert_eq!(killed.reap(Some(Duration::from_secs(20))), Ok(Some(-9)));
            let mut input = third.stdin.take().expect("piped");
            input.write_all(b"it lives").expect("a reader");
            assert_eq!(lives.reap(Some(Duration::from_millis(20))), Ok(Some(-9)));
            assert_eq!(lives.reap(None), Ok(None), "it is reaped already");
        }
    }
}
