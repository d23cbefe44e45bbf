//! Why there is no block, as an enum and as a word of shared memory, by which a child tells its parent.

use crate::engine::sys::Error;

/// Why there is no block, so that the buffer must go through the pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Blocks are turned off.
    Off,
    /// The blocks in use leave no room under the limit, or no slot.
    Exhausted,
    System(Error),
    /// The machine does not have that much memory, so the pipe would not help.
    NoMemory {
        available_bytes: u64,
    },
}

impl Refusal {
    pub(super) fn to_word(self) -> u64 {
        match self {
            Self::Off => 0,
            Self::Exhausted => 1,
            Self::System(error) => u64::from(error.number().unsigned_abs()) << 2 | 2,
            Self::NoMemory { available_bytes } => available_bytes << 2 | 3,
        }
    }

    pub(super) fn from_word(word: u64) -> Option<Self> {
        match word & 3 {
            1 => Some(Self::Exhausted),
            2 => {
                let number = i32::try_from(word >> 2).ok()?;
                Some(Self::System(Error::from_number(number)))
            }
            3 => Some(Self::NoMemory {
                available_bytes: word >> 2,
            }),
            _ => None,
        }
    }
}
