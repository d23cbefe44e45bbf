//! A future: its cell, what the standard library reaches for inside it, its callbacks, its end, and
//! its methods. From the bottom up: `condition`, `core`, `callbacks`, `settle`, `methods`.

pub(super) mod callbacks;
mod condition;
mod core;
mod methods;
pub(super) mod settle;

pub(super) use self::core::{ActorCell, FutureCore, new_future, new_posted};
