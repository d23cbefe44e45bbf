//! Descriptors: pipes, reading and writing, waiting for many at once, and the bell.

use std::fs::File;
use std::io::IoSlice;
use std::time::Duration;

use rustix::buffer::spare_capacity;
#[cfg(target_os = "linux")]
use rustix::event::EventfdFlags;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
#[cfg(target_os = "linux")]
use rustix::pipe::PipeFlags;

use super::{Call, Error, Interest, Ready, Result, attempt, retry};

/// What this process owns of the system's, a descriptor; it is closed when this is dropped.
#[derive(Debug)]
pub struct Handle(pub(super) OwnedFd);

/// How Python, and another process that is given it, know a handle.
pub type HandleNumber = RawFd;

impl Handle {
    pub fn number(&self) -> HandleNumber {
        self.0.as_raw_fd()
    }
}

/// A pipe: the end to read from, the end to write to. Both block.
pub fn pipe() -> Result<(Handle, Handle)> {
    #[cfg(target_os = "linux")]
    let (read, write) = attempt(Call::Open, || rustix::pipe::pipe_with(PipeFlags::CLOEXEC))?;
    #[cfg(not(target_os = "linux"))]
    let (read, write) = {
        let (read, write) = attempt(Call::Open, rustix::pipe::pipe)?;
        for end in [&read, &write] {
            rustix::io::fcntl_setfd(end, rustix::io::FdFlags::CLOEXEC)?;
        }
        (read, write)
    };
    Ok((Handle(read), Handle(write)))
}

pub fn set_nonblocking(handle: &Handle) -> Result<()> {
    attempt(Call::Control, || rustix::io::ioctl_fionbio(&handle.0, true))
}

/// Takes over a descriptor that this process was given by its parent, and keeps it from the
/// processes that this one starts.
pub fn inherited(number: HandleNumber) -> Result<Handle> {
    // SAFETY: the caller is the entry of a child, which was given this number to own; a number
    // that is not open is an error of the next line and is never closed.
    #[expect(unsafe_code)]
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    attempt(Call::Control, || {
        rustix::io::fcntl_setfd(borrowed, rustix::io::FdFlags::CLOEXEC)
    })?;
    // SAFETY: it is open, as the line above has shown, and nobody else in this process owns it:
    // the entry runs once, first.
    #[expect(unsafe_code)]
    Ok(Handle(unsafe { OwnedFd::from_raw_fd(number) }))
}

impl From<Handle> for File {
    fn from(handle: Handle) -> Self {
        handle.0.into()
    }
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

/// One read of what is there, appended to `buffer` as far as that has spare capacity.
pub fn read(handle: &Handle, buffer: &mut Vec<u8>) -> Result<usize> {
    attempt(Call::Read, || {
        rustix::io::read(&handle.0, spare_capacity(buffer))
    })
}

/// One write, of as much as the other side takes.
pub fn write(handle: &Handle, slices: &[IoSlice<'_>]) -> Result<usize> {
    attempt(Call::Write, || match slices {
        [one] => rustix::io::write(&handle.0, one),
        many => rustix::io::writev(&handle.0, many),
    })
}

/// Another handle on the same, close-on-exec too.
pub fn duplicate(handle: &Handle) -> Result<Handle> {
    let duplicate = || rustix::io::fcntl_dupfd_cloexec(&handle.0, 0);
    attempt(Call::Open, duplicate).map(Handle)
}

/// Rings across threads through a descriptor, so that a thread in `poll` hears it.
#[derive(Debug)]
pub struct Bell {
    /// On Linux an eventfd, one descriptor for both ends.
    read: Handle,
    #[cfg(not(target_os = "linux"))]
    write: Handle,
}

/// What a ring adds to an eventfd's count; to a pipe it is eight bytes.
const RING: [u8; 8] = 1_u64.to_ne_bytes();

impl Bell {
    #[cfg(target_os = "linux")]
    pub fn new() -> Result<Self> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let read = attempt(Call::Open, || rustix::event::eventfd(0, flags)).map(Handle)?;
        Ok(Self { read })
    }

    #[cfg(not(target_os = "linux"))]
    pub fn new() -> Result<Self> {
        let (read, write) = pipe()?;
        set_nonblocking(&read)?;
        set_nonblocking(&write)?;
        Ok(Self { read, write })
    }

    fn end_to_ring(&self) -> &Handle {
        #[cfg(target_os = "linux")]
        return &self.read;
        #[cfg(not(target_os = "linux"))]
        return &self.write;
    }

    pub fn ring(&self) -> Result<()> {
        // A ring that is lost may be a thread that sleeps for ever.
        const TRIES: u32 = 1000;
        let end = &self.end_to_ring().0;
        let mut rung = Ok(RING.len());
        for _ in 0..TRIES {
            rung = retry(|| attempt(Call::Ring, || rustix::io::write(end, &RING)));
            if rung != Err(Error::NO_MEMORY) {
                break;
            }
            std::thread::yield_now();
        }
        match rung {
            // Full: it has been rung and not heard yet.
            Ok(_) | Err(Error::WOULD_BLOCK) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// What to wait for, to hear it.
    pub fn rung(&self) -> Interest<'_> {
        Interest::Readable(&self.read)
    }

    /// Takes back every ring so far.
    pub fn quiet(&self) -> Result<()> {
        let mut rings = [0; 64 * RING.len()];
        let mut hear = || {
            attempt(Call::Read, || {
                rustix::io::read(&self.read.0, &mut rings[..])
            })
        };
        loop {
            match retry(&mut hear) {
                Ok(heard) if heard == 64 * RING.len() => {}
                Ok(_) | Err(Error::WOULD_BLOCK) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bell_is_heard_once_however_often_it_rings() {
        let bell = Bell::new().expect("descriptors");
        for _ in 0..200_000 {
            bell.ring().expect("never blocks");
        }
        let hear = || {
            let [ready] = poll([Some(bell.rung())], Some(Duration::ZERO)).expect("poll");
            ready == Ready::Yes
        };
        assert!(hear());
        bell.quiet().expect("readable");
        assert!(!hear());
    }

    #[test]
    fn a_descriptor_that_is_not_open_is_an_error() {
        assert!(inherited(987_654).is_err());
    }
}
