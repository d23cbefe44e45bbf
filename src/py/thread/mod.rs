//! The thread actor: one thread that constructs the object, takes messages and calls `handle`.
//!
//! From the bottom up: `call`, `source`, `event_loop`, `server`, `transport`, `executor`.

pub(super) mod call;
mod event_loop;
pub(super) mod executor;
mod server;
pub(super) mod source;
mod transport;
