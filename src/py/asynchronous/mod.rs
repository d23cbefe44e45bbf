//! Async actors: what their event loop needs of the core. `_event_loop.py` runs the loop.
//!
//! `waker.rs` wakes a loop that waits for messages, `waits.rs` tells that it waits for other actors. A
//! thread and a child each have a [`Source`].

pub(super) mod core;
mod message;
mod source;
mod traces;
pub(super) mod waits;
pub(super) mod waker;

pub(super) use self::core::LoopCore;
pub(super) use self::message::LoopMessage;
pub(super) use self::source::{Calls, Entered, Open, Outlet, Source, Taken, Ticket};
