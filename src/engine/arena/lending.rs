//! Slots that belong to this process and that forked processes may still read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::memory::Memory;
use crate::engine::ipc::slots::SLOTS_EACH;
use crate::engine::sys;

/// How many slots of an arena are lent, and how many pages they have.
#[derive(Debug)]
pub(super) struct Lending {
    memory: Arc<Memory>,
    process: u32,
    pub(super) slots: AtomicUsize,
    pub(super) pages: AtomicU64,
}

/// A slot that is lent. Dropping this frees it.
#[derive(Debug)]
pub(super) struct Lent {
    lending: Arc<Lending>,
    slot: usize,
    pages: u64,
}

impl Lending {
    pub(super) fn new(memory: &Arc<Memory>) -> Self {
        Self {
            memory: Arc::clone(memory),
            process: sys::process_id(),
            slots: AtomicUsize::new(0),
            pages: AtomicU64::new(0),
        }
    }

    /// Lends a slot that belongs to this process.
    pub(super) fn lend(self: &Arc<Self>, slot: usize) -> Arc<Lent> {
        let pages = self.memory.pages(slot);
        self.slots.fetch_add(1, Ordering::SeqCst);
        self.pages.fetch_add(pages, Ordering::SeqCst);
        Arc::new(Lent {
            lending: Arc::clone(self),
            slot,
            pages,
        })
    }
}

impl Lent {
    /// Whether so much is lent that the other process could run out of slots or memory.
    pub(super) fn is_too_much(&self) -> bool {
        let lending = &self.lending;
        lending.slots.load(Ordering::SeqCst) > SLOTS_EACH / 2
            || lending.pages.load(Ordering::SeqCst) > lending.memory.limit_pages() / 2
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let lending = &self.lending;
        if sys::process_id() != lending.process {
            return;
        }
        lending.slots.fetch_sub(1, Ordering::SeqCst);
        lending.pages.fetch_sub(self.pages, Ordering::SeqCst);
        lending.memory.release(self.slot);
    }
}
