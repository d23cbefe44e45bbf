//! The kinds of system calls, and the errors with which tests make them fail.

#[cfg(any(test, feature = "faults"))]
use super::error::Error;

/// The kinds of system calls that `faults` distinguishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    windows,
    expect(dead_code, reason = "only process actors make most calls")
)]
pub(super) enum Call {
    /// Makes a descriptor.
    Open,
    /// Changes or asks something of a descriptor.
    Control,
    Map,
    /// Reserves memory for a part of a file.
    Reserve,
    /// Reads from a blocking descriptor, or from one that `poll` has found readable.
    Read,
    /// Writes to a blocking or non-blocking descriptor, whose reader may be gone.
    Write,
    /// Writes to a bell, of which this process has both ends.
    Ring,
    Poll,
    /// Waits until a word in memory changes.
    Sleep,
    Spawn,
    Signal,
}

#[cfg(any(test, feature = "faults"))]
impl Call {
    /// The errors with which it can fail although this package has no bug.
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
