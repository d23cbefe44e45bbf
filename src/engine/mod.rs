//! The engine: threads, locks, descriptors and byte layouts, without Python.
//!
//! Nothing here may name a Python type or take the interpreter's lock; `src/py/` supplies those as
//! type parameters. It builds and tests with the feature `python` off, and its atomic protocols
//! are model-checked with `--cfg loom`.

pub mod cell;
pub mod chimes;
pub mod ipc;
pub mod latch;
pub mod mailbox;
pub mod room;
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
pub mod restarts;
#[cfg(not(loom))]
pub mod sys;
