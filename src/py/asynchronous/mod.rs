//! Async actors: what their event loop needs of the core. `_event_loop.py` runs the loop.
//!
//! `waker.rs` wakes a loop that waits for messages. A thread and a child each have a [`Source`].

pub(super) mod message;
pub(super) mod waker;

pub(super) use self::message::{LoopCore, LoopMessage, Source, Taken, Ticket};
