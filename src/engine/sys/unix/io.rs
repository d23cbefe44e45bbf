//! Pipes, reading and writing, and waiting for many handles at once.

use std::io::IoSlice;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec};

use super::handle::Handle;
use super::native::make_pipe;
use crate::engine::sys::attempt::attempt;
use crate::engine::sys::call::Call;
use crate::engine::sys::error::Result;
use crate::engine::sys::types::{Interest, Ready};

/// A pipe: the end to read from, the end to write to. Both block.
pub fn pipe() -> Result<(Handle, Handle)> {
    let (read, write) = attempt(Call::Open, make_pipe)?;
    Ok((Handle(read), Handle(write)))
}

pub fn set_nonblocking(handle: &Handle) -> Result<()> {
    attempt(Call::Control, || rustix::io::ioctl_fionbio(&handle.0, true))
}

/// Waits until something is ready or `timeout` is over, and returns what is. Blocks; a signal ends
/// it with `Error::INTERRUPTED`.
pub fn poll<const N: usize>(
    interests: [Option<Interest<'_>>; N],
    timeout: Option<Duration>,
) -> Result<[Ready; N]> {
    let mut fds: Vec<PollFd<'_>> = Vec::with_capacity(N);
    for interest in interests.iter().flatten() {
        let (handle, flags) = match interest {
            Interest::Readable(handle) => (handle, PollFlags::IN),
            Interest::Writable(handle) => (handle, PollFlags::OUT),
            Interest::HangUp(handle) => (handle, PollFlags::HUP),
        };
        fds.push(PollFd::new(&handle.0, flags));
    }
    let timeout: Option<Timespec> = timeout.and_then(|timeout| timeout.try_into().ok());
    attempt(Call::Poll, || {
        rustix::event::poll(&mut fds, timeout.as_ref())
    })?;
    let mut found = fds.into_iter().map(|fd| ready(fd.revents()));
    Ok(interests.map(|interest| interest.and_then(|_| found.next()).unwrap_or_default()))
}

fn ready(flags: PollFlags) -> Ready {
    if flags.contains(PollFlags::ERR) {
        Ready::Broken
    } else if flags.is_empty() {
        Ready::No
    } else {
        Ready::Yes
    }
}

/// Reads once what is there and appends it to `buffer`, up to its spare capacity.
pub fn read(handle: &Handle, buffer: &mut Vec<u8>) -> Result<usize> {
    attempt(Call::Read, || {
        rustix::io::read(&handle.0, spare_capacity(buffer))
    })
}

/// Writes once, as much as the other side takes.
pub fn write(handle: &Handle, slices: &[IoSlice<'_>]) -> Result<usize> {
    attempt(Call::Write, || match slices {
        [one] => rustix::io::write(&handle.0, one),
        many => rustix::io::writev(&handle.0, many),
    })
}
