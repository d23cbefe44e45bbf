//! Tells when all processes that were forked at certain moments have ended.

use std::ffi::c_void;
use std::ptr::NonNull;

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};

use crate::engine::sys::attempt::attempt;
use crate::engine::sys::call::Call;
use crate::engine::sys::error::{Error, Result};
use crate::engine::sys::unix::handle::Handle;

/// An empty file. A process that is forked while the witness is armed inherits a mapping of the
/// file, and passes it on to processes that it forks itself. The kernel seals a file only if no
/// process maps it, so when sealing succeeds, all of them have ended.
///
/// A mapping, not a descriptor: programs that become daemons close all their descriptors.
#[derive(Debug)]
pub(in crate::engine) struct Witness {
    file: Handle,
}

/// This process's mapping. Processes that are forked while it exists inherit it.
#[derive(Debug)]
pub(in crate::engine) struct Armed {
    start: NonNull<c_void>,
}

/// Any length would do: the memory is never touched.
const LEN_BYTES: usize = 4096;

// SAFETY: the memory is never touched; the mapping lives as long as the value.
#[expect(unsafe_code)]
unsafe impl Send for Armed {}

impl Witness {
    pub(in crate::engine) fn new() -> Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = attempt(Call::Open, || {
            rustix::fs::memfd_create("fork of futures_actors", flags)
        })?;
        Ok(Self { file: Handle(file) })
    }

    /// Until the returned value is dropped, every process that this one forks is watched. An error
    /// if `is_gone` has returned true.
    pub(in crate::engine) fn arm(&self) -> Result<Armed> {
        let start = attempt(Call::Map, || {
            // SAFETY: a new mapping at an address of the kernel's choice touches no other memory.
            #[expect(unsafe_code)]
            unsafe {
                rustix::mm::mmap(
                    std::ptr::null_mut(),
                    LEN_BYTES,
                    // The mapping must be writable: the kernel seals a file that others map only
                    // for reading.
                    ProtFlags::READ | ProtFlags::WRITE,
                    MapFlags::SHARED,
                    &self.file.0,
                    0,
                )
            }
        })?;
        let start = NonNull::new(start).ok_or(Error::INVALID)?;
        Ok(Armed { start })
    }

    /// Whether it is disarmed and all processes that were forked while it was armed have ended. If
    /// so, it cannot be armed again.
    pub(in crate::engine) fn is_gone(&self) -> bool {
        let seal = || rustix::fs::fcntl_add_seals(&self.file.0, SealFlags::WRITE);
        attempt(Call::Control, seal).is_ok()
    }
}

impl Drop for Armed {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and no code has a reference into it.
        #[expect(unsafe_code)]
        let unmapped = unsafe { rustix::mm::munmap(self.start.as_ptr(), LEN_BYTES) };
        debug_assert!(unmapped.is_ok());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_gone_when_nobody_has_it_armed_and_stays_so() {
        let witness = Witness::new().expect("a descriptor");
        let (one, two) = (witness.arm(), witness.arm());
        assert!(!witness.is_gone());
        drop(one);
        assert!(!witness.is_gone());
        drop(two);
        assert!(witness.is_gone());
        assert!(witness.is_gone());
        assert_eq!(witness.arm().err(), Some(Error::from_number(libc::EPERM)));
    }
}
