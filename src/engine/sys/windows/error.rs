//! The errors that have names, by their numbers on Windows.

use windows_sys::Win32::Foundation as numbers;
use windows_sys::Win32::Networking::WinSock;

use crate::engine::sys::error::Error;

impl Error {
    pub const ALREADY: Self = named(numbers::ERROR_ALREADY_EXISTS);
    /// Of a handle that has been given up.
    pub const CLOSED: Self = named(numbers::ERROR_INVALID_HANDLE);
    pub const BROKEN_PIPE: Self = named(numbers::ERROR_BROKEN_PIPE);
    pub const DEADLOCK: Self = named(numbers::ERROR_POSSIBLE_DEADLOCK);
    /// No call has it here: Windows runs handlers on threads of their own.
    pub const INTERRUPTED: Self = Self(WinSock::WSAEINTR);
    pub const INVALID: Self = named(numbers::ERROR_INVALID_PARAMETER);
    pub const NO_MEMORY: Self = named(numbers::ERROR_NOT_ENOUGH_MEMORY);
    pub const NO_CHILD: Self = named(numbers::ERROR_WAIT_NO_CHILDREN);
    pub const NO_PROCESS: Self = named(numbers::ERROR_PROC_NOT_FOUND);
    pub const NO_SPACE: Self = named(numbers::ERROR_DISK_FULL);
    pub const TOO_MANY_HANDLES: Self = named(numbers::ERROR_TOO_MANY_OPEN_FILES);
    pub const UNSUPPORTED: Self = named(numbers::ERROR_NOT_SUPPORTED);
    pub const WOULD_BLOCK: Self = Self(WinSock::WSAEWOULDBLOCK);
}

const fn named(number: u32) -> Error {
    Error(number.cast_signed())
}
