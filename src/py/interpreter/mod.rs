//! The interpreter as a whole: its end and its forks, waiting while detached, and the names that the
//! core needs from it.

pub(super) mod cooperative;
pub(super) mod imports;
pub(super) mod lifecycle;
pub(super) mod main_only;
pub(super) mod wait;
