//! The signal that asks a child for its traceback.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::engine::sys::attempt::attempt;
use crate::engine::sys::call::Call;
use crate::engine::sys::error::{Error, Result};
use crate::engine::sys::unix::handle::Handle;

fn last_error() -> Error {
    let error = std::io::Error::last_os_error();
    error.raw_os_error().map_or(Error::INVALID, Error)
}

/// The signal that asks a child for its traceback: one that no library is known to use.
fn trace_signal() -> i32 {
    libc::SIGRTMAX() - 3
}

/// Its number; `None` where the system has no such signal.
pub fn traceback_signal() -> Option<i32> {
    Some(trace_signal())
}

/// Sends it to a child of this process; `process` is what `watch_process` gave for it.
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

/// The handler that the signal had before, and the counter.
static TRACING: OnceLock<(extern "C" fn(i32), &'static AtomicU64)> = OnceLock::new();

/// Calls the handler that was there before, and then counts. It runs at any moment on any thread,
/// so it only does what is safe in a signal handler.
extern "C" fn trace(signal: i32) {
    if let Some((write, count)) = TRACING.get() {
        write(signal);
        count.fetch_add(1, Ordering::SeqCst);
    }
}

/// From now on `count` goes up by one after each run of the handler that the traceback signal has
/// now. To be called once.
pub fn count_tracebacks(count: &'static AtomicU64) -> Result<()> {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    attempt(Call::Control, || {
        // SAFETY: the call writes the current action to the pointer that it gets.
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
    // SAFETY: without SA_SIGINFO, and if it is neither SIG_DFL nor SIG_IGN, it is the address of a
    // handler.
    #[expect(unsafe_code)]
    let write = unsafe { std::mem::transmute::<usize, extern "C" fn(i32)>(action.sa_sigaction) };
    TRACING.set((write, count)).map_err(|_| Error::ALREADY)?;
    action.sa_sigaction = trace as extern "C" fn(i32) as usize;
    attempt(Call::Control, || {
        // SAFETY: the handler has the signature that the flags ask for, and only does what is safe
        // in one.
        #[expect(unsafe_code)]
        let set =
            unsafe { libc::sigaction(trace_signal(), &raw const action, std::ptr::null_mut()) };
        if set == 0 { Ok(()) } else { Err(last_error()) }
    })
}
