//! Python objects to the bodies of frames and back.

pub(super) mod actors;
pub(super) mod body;
pub(super) mod buffer;
pub(super) mod packed;
pub(super) mod pickle;
