//! Streams: the items that a handler yields, taken one by one by the code that asked for them.
//!
//! The queue between the two is `engine/stream/`. Here is its end for Python code (`core`), and the
//! thread that runs the generator (`run`).

pub(super) mod core;
pub(super) mod run;
