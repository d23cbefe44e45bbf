//! The bell: wakes a thread that waits for handles.

use super::handle::{Handle, HandleNumber};
use super::native::bell_ends;
use crate::engine::sys::attempt::{attempt, retry};
use crate::engine::sys::call::Call;
use crate::engine::sys::error::{Error, Result};
use crate::engine::sys::types::Interest;

/// Wakes a thread that waits in `poll`: ringing makes a descriptor readable.
#[derive(Debug)]
pub struct Bell {
    read: Handle,
    /// `None`: `read` is both ends.
    write: Option<Handle>,
}

/// What a ring adds to an eventfd's count; to a pipe it is eight bytes.
const RING: [u8; 8] = 1_u64.to_ne_bytes();

impl Bell {
    pub fn new() -> Result<Self> {
        let (read, write) = bell_ends()?;
        Ok(Self { read, write })
    }

    pub fn ring(&self) -> Result<()> {
        // If a ring were lost, a thread might sleep for ever.
        const TRIES: u32 = 1000;
        let end = &self.write.as_ref().unwrap_or(&self.read).0;
        let mut rung = Ok(RING.len());
        for _ in 0..TRIES {
            rung = retry(|| attempt(Call::Ring, || rustix::io::write(end, &RING)));
            if rung != Err(Error::NO_MEMORY) {
                break;
            }
            std::thread::yield_now();
        }
        match rung {
            // Full: the bell has been rung, and no thread has heard it yet.
            Ok(_) | Err(Error::WOULD_BLOCK) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The descriptor to wait for elsewhere, to hear it; `None` where only `poll` can wait for it.
    pub fn number(&self) -> Option<HandleNumber> {
        Some(self.read.number())
    }

    /// What to wait for, to hear it.
    pub fn rung(&self) -> Interest<'_> {
        Interest::Readable(&self.read)
    }

    /// Takes back every ring so far.
    pub fn quiet(&self) -> Result<()> {
        let mut rings = [0; 64 * RING.len()];
        let mut hear = || {
            attempt(Call::Read, || {
                rustix::io::read(&self.read.0, &mut rings[..])
            })
        };
        loop {
            match retry(&mut hear) {
                Ok(heard) if heard == 64 * RING.len() => {}
                Ok(_) | Err(Error::WOULD_BLOCK) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::io::poll;
    use super::*;
    use crate::engine::sys::types::Ready;
    use std::time::Duration;

    #[test]
    fn a_bell_is_heard_once_however_often_it_rings() {
        let bell = Bell::new().expect("descriptors");
        for _ in 0..200_000 {
            bell.ring().expect("never blocks");
        }
        let hear = || {
            let [ready] = poll([Some(bell.rung())], Some(Duration::ZERO)).expect("poll");
            ready == Ready::Yes
        };
        assert!(hear());
        bell.quiet().expect("readable");
        assert!(!hear());
    }
}
