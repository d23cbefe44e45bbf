//! This process, the end of another, and ending it.

use std::time::Duration;

use windows_sys::Win32::Foundation::{ERROR_ACCESS_DENIED, HANDLE};
use windows_sys::Win32::System::Console::SetConsoleCtrlHandler;
use windows_sys::Win32::System::Diagnostics::Debug::GetErrorMode;
use windows_sys::Win32::System::Threading::{
    GetCurrentProcess, GetExitCodeProcess, GetPriorityClass, GetProcessAffinityMask, OpenProcess,
    PROCESS_QUERY_LIMITED_INFORMATION, PROCESS_SYNCHRONIZE, PROCESS_TERMINATE, TerminateProcess,
};

use super::handle::Handle;
use super::io::poll;
use super::object::{HandleNumber, last_error, made, take_over_object};
use crate::engine::sys::attempt::attempt;
use crate::engine::sys::call::Call;
use crate::engine::sys::error::{Error, Result};
use crate::engine::sys::types::{Interest, Ready, Reaped, Signal};

/// The id of this process.
pub(in crate::engine) fn process_id() -> u32 {
    std::process::id()
}

/// The exit code of a process that was ended for this reason: as on Unix, the negative number of a
/// signal.
fn exit_code(signal: Signal) -> u32 {
    let code: i32 = match signal {
        Signal::Terminate => -15,
        Signal::Kill => -9,
    };
    code.cast_unsigned()
}

/// Ends this process at once, whatever its other threads do.
pub fn end_now() {
    // SAFETY: it is for ending this process.
    #[expect(unsafe_code)]
    let ended = unsafe { TerminateProcess(GetCurrentProcess(), exit_code(Signal::Kill)) };
    debug_assert_ne!(ended, 0);
}

/// Lets Ctrl-C interrupt this process, which was started to ignore it.
pub fn accept_interrupts() {
    // SAFETY: it adds no handler.
    #[expect(unsafe_code)]
    let accepted = unsafe { SetConsoleCtrlHandler(None, 0) };
    // Without a console there is no Ctrl-C.
    _ = accepted;
}

/// The system knows a process only by the name of its program.
pub fn name_process(_name: &str) {}

/// What a process inherits from the one that starts it and cannot be seen otherwise: its priority class,
/// the processors that it may use, and which errors the system shows to the user.
pub fn inherited() -> (u32, usize, u32) {
    let (mut processors, mut of_system) = (0, 0);
    // SAFETY: they only read what this process has; the second writes to its arguments alone.
    #[expect(unsafe_code)]
    unsafe {
        let here = GetCurrentProcess();
        GetProcessAffinityMask(here, &raw mut processors, &raw mut of_system);
        (GetPriorityClass(here), processors, GetErrorMode())
    }
}

/// A handle that becomes readable when the process `pid` has ended; `None` if there can be none. The
/// caller must have another handle of that process, so that the number is still its own.
pub fn watch_process(pid: i32) -> Option<Handle> {
    let pid = u32::try_from(pid).ok()?;
    let rights = PROCESS_SYNCHRONIZE | PROCESS_TERMINATE | PROCESS_QUERY_LIMITED_INFORMATION;
    // SAFETY: it takes numbers, and fails if there is no such process.
    #[expect(unsafe_code)]
    let opened = attempt(Call::Open, || made(unsafe { OpenProcess(rights, 0, pid) }));
    opened.map(Handle::of).ok()
}

/// A handle that becomes readable when the parent has ended; `None` if there can be none. `parent` is
/// the number of a handle of the parent that this process has inherited.
pub fn watch_parent(parent: HandleNumber) -> Option<Handle> {
    take_over_object(parent).map(Handle::of).ok()
}

/// Ends a process; nothing if it has ended. `watch` is what `watch_process` gave for it.
pub fn signal_process(watch: Option<&Handle>, _pid: i32, signal: Signal) -> Result<()> {
    let Some(watch) = watch else {
        return Err(Error::UNSUPPORTED);
    };
    attempt(Call::Signal, || {
        // SAFETY: the handle is open, and may be used for that.
        #[expect(unsafe_code)]
        let ended = unsafe { TerminateProcess(watch.raw(), exit_code(signal)) };
        if ended != 0 {
            return Ok(());
        }
        match last_error() {
            // So the system says that it has ended.
            Error(number) if number == ERROR_ACCESS_DENIED.cast_signed() => Ok(()),
            error => Err(error),
        }
    })
}

/// The exit code of a process if it has ended; with `waits` it blocks until it has. `watch` is what
/// `watch_process` gave for it.
pub fn reap(watch: Option<&Handle>, _pid: i32, waits: bool) -> Result<Reaped> {
    let Some(watch) = watch else {
        return Ok(Reaped::ByAnother);
    };
    let timeout = (!waits).then_some(Duration::ZERO);
    let [ended] = poll([Some(Interest::Readable(watch))], timeout)?;
    if ended == Ready::No {
        return Ok(Reaped::Lives);
    }
    code_of(watch.raw()).map(Reaped::Code)
}

fn code_of(process: HANDLE) -> Result<i32> {
    let mut code = 0;
    // SAFETY: the handle is open, and it writes to `code` alone.
    #[expect(unsafe_code)]
    let got = unsafe { GetExitCodeProcess(process, &raw mut code) };
    if got == 0 {
        return Err(last_error());
    }
    Ok(code.cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    fn child(line: &str) -> (Handle, std::process::Child) {
        let mut command = Command::new("cmd");
        let command = command.args(["/c", line]);
        let streams = command.stdin(Stdio::piped()).stdout(Stdio::null());
        let child = streams.spawn().expect("a program");
        let pid = i32::try_from(child.id()).expect("a small number");
        (watch_process(pid).expect("a handle"), child)
    }

    #[test]
    fn the_end_of_a_process_is_seen_and_its_code_is_known() {
        let (watch, _child) = child("exit 7");
        assert_eq!(reap(Some(&watch), 0, true), Ok(Reaped::Code(7)));
        assert_eq!(reap(Some(&watch), 0, false), Ok(Reaped::Code(7)));
    }

    #[test]
    fn a_process_that_was_ended_has_the_code_of_a_signal() {
        // It waits for its input.
        let (watch, _child) = child("pause");
        assert_eq!(reap(Some(&watch), 0, false), Ok(Reaped::Lives));
        for _ in 0..2 {
            assert_eq!(signal_process(Some(&watch), 0, Signal::Terminate), Ok(()));
            assert_eq!(reap(Some(&watch), 0, true), Ok(Reaped::Code(-15)));
        }
    }
}
