//! Processes: their end, signals to them, and the one that asks for a traceback.

use std::sync::atomic::AtomicU64;

use rustix::process::Pid;
#[cfg(target_os = "linux")]
use {std::sync::OnceLock, std::sync::atomic::Ordering};

use super::{Call, Error, Handle, Result, Signal, attempt};

#[cfg(target_os = "linux")]
fn last_error() -> Error {
    let error = std::io::Error::last_os_error();
    error.raw_os_error().map_or(Error::INVALID, Error)
}

/// The id of this process, also in one that `fork` has made.
pub(in crate::engine) fn process_id() -> u32 {
    rustix::process::getpid().as_raw_pid().unsigned_abs()
}

/// Ends this process at once, whatever its other threads do.
pub fn end_now() {
    // It cannot fail for the process itself, and there is nobody left to tell.
    _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
}

/// A descriptor that becomes readable when the process `pid` has ended, where the system has such.
pub fn watch_process(pid: i32) -> Option<Handle> {
    #[cfg(target_os = "linux")]
    {
        let pid = Pid::from_raw(pid)?;
        let flags = rustix::process::PidfdFlags::empty();
        let open = || rustix::process::pidfd_open(pid, flags);
        attempt(Call::Open, open).map(Handle).ok()
    }
    #[cfg(not(target_os = "linux"))]
    {
        _ = pid;
        None
    }
}

/// Sends a signal to a process; nothing if it has ended. `watch` is what `watch_process` gave for
/// it; without one, `pid` must not have been reaped.
pub fn signal_process(watch: Option<&Handle>, pid: i32, signal: Signal) -> Result<()> {
    let signal = match signal {
        Signal::Terminate => rustix::process::Signal::TERM,
        Signal::Kill => rustix::process::Signal::KILL,
    };
    let sent = attempt(Call::Signal, || match (watch, Pid::from_raw(pid)) {
        #[cfg(target_os = "linux")]
        (Some(watch), _) => rustix::process::pidfd_send_signal(&watch.0, signal),
        (_, Some(pid)) => rustix::process::kill_process(pid, signal),
        (_, None) => Err(rustix::io::Errno::SRCH),
    });
    match sent {
        Err(Error::NO_PROCESS) => Ok(()),
        sent => sent,
    }
}

/// The signal that asks a child for its traceback: one that no library is known to use.
#[cfg(target_os = "linux")]
fn trace_signal() -> i32 {
    libc::SIGRTMAX() - 3
}

/// Its number, where the system has such a signal.
pub fn traceback_signal() -> Option<i32> {
    #[cfg(target_os = "linux")]
    return Some(trace_signal());
    #[cfg(not(target_os = "linux"))]
    return None;
}

/// Sends it to a process of one's own, by what `watch_process` gave.
#[cfg(target_os = "linux")]
pub fn ask_for_traceback(process: &Handle) -> Result<()> {
    let no_info = std::ptr::null::<libc::siginfo_t>();
    attempt(Call::Signal, || {
        // SAFETY: the descriptor is open, and the call only reads its arguments.
        #[expect(unsafe_code)]
        let sent = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                process.number(),
                trace_signal(),
                no_info,
                0,
            )
        };
        if sent == 0 { Ok(()) } else { Err(last_error()) }
    })
}

/// What the handler of the trace signal calls, and where it counts.
#[cfg(target_os = "linux")]
static TRACING: OnceLock<(extern "C" fn(i32), &'static AtomicU64)> = OnceLock::new();

/// Calls the handler that was there, and counts. It runs at any moment on any thread, so it does
/// nothing that is not safe in a signal's handler.
#[cfg(target_os = "linux")]
extern "C" fn trace(signal: i32) {
    if let Some((write, count)) = TRACING.get() {
        write(signal);
        count.fetch_add(1, Ordering::SeqCst);
    }
}

/// Has `count` go up by one after each run of the handler that the trace signal has. Once.
#[cfg(target_os = "linux")]
pub fn count_tracebacks(count: &'static AtomicU64) -> Result<()> {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    attempt(Call::Control, || {
        // SAFETY: it writes the action that is in force to where it is told.
        #[expect(unsafe_code)]
        let got = unsafe { libc::sigaction(trace_signal(), std::ptr::null(), action.as_mut_ptr()) };
        if got == 0 { Ok(()) } else { Err(last_error()) }
    })?;
    // SAFETY: the call above has written it.
    #[expect(unsafe_code)]
    let mut action = unsafe { action.assume_init() };
    let plain = action.sa_flags & libc::SA_SIGINFO == 0;
    if !plain || [libc::SIG_DFL, libc::SIG_IGN].contains(&action.sa_sigaction) {
        return Err(Error::INVALID);
    }
    // SAFETY: without SA_SIGINFO, and neither of the two constants, it is a handler's address.
    #[expect(unsafe_code)]
    let write = unsafe { std::mem::transmute::<usize, extern "C" fn(i32)>(action.sa_sigaction) };
    TRACING.set((write, count)).map_err(|_| Error::ALREADY)?;
    action.sa_sigaction = trace as extern "C" fn(i32) as usize;
    attempt(Call::Control, || {
        // SAFETY: the handler is of the kind that the flags say, and does only what one may do.
        #[expect(unsafe_code)]
        let set =
            unsafe { libc::sigaction(trace_signal(), &raw const action, std::ptr::null_mut()) };
        if set == 0 { Ok(()) } else { Err(last_error()) }
    })
}

#[cfg(not(target_os = "linux"))]
pub fn ask_for_traceback(_process: &Handle) -> Result<()> {
    Err(Error::UNSUPPORTED)
}

#[cfg(not(target_os = "linux"))]
pub fn count_tracebacks(_count: &'static AtomicU64) -> Result<()> {
    Err(Error::UNSUPPORTED)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::time::Duration;

    use crate::engine::sys::{Interest, Ready, poll};

    #[test]
    fn the_end_of_a_process_is_seen() {
        let mut child = std::process::Command::new("true").spawn().expect("true");
        let pid = i32::try_from(child.id()).expect("a pid");
        let watch = watch_process(pid).expect("pidfd");
        let ended = Interest::Readable(&watch);
        let [ready] = poll([Some(ended)], Some(Duration::from_secs(20))).expect("poll");
        assert_eq!(ready, Ready::Yes);
        child.wait().expect("reaped");
    }
}
