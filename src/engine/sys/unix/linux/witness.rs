//! Tells when the processes are gone that a fork has made.

use std::ffi::c_void;
use std::ptr::NonNull;

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};

use crate::engine::sys::attempt::attempt;
use crate::engine::sys::call::Call;
use crate::engine::sys::error::{Error, Result};
use crate::engine::sys::unix::handle::Handle;

/// A file without a byte. Processes that are forked while it is armed map it for as long as they
/// and their own forked ones run, and the kernel seals a file only if nobody maps it.
///
/// A mapping, not a descriptor: programs that become daemons close every descriptor that they have.
#[derive(Debug)]
pub(in crate::engine) struct Witness {
    file: Handle,
}

/// This process's own mapping, which processes inherit that are forked while it is there.
#[derive(Debug)]
pub(in crate::engine) struct Armed {
    start: NonNull<c_void>,
}

/// Any length would do: nobody touches it.
const LEN_BYTES: usize = 4096;

// SAFETY: nobody touches the memory; the mapping lives as long as the value.
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

    /// From here on every process that this one forks is watched, until what is returned is
    /// dropped. An error if all that were watched have been found gone already.
    pub(in crate::engine) fn arm(&self) -> Result<Armed> {
        let start = attempt(Call::Map, || {
            // SAFETY: a new mapping at an address of the kernel's choice touches no other memory.
            #[expect(unsafe_code)]
            unsafe {
                rustix::mm::mmap(
                    std::ptr::null_mut(),
                    LEN_BYTES,
                    // The kernel counts mappings that could write.
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

    /// True if it is disarmed, and all processes that were forked while it was armed have ended. It
    /// cannot be armed again after that.
    pub(in crate::engine) fn is_gone(&self) -> bool {
        let seal = || rustix::fs::fcntl_add_seals(&self.file.0, SealFlags::WRITE);
        attempt(Call::Control, seal).is_ok()
    }
}

impl Drop for Armed {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nobody has a reference into it.
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
