//! References: what an executor, and every object that stands for an actor, can do with the actor.
//! From the bottom up: `target`, `hold`, `core`, `own`.

pub(super) mod core;
pub(super) mod hold;
pub(super) mod own;
pub(super) mod target;
