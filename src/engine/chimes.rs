//! Bells for latches, for threads that must not sleep on one: a thread whose event loop runs other
//! code in the meantime waits for a bell's descriptor instead. Other threads pay nothing for this.

use std::sync::{Arc, PoisonError};

#[cfg(loom)]
use loom::sync::atomic::{AtomicUsize, Ordering};
#[cfg(loom)]
use loom::sync::{Mutex, MutexGuard};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicUsize, Ordering};
#[cfg(not(loom))]
use std::sync::{Mutex, MutexGuard};

#[cfg(loom)]
pub use self::stand_in::Bell;
#[cfg(not(loom))]
pub use super::sys::Bell;

/// Which bells ring when which latch is set. A latch is known by its address.
///
/// Invariant: `count` is at least the number of bells. A bell is hung before its latch is marked, and
/// a thread that sets a marked latch looks here afterwards, so it sees the bell.
#[derive(Debug)]
pub struct Chimes {
    count: AtomicUsize,
    bells: Mutex<Vec<(usize, Arc<Bell>)>>,
}

#[cfg(not(loom))]
pub static CHIMES: Chimes = Chimes {
    count: AtomicUsize::new(0),
    bells: Mutex::new(Vec::new()),
};

#[cfg(loom)]
loom::lazy_static! {
    pub static ref CHIMES: Chimes = Chimes {
        count: AtomicUsize::new(0),
        bells: Mutex::new(Vec::new()),
    };
}

impl Chimes {
    fn bells(&self) -> MutexGuard<'_, Vec<(usize, Arc<Bell>)>> {
        self.bells.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes `bell` ring when the latch at this address is set, until it is taken down.
    pub fn hang(&self, latch: usize, bell: Arc<Bell>) {
        self.count.fetch_add(1, Ordering::SeqCst);
        self.bells().push((latch, bell));
    }

    /// Takes down what `hang` has hung.
    pub fn take_down(&self, latch: usize, bell: &Arc<Bell>) {
        let mut bells = self.bells();
        let at = bells
            .iter()
            .position(|(of, other)| *of == latch && Arc::ptr_eq(other, bell));
        let gone = at.map(|at| bells.swap_remove(at));
        drop(bells);
        if gone.is_some() {
            self.count.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Rings the bells of the latch at this address, which has been set.
    pub fn ring(&self, latch: usize) {
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        for (_, bell) in self.bells().iter().filter(|(of, _)| *of == latch) {
            // An error loses no wake-up: the thread that waits also checks the latch regularly.
            _ = bell.ring();
        }
    }
}

/// Loom's own stand-in for `sys::Bell`.
#[cfg(loom)]
mod stand_in {
    use loom::sync::Notify;

    #[derive(Debug)]
    pub struct Bell(Notify);

    impl Bell {
        pub fn new() -> Result<Self, ()> {
            Ok(Self(Notify::new()))
        }

        pub fn ring(&self) -> Result<(), ()> {
            self.0.notify();
            Ok(())
        }

        pub fn hear(&self) {
            self.0.wait();
        }
    }
}
