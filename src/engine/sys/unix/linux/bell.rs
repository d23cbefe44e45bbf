//! A bell is an eventfd, one descriptor for both ends.

use rustix::event::EventfdFlags;

use crate::engine::sys::attempt::attempt;
use crate::engine::sys::call::Call;
use crate::engine::sys::error::Result;
use crate::engine::sys::unix::handle::Handle;

pub(in crate::engine::sys::unix) fn bell_ends() -> Result<(Handle, Option<Handle>)> {
    let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
    let bell = attempt(Call::Open, || rustix::event::eventfd(0, flags))?;
    Ok((Handle(bell), None))
}
