//! Events: threads wait for one until it is set, and it stays set until it is reset.

use std::os::windows::io::{AsRawHandle, OwnedHandle};

use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::System::Threading::{CreateEventW, ResetEvent, SetEvent};

use super::object::{HandleNumber, last_error, made, number_of, take_over_next};
use crate::engine::ring;
use crate::engine::sys::attempt::attempt;
use crate::engine::sys::call::Call;
use crate::engine::sys::error::Result;

#[derive(Debug)]
pub(super) struct Event(OwnedHandle);

impl Event {
    pub(super) fn new() -> Result<Self> {
        attempt(Call::Open, make_event).map(Self)
    }

    /// One that this process was given: the next of `numbers`.
    pub(super) fn take_over(numbers: &mut impl Iterator<Item = HandleNumber>) -> Result<Self> {
        take_over_next(numbers).map(Self)
    }

    pub(super) fn number(&self) -> HandleNumber {
        number_of(&self.0)
    }

    pub(super) fn raw(&self) -> HANDLE {
        self.0.as_raw_handle()
    }
}

impl ring::Event for Event {
    fn set(&self) {
        // It can only fail for a handle that is no event.
        let done = set_event(self.raw());
        debug_assert!(done.is_ok());
    }

    fn reset(&self) {
        let done = reset_event(self.raw());
        debug_assert!(done.is_ok());
    }
}

pub(super) fn make_event() -> Result<OwnedHandle> {
    // SAFETY: it reads nothing through its arguments.
    #[expect(unsafe_code)]
    let event = unsafe { CreateEventW(std::ptr::null(), 1, 0, std::ptr::null()) };
    made(event)
}

pub(super) fn set_event(event: HANDLE) -> Result<()> {
    // SAFETY: it has no effect but on the event, and fails if there is none.
    #[expect(unsafe_code)]
    let done = unsafe { SetEvent(event) };
    if done == 0 { Err(last_error()) } else { Ok(()) }
}

pub(super) fn reset_event(event: HANDLE) -> Result<()> {
    // SAFETY: as above.
    #[expect(unsafe_code)]
    let done = unsafe { ResetEvent(event) };
    if done == 0 { Err(last_error()) } else { Ok(()) }
}
