//! Pools: several actors of one class behind one mailbox. From the bottom up: `key`, `transport`,
//! `core`.

pub(super) mod core;
mod key;
mod transport;
