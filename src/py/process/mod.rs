//! The process actor, in the parent: the link to a child, and the thread that serves it.
//!
//! `link.rs` has the state that all threads share. Down: `sending.rs`, by `outbound.rs` and, for a
//! member of a pool, `sharing.rs`, over a `connection.rs`. Up: `reading.rs`, by `receiving.rs`, into
//! `inbound.rs`. What the child asks of other actors: `relay.rs`, by `admission.rs` into their mailboxes,
//! by `asker.rs` back, with `held.rs` for the count of who refers to whom.

mod admission;
mod asker;
mod connection;
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
mod onward;
mod outbound;
mod reading;
mod receiving;
mod relay;
mod restart;
mod sending;
mod sharing;
pub(super) mod start;
pub(super) mod transport;
mod turn;
