//! The engine: threads, locks, descriptors and byte layouts, without Python.
//!
//! No code here may use a Python type or take the GIL; `src/py/` supplies Python types as type
//! parameters. The engine builds and tests without the feature `python`, and its atomic protocols are
//! model-checked with `--cfg loom`.

pub mod cell;
pub mod chimes;
pub mod holding;
pub mod ipc;
pub mod latch;
pub mod loads;
pub mod mailbox;
pub mod ring;
pub mod room;
pub mod roster;
pub mod stream;
pub mod sync;

#[cfg(not(loom))]
pub mod arena;
#[cfg(not(loom))]
pub mod convoy;
#[cfg(not(loom))]
pub mod ending;
#[cfg(not(loom))]
pub mod handoff;
#[cfg(not(loom))]
pub mod pace;
#[cfg(not(loom))]
pub mod plain;
#[cfg(not(loom))]
pub mod restarts;
#[cfg(not(loom))]
pub mod sys;
#[cfg(not(loom))]
pub mod waits;
