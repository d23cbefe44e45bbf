//! Files.

use super::handle::Handle;
use crate::engine::sys::attempt::{attempt, retry};
use crate::engine::sys::call::Call;
use crate::engine::sys::error::Result;

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
