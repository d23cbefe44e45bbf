//! Files, and the memory of those that have no name.

use super::{Call, Handle, Result, attempt, retry};

#[cfg(target_os = "linux")]
pub(super) fn anonymous_file() -> Result<Handle> {
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    let make = || rustix::fs::memfd_create("futures_actors", flags);
    attempt(Call::Open, make).map(Handle)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn anonymous_file() -> Result<Handle> {
    use rustix::fs::Mode;
    use rustix::shm::{self, OFlags};
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("/futures_actors.{}.{count}", std::process::id());
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
    let fd = shm::open(&name, flags, Mode::RUSR | Mode::WUSR)?;
    shm::unlink(&name)?;
    Ok(Handle(fd))
}

/// How long a file is.
pub(in crate::engine) fn len_of(file: &Handle) -> Result<u64> {
    let stat = attempt(Call::Control, || rustix::fs::fstat(&file.0))?;
    Ok(stat.st_size.unsigned_abs())
}

/// How much memory or disk space a file has, in units of 512 bytes.
#[cfg(test)]
pub(in crate::engine) fn blocks_of(file: &Handle) -> Result<u64> {
    let stat = attempt(Call::Control, || rustix::fs::fstat(&file.0))?;
    Ok(stat.st_blocks.unsigned_abs())
}

/// Gives a part of a shared file its memory, so that touching it cannot fail for want of that.
pub(in crate::engine) fn reserve(file: &Handle, offset: u64, len_bytes: u64) -> Result<()> {
    #[cfg(target_os = "linux")]
    {
        let flags = rustix::fs::FallocateFlags::empty();
        let reserve = || rustix::fs::fallocate(&file.0, flags, offset, len_bytes);
        retry(|| attempt(Call::Reserve, reserve))?;
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (file, offset, len_bytes);
    Ok(())
}

/// Gives the memory of a part of a shared file back to the system.
pub(in crate::engine) fn give_back(file: &Handle, offset: u64, len_bytes: u64) -> Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::FallocateFlags;
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let give = || rustix::fs::fallocate(&file.0, flags, offset, len_bytes);
        retry(|| attempt(Call::Control, give))?;
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (file, offset, len_bytes);
    Ok(())
}

/// Has every write to the file go to its end.
pub fn set_append(file: &Handle) -> Result<()> {
    let flags = attempt(Call::Control, || rustix::fs::fcntl_getfl(&file.0))?;
    let flags = flags | rustix::fs::OFlags::APPEND;
    attempt(Call::Control, || rustix::fs::fcntl_setfl(&file.0, flags))
}

/// Cuts the file, or lengthens it by zeros.
pub fn set_len(file: &Handle, len_bytes: u64) -> Result<()> {
    retry(|| attempt(Call::Control, || rustix::fs::ftruncate(&file.0, len_bytes)))
}

/// What a file holds from `at` to its end.
pub fn read_from(file: &Handle, mut at: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = || {
            attempt(Call::Read, || {
                rustix::io::pread(&file.0, &mut buffer[..], at)
            })
        };
        match retry(read)? {
            0 => return Ok(bytes),
            read => {
                bytes.extend_from_slice(&buffer[..read]);
                at += read as u64;
            }
        }
    }
}
