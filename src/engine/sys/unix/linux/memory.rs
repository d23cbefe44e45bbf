//! Memory without a name, and what `/proc` says about memory.

use std::ffi::c_void;

use rustix::fs::{FallocateFlags, MemfdFlags};
use rustix::mm::{MapFlags, MremapFlags};

use crate::engine::sys::attempt::{attempt, retry};
use crate::engine::sys::call::Call;
use crate::engine::sys::error::Result;
use crate::engine::sys::unix::file::set_len;
use crate::engine::sys::unix::handle::Handle;

/// What is there already is mapped in one go instead of page by page.
pub(in crate::engine::sys::unix) const MAP_FLAGS: MapFlags =
    MapFlags::SHARED.union(MapFlags::POPULATE);

pub(in crate::engine::sys::unix) fn anonymous_file() -> Result<Handle> {
    let make = || rustix::fs::memfd_create("futures_actors", MemfdFlags::CLOEXEC);
    attempt(Call::Open, make).map(Handle)
}

/// Moves a mapping over another of the same length. For other threads this is one step: a thread
/// that touches the memory meanwhile waits. Only `SharedBytes` calls it, which owns both mappings.
pub(in crate::engine::sys::unix) fn move_mapping(
    from: *mut c_void,
    len_bytes: usize,
    to: *mut c_void,
) -> Result<()> {
    attempt(Call::Map, || {
        // SAFETY: both are whole mappings, of that length, and show the same bytes: a reference
        // into the one that is replaced stays valid.
        #[expect(unsafe_code)]
        unsafe {
            rustix::mm::mremap_fixed(from, len_bytes, len_bytes, MremapFlags::MAYMOVE, to)
        }
    })?;
    Ok(())
}

/// Lengthens a shared file. The part that is added has no memory yet.
pub(in crate::engine) fn make_sparse(file: &Handle, len_bytes: u64) -> Result<()> {
    set_len(file, len_bytes)
}

/// Allocates the memory of a part of a shared file, so that touching it later cannot fail.
pub(in crate::engine) fn reserve(file: &Handle, offset: u64, len_bytes: u64) -> Result<()> {
    let reserve = || rustix::fs::fallocate(&file.0, FallocateFlags::empty(), offset, len_bytes);
    retry(|| attempt(Call::Reserve, reserve))
}

/// Gives the memory of a part of a shared file back to the system.
pub(in crate::engine) fn give_back(file: &Handle, offset: u64, len_bytes: u64) -> Result<()> {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    let give = || rustix::fs::fallocate(&file.0, flags, offset, len_bytes);
    retry(|| attempt(Call::Control, give))
}

/// Like `give_back`, through a mapping of the file. Only `SharedBytes` calls it, which owns the
/// mapping.
pub(in crate::engine::sys::unix) fn give_back_mapped(start: *mut c_void, len_bytes: usize) {
    let given = attempt(Call::Control, || {
        // SAFETY: a whole mapping, and nothing refers to its content any more.
        #[expect(unsafe_code)]
        unsafe {
            rustix::mm::madvise(start, len_bytes, rustix::mm::Advice::LinuxRemove)
        }
    });
    // If the system refuses, the memory goes with the file.
    _ = given;
}

/// How much memory is available without swapping, if the system tells: on this machine, or in this
/// process's control group if that has a lower limit.
pub(in crate::engine) fn available_bytes() -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let number = |path: &str| read(path)?.trim().parse::<u64>().ok();
    let meminfo = read("/proc/meminfo")?;
    let line = meminfo
        .lines()
        .find_map(|l| l.strip_prefix("MemAvailable:"))?;
    let machine = line.split_whitespace().next()?.parse::<u64>().ok()? * 1024;
    let limit = number("/sys/fs/cgroup/memory.max");
    let group = limit.and_then(|limit| {
        let used = number("/sys/fs/cgroup/memory.current")?;
        Some(limit.saturating_sub(used))
    });
    Some(group.map_or(machine, |group| group.min(machine)))
}

/// Copies the pages that this process, which was forked, still shares with its parent, as a write
/// to each page would. Copying them all at once is several times as fast as copying each when it is
/// first written to. It skips mappings that are larger than those of an interpreter: those are
/// better shared, or are the stacks of threads.
pub fn unshare_pages() {
    for mapping in std::fs::read_to_string("/proc/self/maps")
        .unwrap_or_default()
        .lines()
        .filter_map(writable_mapping)
        .filter(|mapping| mapping.len() <= 4 << 20)
    {
        let populated = attempt(Call::Map, || {
            // SAFETY: populating changes no content, and the kernel checks the range.
            #[expect(unsafe_code)]
            unsafe {
                rustix::mm::madvise(
                    std::ptr::without_provenance_mut(mapping.start),
                    mapping.len(),
                    rustix::mm::Advice::LinuxPopulateWrite,
                )
            }
        });
        // Best effort: an older kernel does not know the advice.
        _ = populated;
    }
}

/// The range of addresses in a line of `/proc/self/maps`, if its memory is private and writable.
fn writable_mapping(line: &str) -> Option<std::ops::Range<usize>> {
    let mut words = line.split(' ');
    let (start, end) = words.next()?.split_once('-')?;
    let address = |word| usize::from_str_radix(word, 16).ok();
    (words.next()? == "rw-p").then_some(address(start)?..address(end)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_there_once_unshared() {
        let resident_pages = || {
            let statm = std::fs::read_to_string("/proc/self/statm").expect("statm");
            let mut fields = statm.split(' ').map(str::parse::<usize>);
            fields.nth(1).expect("a field").expect("a number")
        };
        // A mapping of its own, of pages that nobody has touched.
        let memory = vec![0_u8; 2 << 20];
        let before = resident_pages();
        unshare_pages();
        // Other tests may give some back meanwhile.
        assert!(resident_pages() > before + 256);
        assert!(memory.iter().all(|byte| *byte == 0));
    }

    #[test]
    fn only_private_memory_that_can_be_written_is_unshared() {
        let line = "7f00aa000000-7f00aa021000 rw-p 00000000 00:00 0 ";
        assert_eq!(
            writable_mapping(line),
            Some(0x7f00_aa00_0000..0x7f00_aa02_1000)
        );
        for permissions in ["rw-s", "r--p", "r-xp", "---p"] {
            assert_eq!(writable_mapping(&line.replace("rw-p", permissions)), None);
        }
        assert_eq!(writable_mapping(""), None);
    }
}
