//! Which references keep an actor alive: those of others do, those that only the actor has do not.

use crate::engine::sync::{AtomicU64, Ordering};

/// Who a reference was made for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    Others,
    /// The actor itself, by `current_actor()`. It may have handed the reference on.
    Itself,
}

impl Holder {
    fn unit(self) -> u64 {
        match self {
            Self::Itself => 1,
            Self::Others => 1 << 32,
        }
    }
}

/// How many references to an actor there are: of others in the high half, of itself in the low half.
/// In one word, so that of two threads that drop the last two, one finds that there are none.
#[derive(Default)]
pub struct References(AtomicU64);

/// Which references there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    Nothing,
    /// So many that the actor has made itself.
    Own(u64),
    Others,
}

impl Left {
    fn of(count: u64) -> Self {
        match (count >> 32, count & 0xFFFF_FFFF) {
            (0, 0) => Self::Nothing,
            (0, own) => Self::Own(own),
            _ => Self::Others,
        }
    }
}

impl References {
    pub fn add(&self, holder: Holder) {
        self.0.fetch_add(holder.unit(), Ordering::SeqCst);
    }

    /// Takes back `add`. The caller must let the actor end if nothing is left.
    #[must_use]
    pub fn remove(&self, holder: Holder) -> Left {
        let unit = holder.unit();
        Left::of(self.0.fetch_sub(unit, Ordering::SeqCst) - unit)
    }

    pub fn left(&self) -> Left {
        // Relaxed: the actor's thread looks again at its next message, and is woken for changes.
        Left::of(self.0.load(Ordering::Relaxed))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_removal_says_what_is_left() {
        let references = References::default();
        references.add(Holder::Others);
        references.add(Holder::Itself);
        references.add(Holder::Itself);
        assert_eq!(references.left(), Left::Others);
        assert_eq!(references.remove(Holder::Others), Left::Own(2));
        assert_eq!(references.remove(Holder::Itself), Left::Own(1));
        references.add(Holder::Others);
        assert_eq!(references.remove(Holder::Itself), Left::Others);
        assert_eq!(references.remove(Holder::Others), Left::Nothing);
    }
}
