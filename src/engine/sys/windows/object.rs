//! Objects of the system: their numbers, duplicates, and waiting for many at once.

use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle, RawHandle};
use std::time::Duration;

use windows_sys::Win32::Foundation::{
    DUPLICATE_CLOSE_SOURCE, DUPLICATE_SAME_ACCESS, DuplicateHandle, HANDLE, WAIT_FAILED,
    WAIT_OBJECT_0, WAIT_TIMEOUT,
};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, INFINITE, WaitForMultipleObjects};

use super::thread::at_least_millis;
use crate::engine::sys::attempt::attempt;
use crate::engine::sys::call::Call;
use crate::engine::sys::error::{Error, Result};

/// The number by which Python, and a process that inherits it, know a handle.
pub type HandleNumber = isize;

pub(super) fn number_of(object: &OwnedHandle) -> HandleNumber {
    object.as_raw_handle().addr().cast_signed()
}

/// The error of the last call of this thread.
pub(super) fn last_error() -> Error {
    let error = std::io::Error::last_os_error();
    error.raw_os_error().map_or(Error::INVALID, Error)
}

/// What a call has made, which is null if it failed.
pub(super) fn made(object: RawHandle) -> Result<OwnedHandle> {
    if object.is_null() {
        return Err(last_error());
    }
    // SAFETY: it is open, and the caller has just made it, so nothing else owns it.
    #[expect(unsafe_code)]
    Ok(unsafe { OwnedHandle::from_raw_handle(object) })
}

/// A duplicate, which processes that this one starts do not inherit.
pub(super) fn duplicate_of(object: &OwnedHandle) -> Result<OwnedHandle> {
    attempt(Call::Open, || duplicate_object(object.as_raw_handle(), 0))
}

fn duplicate_object(object: HANDLE, options: u32) -> Result<OwnedHandle> {
    let mut new = std::ptr::null_mut();
    // SAFETY: it writes to `new` alone. If the number is not open, the call fails.
    #[expect(unsafe_code)]
    let duplicated = unsafe {
        let here = GetCurrentProcess();
        let options = options | DUPLICATE_SAME_ACCESS;
        DuplicateHandle(here, object, here, &raw mut new, 0, 0, options)
    };
    if duplicated == 0 {
        return Err(last_error());
    }
    made(new)
}

/// Takes over the object with the next number.
pub(super) fn take_over_next(
    numbers: &mut impl Iterator<Item = HandleNumber>,
) -> Result<OwnedHandle> {
    numbers.next().map_or(Err(Error::CLOSED), take_over_object)
}

/// Takes over an object that this process was given by its parent, and knows by its number: it is
/// closed, and what is returned is not inherited by the processes that this one starts.
pub(super) fn take_over_object(number: HandleNumber) -> Result<OwnedHandle> {
    // -1 stands for this process, and 0 for none.
    if number <= 0 {
        return Err(Error::CLOSED);
    }
    let object = std::ptr::without_provenance_mut(number.cast_unsigned());
    attempt(Call::Open, || {
        duplicate_object(object, DUPLICATE_CLOSE_SOURCE)
    })
}

/// Waits until one is signaled, and returns the first that is; `None` if the time is over.
pub(super) fn wait_for_any(handles: &[HANDLE], timeout: Option<Duration>) -> Result<Option<usize>> {
    let millis = timeout.map_or(INFINITE, at_least_millis);
    if handles.is_empty() {
        std::thread::sleep(Duration::from_millis(millis.into()));
        return Ok(None);
    }
    let count = u32::try_from(handles.len()).map_err(|_| Error::INVALID)?;
    // SAFETY: it reads that many handles, which the caller keeps open.
    #[expect(unsafe_code)]
    let found = unsafe { WaitForMultipleObjects(count, handles.as_ptr(), 0, millis) };
    match found {
        WAIT_TIMEOUT => Ok(None),
        WAIT_FAILED => Err(last_error()),
        found => Ok(Some((found - WAIT_OBJECT_0) as usize)),
    }
}
