//! The types of arguments and results of system calls: interests, readiness and signals.

#[cfg(unix)]
use super::unix::Handle;
#[cfg(windows)]
use super::windows::Handle;

/// What to wait for on a handle.
#[derive(Clone, Copy)]
pub enum Interest<'a> {
    /// There is something to read, or the stream has ended, or the event that the handle stands for
    /// has happened, such as the end of a process.
    Readable(&'a Handle),
    /// There is room to write.
    Writable(&'a Handle),
    /// The other end is gone.
    HangUp(&'a Handle),
}

/// What `poll` has found for one interest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ready {
    #[default]
    No,
    Yes,
    /// The other end is gone: writing would fail.
    Broken,
}

impl Ready {
    pub fn is_ready(self) -> bool {
        self != Self::No
    }
}

/// How to end a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Asks the process to end, which it may refuse.
    Terminate,
    /// Ends it.
    Kill,
}

/// What `reap` has found about a child of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaped {
    /// It has ended with this exit code, negative for a signal, and has been reaped by this call.
    Code(i32),
    /// It has ended, and was reaped by a handler of SIGCHLD, or by the system because that signal is
    /// ignored.
    ByAnother,
    Lives,
}
