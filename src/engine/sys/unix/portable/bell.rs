//! A bell is a pipe.

use crate::engine::sys::error::Result;
use crate::engine::sys::unix::handle::Handle;
use crate::engine::sys::unix::io::{pipe, set_nonblocking};

pub(in crate::engine::sys::unix) fn bell_ends() -> Result<(Handle, Option<Handle>)> {
    let (read, write) = pipe()?;
    set_nonblocking(&read)?;
    set_nonblocking(&write)?;
    Ok((read, Some(write)))
}
