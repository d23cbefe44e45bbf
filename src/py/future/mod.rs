//! A future: its cell, what the standard library accesses inside it, its callbacks, its end, waiting
//! for it, and its methods. From the bottom up: `condition`, `core`, `callbacks`, `settle`, `deadlock`,
//! `waiting`, `awaiting`, `methods`.

pub(super) mod awaiting;
pub(super) mod callbacks;
mod condition;
mod core;
pub(super) mod deadlock;
mod methods;
pub(super) mod settle;
pub(super) mod waiting;

pub(super) use super::future::core::ActorCell;
pub(super) use super::future::core::FutureCore;
pub(super) use super::future::core::new_future;
pub(super) use super::future::core::new_posted;
pub(super) use super::future::core::resume_io_thread;
pub(super) use super::future::settle::WakesFuture;
