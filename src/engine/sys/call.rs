//! The kinds of system calls, and the errors that tests have them fail with.

#[cfg(any(test, feature = "faults"))]
use super::error::Error;

/// What `faults` tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// Makes a descriptor.
    Open,
    /// Changes or asks something of a descriptor.
    Control,
    Map,
    /// Finds memory for a part of a file.
    Reserve,
    /// Of a blocking descriptor, or of one that `poll` says is readable.
    Read,
    /// Of either kind of descriptor; the reader may have gone.
    Write,
    /// To a pipe of which both ends are ours.
    Ring,
    Poll,
    /// Waits for a word in memory.
    Sleep,
    Spawn,
    Signal,
}

#[cfg(any(test, feature = "faults"))]
impl Call {
    /// What it can fail with that says nothing of a fault of ours.
    pub(super) fn errors(self) -> &'static [Error] {
        match self {
            Self::Open => &[Error::TOO_MANY_HANDLES, Error::NO_MEMORY],
            Self::Control | Self::Map => &[Error::NO_MEMORY],
            Self::Reserve => &[Error::INTERRUPTED, Error::NO_MEMORY, Error::NO_SPACE],
            Self::Read | Self::Ring | Self::Poll => {
                &[Error::INTERRUPTED, Error::WOULD_BLOCK, Error::NO_MEMORY]
            }
            Self::Write => &[
                Error::INTERRUPTED,
                Error::WOULD_BLOCK,
                Error::BROKEN_PIPE,
                Error::NO_MEMORY,
            ],
            Self::Sleep => &[Error::INTERRUPTED, Error::WOULD_BLOCK],
            Self::Spawn | Self::Signal => &[Error::WOULD_BLOCK],
        }
    }
}
