//! What every executor has, whatever carries its messages.

pub(super) mod host;
mod post;
pub(super) mod room;
mod run;
pub(super) mod stats;
pub(super) mod stop;
pub(super) mod transport;
