//! Descriptors: pipes, reading and writing, waiting for many at once, and the bell.

use std::io::IoSlice;
use std::time::Duration;

use rustix::buffer::Buffer;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use rustix::io::{Errno, Result};
#[cfg(target_os = "linux")]
use rustix::pipe::PipeFlags;

use super::{Call, attempt, retry};

/// A pipe: the end to read from, the end to write to. Both block.
pub fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    #[cfg(target_os = "linux")]
    return attempt(Call::Open, || rustix::pipe::pipe_with(PipeFlags::CLOEXEC));
    #[cfg(not(target_os = "linux"))]
    {
        let (read, write) = attempt(Call::Open, rustix::pipe::pipe)?;
        for end in [&read, &write] {
            rustix::io::fcntl_setfd(end, rustix::io::FdFlags::CLOEXEC)?;
        }
        Ok((read, write))
    }
}

pub fn set_nonblocking(fd: impl AsFd) -> Result<()> {
    attempt(Call::Control, || rustix::io::ioctl_fionbio(fd, true))
}

/// Takes over a descriptor that this process was given by its parent, and keeps it from the
/// processes that this one starts.
pub fn inherited(fd: RawFd) -> Result<OwnedFd> {
    // SAFETY: the caller is the entry of a child, which was given this number to own; a number
    // that is not open is an error of the next line and is never closed.
    #[expect(unsafe_code)]
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    attempt(Call::Control, || {
        rustix::io::fcntl_setfd(borrowed, rustix::io::FdFlags::CLOEXEC)
    })?;
    // SAFETY: it is open, as the line above has shown, and nobody else in this process owns it:
    // the entry runs once, first.
    #[expect(unsafe_code)]
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// What to wait for on a descriptor.
#[derive(Clone, Copy)]
pub struct Interest<'a> {
    pub fd: BorrowedFd<'a>,
    pub flags: PollFlags,
}

/// Waits until something is ready or `timeout` is over, and returns what is: one set of flags per
/// interest. Blocks; a signal ends it with `Errno::INTR`.
pub fn poll<const N: usize>(
    interests: [Option<Interest<'_>>; N],
    timeout: Option<Duration>,
) -> Result<[PollFlags; N]> {
    let mut fds: Vec<PollFd<'_>> = Vec::with_capacity(N);
    for interest in interests.iter().flatten() {
        fds.push(PollFd::from_borrowed_fd(interest.fd, interest.flags));
    }
    let timeout: Option<Timespec> = timeout.and_then(|timeout| timeout.try_into().ok());
    attempt(Call::Poll, || {
        rustix::event::poll(&mut fds, timeout.as_ref())
    })?;
    let mut ready = fds.into_iter().map(|fd| fd.revents());
    Ok(interests.map(|interest| {
        interest
            .and_then(|_| ready.next())
            .unwrap_or(PollFlags::empty())
    }))
}

/// One read of what is there into spare capacity, or a slice.
pub fn read<B: Buffer<u8>>(fd: impl AsFd, buffer: B) -> Result<B::Output> {
    attempt(Call::Read, || rustix::io::read(fd, buffer))
}

/// One write, of as much as the other side takes.
pub fn write(fd: impl AsFd, slices: &[IoSlice<'_>]) -> Result<usize> {
    attempt(Call::Write, || match slices {
        [one] => rustix::io::write(fd, one),
        many => rustix::io::writev(fd, many),
    })
}

/// Another descriptor of the same, close-on-exec too.
pub fn duplicate(fd: &OwnedFd) -> Result<OwnedFd> {
    attempt(Call::Open, || rustix::io::fcntl_dupfd_cloexec(fd, 0))
}

/// Rings across threads through a descriptor, so that a thread in `poll` hears it.
#[derive(Debug)]
pub struct Bell {
    read: OwnedFd,
    write: OwnedFd,
}

impl Bell {
    pub fn new() -> Result<Self> {
        let (read, write) = pipe()?;
        set_nonblocking(&read)?;
        set_nonblocking(&write)?;
        Ok(Self { read, write })
    }

    pub fn ring(&self) -> Result<()> {
        // A ring that is lost may be a thread that sleeps for ever.
        const TRIES: u32 = 1000;
        let mut rung = Ok(1);
        for _ in 0..TRIES {
            rung = retry(|| attempt(Call::Ring, || rustix::io::write(&self.write, &[1])));
            if rung != Err(Errno::NOMEM) {
                break;
            }
            std::thread::yield_now();
        }
        match rung {
            // Full: it has been rung and not heard yet.
            Ok(_) | Err(Errno::AGAIN) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Takes back every ring so far.
    pub fn quiet(&self) -> Result<()> {
        let mut rings = [0; 64];
        loop {
            match retry(|| read(&self.read, &mut rings[..])) {
                Ok(64) => {}
                Ok(_) | Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.read.as_fd()
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
            let interest = Interest {
                fd: bell.as_fd(),
                flags: PollFlags::IN,
            };
            let [ready] = poll([Some(interest)], Some(Duration::ZERO)).expect("poll");
            ready.contains(PollFlags::IN)
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
