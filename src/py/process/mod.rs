//! The process actor, in the parent: the link to a child, and the thread that serves it.

pub(super) mod crew;
mod duplicates;
mod endpoints;
pub(super) mod executor;
mod held;
mod inbound;
mod inflow;
mod io_thread;
mod link;
mod logs;
mod outbound;
mod reading;
mod relay;
mod restart;
pub(super) mod start;
pub(super) mod transport;
