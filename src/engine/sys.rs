//! The system calls that the engine makes, and the only file that may hold `unsafe`.
//!
//! Every descriptor made here is close-on-exec.

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use rustix::io::{Errno, Result};
use rustix::pipe::PipeFlags;
use std::time::Duration;

/// A pipe: the end to read from, the end to write to. Both block.
pub fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    #[cfg(target_os = "linux")]
    return rustix::pipe::pipe_with(PipeFlags::CLOEXEC);
    #[cfg(not(target_os = "linux"))]
    {
        let (read, write) = rustix::pipe::pipe()?;
        for end in [&read, &write] {
            rustix::io::fcntl_setfd(end, rustix::io::FdFlags::CLOEXEC)?;
        }
        Ok((read, write))
    }
}

pub fn set_nonblocking(fd: impl AsFd) -> Result<()> {
    rustix::io::ioctl_fionbio(fd, true)
}

/// Takes over a descriptor that this process was given by its parent, and keeps it from the
/// processes that this one starts.
pub fn inherited(fd: RawFd) -> Result<OwnedFd> {
    // SAFETY: the caller is the entry of a child, which was given this number to own; a number
    // that is not open is an error of the next line and is never closed.
    #[expect(unsafe_code)]
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    rustix::io::fcntl_setfd(borrowed, rustix::io::FdFlags::CLOEXEC)?;
    // SAFETY: it is open, as the line above has shown, and nobody else in this process owns it:
    // the entry runs once, first.
    #[expect(unsafe_code)]
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
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
        match retry(|| rustix::io::write(&self.write, &[1])) {
            // Full: it has been rung and not heard yet.
            Ok(_) | Err(Errno::AGAIN) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Takes back every ring so far.
    pub fn quiet(&self) -> Result<()> {
        let mut rings = [0; 64];
        loop {
            match retry(|| rustix::io::read(&self.read, &mut rings[..])) {
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

/// A descriptor that becomes readable when the process `pid` has ended, where the system has such.
pub fn watch_process(pid: i32) -> Option<OwnedFd> {
    #[cfg(target_os = "linux")]
    {
        let pid = rustix::process::Pid::from_raw(pid)?;
        rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok()
    }
    #[cfg(not(target_os = "linux"))]
    {
        _ = pid;
        None
    }
}

/// The process that started this one, or whoever has adopted it.
pub fn parent_pid() -> i32 {
    rustix::process::getppid().map_or(0, rustix::process::Pid::as_raw_pid)
}

/// Whether Python's signal handlers may run on this thread. Where that cannot be told, yes.
pub fn is_main_thread() -> bool {
    #[cfg(target_os = "linux")]
    return rustix::thread::gettid() == rustix::process::getpid();
    #[cfg(not(target_os = "linux"))]
    return true;
}

/// Ends this process at once, whatever its other threads do.
pub fn end_now() {
    // It cannot fail for the process itself, and there is nobody left to tell.
    _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
}

/// What to wait for on a descriptor.
pub struct Interest<'a> {
    pub fd: BorrowedFd<'a>,
    pub flags: PollFlags,
}

/// Waits until something is ready or `timeout` is over, and returns what is: one set of flags per
/// interest. Blocks; a signal restarts it.
pub fn poll<const N: usize>(
    interests: [Option<Interest<'_>>; N],
    timeout: Option<Duration>,
) -> Result<[PollFlags; N]> {
    let mut fds: Vec<PollFd<'_>> = Vec::with_capacity(N);
    for interest in interests.iter().flatten() {
        fds.push(PollFd::from_borrowed_fd(interest.fd, interest.flags));
    }
    let timeout: Option<Timespec> = timeout.and_then(|timeout| timeout.try_into().ok());
    retry(|| rustix::event::poll(&mut fds, timeout.as_ref()))?;
    let mut ready = fds.into_iter().map(|fd| fd.revents());
    Ok(interests.map(|interest| {
        interest
            .and_then(|_| ready.next())
            .unwrap_or(PollFlags::empty())
    }))
}

/// Repeats a call that a signal interrupted.
pub fn retry<T>(mut call: impl FnMut() -> Result<T>) -> Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result,
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

    #[cfg(target_os = "linux")]
    #[test]
    fn the_end_of_a_process_is_seen() {
        let mut child = std::process::Command::new("true").spawn().expect("true");
        let pid = i32::try_from(child.id()).expect("a pid");
        let watch = watch_process(pid).expect("pidfd");
        let interest = Interest {
            fd: watch.as_fd(),
            flags: PollFlags::IN,
        };
        let [ready] = poll([Some(interest)], Some(Duration::from_secs(20))).expect("poll");
        assert!(ready.contains(PollFlags::IN));
        child.wait().expect("reaped");
    }
}
