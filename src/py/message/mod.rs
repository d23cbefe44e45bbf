//! A message and its outcome, as data: no file here waits, sends, or calls the user's code.

pub(super) mod fault;
pub(super) mod items;
pub(super) mod message;
pub(super) mod outcome;
pub(super) mod relayed;
pub(super) mod request;
pub(super) mod tally;
pub(super) mod ticket;
