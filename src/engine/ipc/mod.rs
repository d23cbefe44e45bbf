//! How parent and child communicate: by frames over pipes, and by words and bytes in memory that both
//! map.

pub mod claims;
pub mod credits;
pub mod inbox;
pub mod slots;

#[cfg(not(loom))]
pub mod body;
#[cfg(not(loom))]
pub mod decoder;
#[cfg(all(test, not(loom), not(feature = "faults")))]
mod fault_tests;
#[cfg(not(loom))]
pub mod frame;
#[cfg(not(loom))]
pub mod outbox;
#[cfg(not(loom))]
pub mod pipe;
#[cfg(not(loom))]
pub mod region;
#[cfg(not(loom))]
pub mod relay;
#[cfg(not(loom))]
pub mod spill;
#[cfg(not(loom))]
pub mod traceback;
#[cfg(not(loom))]
pub mod window;
