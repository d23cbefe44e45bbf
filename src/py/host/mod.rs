//! What every executor has, whatever carries its messages.

pub(super) mod host;
pub(super) mod room;
pub(super) mod stats;
pub(super) mod stop;
