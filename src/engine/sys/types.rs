//! What callers say to the system, and hear from it: interests, readiness and signals.

#[cfg(unix)]
use super::unix::Handle;

/// What to wait for on a handle.
#[derive(Clone, Copy)]
pub enum Interest<'a> {
    /// There is something to read, or the stream has ended; or what the handle stands for has
    /// happened, like the end of a process.
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
    /// Asks it to end, which it may refuse.
    Terminate,
    /// Ends it.
    Kill,
}

/// What is known of a child of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaped {
    /// It has ended by this exit code, negative for a signal, and has been reaped just now.
    Code(i32),
    /// It has ended, and others have reaped it: a handler of SIGCHLD, or the system where that
    /// signal is ignored.
    ByAnother,
    Lives,
}
