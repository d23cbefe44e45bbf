//! The process actor, in the parent: the link to a child, and the thread that serves it.

pub(super) mod executor;
pub(super) mod inbound;
pub(super) mod link;
pub(super) mod logs;
pub(super) mod outbound;
pub(super) mod reading;
pub(super) mod start;
pub(super) mod transport;
