//! Memory that has a name for a moment. It cannot be lengthened, so there are no blocks for buffers.

use std::ffi::c_void;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::mm::MapFlags;
use rustix::shm::{self, OFlags};

use crate::engine::sys::attempt::attempt;
use crate::engine::sys::call::Call;
use crate::engine::sys::error::{Error, Result};
use crate::engine::sys::unix::handle::Handle;

pub(in crate::engine::sys::unix) const MAP_FLAGS: MapFlags = MapFlags::SHARED;

/// `shm_open` sets close-on-exec by itself. A process that crashed between the two calls has left
/// its memory behind. If that process had the same number as this one, the name may be taken: then
/// the next one is tried.
pub(in crate::engine::sys::unix) fn anonymous_file() -> Result<Handle> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // macOS allows 31 characters.
        let name = format!("/futures_actors.{:x}.{number:x}", std::process::id());
        let open = || match shm::open(&name, flags, Mode::RUSR | Mode::WUSR) {
            Err(Errno::EXIST) => Ok(None),
            opened => opened.map(Some),
        };
        if let Some(file) = attempt(Call::Open, open)? {
            attempt(Call::Control, || shm::unlink(&name))?;
            return Ok(Handle(file));
        }
    }
}

/// Only blocks need it, and this system has none.
pub(in crate::engine::sys::unix) fn move_mapping(
    _from: *mut c_void,
    _len_bytes: usize,
    _to: *mut c_void,
) -> Result<()> {
    Err(Error::UNSUPPORTED)
}

/// macOS sets the length of such memory once and no more.
pub(in crate::engine) fn make_sparse(_file: &Handle, _len_bytes: u64) -> Result<()> {
    Err(Error::UNSUPPORTED)
}

pub(in crate::engine) fn reserve(_file: &Handle, _offset: u64, _len_bytes: u64) -> Result<()> {
    attempt(Call::Reserve, || Err(Error::UNSUPPORTED))
}

pub(in crate::engine) fn give_back(_file: &Handle, _offset: u64, _len_bytes: u64) -> Result<()> {
    Err(Error::UNSUPPORTED)
}

/// Like `give_back`: the memory is freed together with the file.
pub(in crate::engine::sys::unix) fn give_back_mapped(_start: *mut c_void, _len_bytes: usize) {}

/// How much memory is available: the system does not tell.
pub(in crate::engine) fn available_bytes() -> Option<u64> {
    None
}

/// Only the fork server needs it, and only Linux has that.
pub fn unshare_pages() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_a_crash_has_left_is_passed_over() {
        let flags = OFlags::RDWR | OFlags::CREATE;
        let names: Vec<_> = (0..100)
            .map(|number| format!("/futures_actors.{:x}.{number:x}", std::process::id()))
            .collect();
        let left: Vec<_> = names
            .iter()
            .map(|name| shm::open(name, flags, Mode::RUSR | Mode::WUSR))
            .collect();
        let made = anonymous_file();
        for name in &names {
            _ = shm::unlink(name);
        }
        assert!(left.iter().all(std::result::Result::is_ok));
        assert!(made.is_ok());
    }
}
