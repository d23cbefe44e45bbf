//! The bell: wakes a thread that waits for handles.

use super::event::{make_event, reset_event, set_event};
use super::handle::Handle;
use super::object::HandleNumber;
use crate::engine::sys::attempt::attempt;
use crate::engine::sys::call::Call;
use crate::engine::sys::error::Result;
use crate::engine::sys::types::Interest;

/// Wakes a thread that waits in `poll`: ringing sets an event.
#[derive(Debug)]
pub struct Bell(Handle);

impl Bell {
    pub fn new() -> Result<Self> {
        attempt(Call::Open, make_event).map(Handle::of).map(Self)
    }

    pub fn ring(&self) -> Result<()> {
        // Not by `attempt`: there is no error that it can have although this package has no bug.
        set_event(self.0.raw())
    }

    /// The descriptor to wait for elsewhere, to hear it; `None` where only `poll` can wait for it.
    pub fn number(&self) -> Option<HandleNumber> {
        None
    }

    /// What to wait for, to hear it.
    pub fn rung(&self) -> Interest<'_> {
        Interest::Readable(&self.0)
    }

    /// Takes back every ring so far.
    pub fn quiet(&self) -> Result<()> {
        reset_event(self.0.raw())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use crate::engine::sys::types::Ready;
    use crate::engine::sys::windows::io::poll;

    #[test]
    fn a_bell_is_heard_once_however_often_it_rings() {
        let bell = Bell::new().expect("handles");
        for _ in 0..100 {
            bell.ring().expect("never blocks");
        }
        let hear = || {
            let [ready] = poll([Some(bell.rung())], Some(Duration::ZERO)).expect("poll");
            ready == Ready::Yes
        };
        assert!(hear());
        assert!(hear(), "it rings until it is quiet");
        bell.quiet().expect("open");
        assert!(!hear());
    }
}
