//! Handles: objects of the system, and the ends of pipes, which are memory and events.

use std::os::windows::io::{AsRawHandle, OwnedHandle};

use windows_sys::Win32::Foundation::HANDLE;

use super::end::End;
use super::object::{HandleNumber, duplicate_of, number_of, take_over_next};
use crate::engine::ring::Side;
use crate::engine::sys::error::Result;

/// An object of the system that this process owns, or an end of a pipe. Dropping the handle closes it.
#[derive(Debug)]
pub struct Handle {
    /// Of a pipe: its memory.
    pub(super) object: OwnedHandle,
    pub(super) end: Option<End>,
}

impl Handle {
    pub(super) fn of(object: OwnedHandle) -> Self {
        Self { object, end: None }
    }

    pub(super) fn end(section: OwnedHandle, end: End) -> Self {
        Self {
            object: section,
            end: Some(end),
        }
    }

    pub fn number(&self) -> HandleNumber {
        number_of(&self.object)
    }

    pub(super) fn raw(&self) -> HANDLE {
        self.object.as_raw_handle()
    }
}

/// A duplicate of this handle, which processes that this one starts do not inherit either.
pub fn duplicate(handle: &Handle) -> Result<Handle> {
    let object = duplicate_of(&handle.object)?;
    let end = handle.end.as_ref().map(End::duplicate);
    Ok(Handle { object, end })
}

/// Takes over a handle that this process was given by `hand_over`: the next of `numbers`, which are
/// those that the objects have here. `side` is which end of a pipe it is, and `None` for an object.
pub fn take_over(
    numbers: &mut impl Iterator<Item = HandleNumber>,
    side: Option<Side>,
) -> Result<Handle> {
    let object = take_over_next(numbers)?;
    match side {
        None => Ok(Handle::of(object)),
        Some(side) => {
            let end = End::join(&object, numbers, side)?;
            Ok(Handle::end(object, end))
        }
    }
}

/// The numbers of the objects that a child needs to take this handle over. Call it once for a child:
/// from then on the child's end of a pipe counts as open.
pub fn hand_over(handle: &Handle) -> Vec<HandleNumber> {
    let events = handle.end.iter().flat_map(End::hand_over);
    std::iter::once(handle.number()).chain(events).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::engine::sys::error::Error;

    #[test]
    fn a_number_that_is_not_open_is_an_error() {
        for number in [987_656, -1, 0, HandleNumber::MIN] {
            let numbers = &mut [number].into_iter();
            assert_eq!(take_over(numbers, None).err(), Some(Error::CLOSED));
            assert_eq!(take_over(numbers, None).err(), Some(Error::CLOSED));
        }
    }
}
