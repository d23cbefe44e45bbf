//! The engine: threads, locks, descriptors and byte layouts, without Python.
//!
//! Nothing here may name a Python type or take the interpreter's lock; `src/py/` supplies those as
//! type parameters. It builds and tests with the feature `python` off, and its atomic protocols
//! are model-checked with `--cfg loom`.

pub mod cell;
pub mod claims;
pub mod latch;
pub mod mailbox;
pub mod room;
pub mod slots;
pub mod sync;

#[cfg(not(loom))]
pub mod answers;
#[cfg(not(loom))]
pub mod arena;
#[cfg(not(loom))]
pub mod budget;
#[cfg(not(loom))]
pub mod crowd;
#[cfg(not(loom))]
pub mod ending;
#[cfg(all(test, not(loom), not(feature = "faults")))]
mod fault_tests;
#[cfg(not(loom))]
pub mod frame;
#[cfg(not(loom))]
pub mod link;
#[cfg(not(loom))]
pub mod packet;
#[cfg(not(loom))]
pub mod shared;
#[cfg(not(loom))]
pub mod sys;
#[cfg(not(loom))]
pub mod trace;
#[cfg(not(loom))]
pub mod window;
