//! References: what an executor, and every object that stands for an actor, can do with the actor.
//! From the bottom up: `target`, `hold`, `core`.

pub(super) mod core;
pub(super) mod hold;
pub(super) mod target;
