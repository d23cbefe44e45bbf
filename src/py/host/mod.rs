//! What every executor has, with any transport.

pub(super) mod entering;
pub(super) mod host;
mod member;
mod post;
pub(super) mod room;
pub(in crate::py) mod run;
pub(super) mod seat;
pub(super) mod stats;
pub(super) mod stop;
pub(super) mod streams;
pub(super) mod team;
pub(super) mod transport;
