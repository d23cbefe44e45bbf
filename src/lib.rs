//! The core of `futures_actors`: what has a thread, a lock, a descriptor or a byte layout.
//!
//! ```text
//!                     caller's thread             │  actor's thread, or I/O thread and child
//!  executor.post(m) ─▶ py::host: cell + future    │
//!                        │ put                    │ take
//!                        ▼                        │
//!                     engine::mailbox ────────────┼─▶ py::thread: handle(m) ───────────────┐
//!                                                 └─▶ py::process ═ engine::ipc ══▶ py::child
//!                                                       ◀═ answer ═ (frames of pickles) ═╡
//!  future.result() ◀─ py::future ◀─ engine::cell ◀── settle ─────────────────────────────┘
//! ```
//!
//! `engine` never touches Python; only `py` does. The package's Python code (exceptions, starting a
//! child interpreter, the public classes) is in `python/futures_actors/`.

pub mod engine;
#[cfg(feature = "python")]
mod py;
