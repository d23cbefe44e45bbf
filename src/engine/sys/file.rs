//! Files, and the memory of those that have no name.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Result;

use super::{Call, attempt, retry};

#[cfg(target_os = "linux")]
pub(super) fn anonymous_file() -> Result<OwnedFd> {
    attempt(Call::Open, || {
        rustix::fs::memfd_create("futures_actors", rustix::fs::MemfdFlags::CLOEXEC)
    })
}

#[cfg(not(target_os = "linux"))]
pub(super) fn anonymous_file() -> Result<OwnedFd> {
    use rustix::fs::Mode;
    use rustix::shm::{self, OFlags};
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("/futures_actors.{}.{count}", std::process::id());
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
    let fd = shm::open(&name, flags, Mode::RUSR | Mode::WUSR)?;
    shm::unlink(&name)?;
    Ok(fd)
}

/// How long a file is.
pub(in crate::engine) fn len_of(fd: &OwnedFd) -> Result<u64> {
    let file = attempt(Call::Control, || rustix::fs::fstat(fd))?;
    Ok(file.st_size.unsigned_abs())
}

/// Gives a part of a shared file its memory, so that touching it cannot fail for want of that.
pub(in crate::engine) fn reserve(fd: &OwnedFd, offset: u64, len_bytes: u64) -> Result<()> {
    #[cfg(target_os = "linux")]
    {
        let flags = rustix::fs::FallocateFlags::empty();
        let reserve = || rustix::fs::fallocate(fd, flags, offset, len_bytes);
        retry(|| attempt(Call::Reserve, reserve))?;
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (fd, offset, len_bytes);
    Ok(())
}

/// Gives the memory of a part of a shared file back to the system.
pub(in crate::engine) fn give_back(fd: &OwnedFd, offset: u64, len_bytes: u64) -> Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::FallocateFlags;
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let give = || rustix::fs::fallocate(fd, flags, offset, len_bytes);
        retry(|| attempt(Call::Control, give))?;
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (fd, offset, len_bytes);
    Ok(())
}

/// Has every write to the file go to its end.
pub fn set_append(file: impl AsFd) -> Result<()> {
    let flags = attempt(Call::Control, || rustix::fs::fcntl_getfl(&file))?;
    let flags = flags | rustix::fs::OFlags::APPEND;
    attempt(Call::Control, || rustix::fs::fcntl_setfl(&file, flags))
}

/// Cuts the file, or lengthens it by zeros.
pub fn set_len(file: impl AsFd, len_bytes: u64) -> Result<()> {
    retry(|| attempt(Call::Control, || rustix::fs::ftruncate(&file, len_bytes)))
}

/// What a file holds from `at` to its end.
pub fn read_from(file: BorrowedFd<'_>, mut at: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = || attempt(Call::Read, || rustix::io::pread(file, &mut buffer[..], at));
        match retry(read)? {
            0 => return Ok(bytes),
            read => {
                bytes.extend_from_slice(&buffer[..read]);
                at += read as u64;
            }
        }
    }
}
