//! The interpreter as a whole: its end and its forks, waiting while detached, and the names that the
//! core needs from it.

pub(super) mod cooperative;
pub(super) mod daemon_threads;
pub(super) mod imports;
pub(super) mod lifecycle;
pub(super) mod rest;
pub(super) mod running_loop;
pub(super) mod sub_interpreters;
pub(super) mod wait;
