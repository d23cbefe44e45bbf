//! The remote actor: a thread that hands messages to a carrier and ends their futures with the
//! replies. The carrier is a Python object that reaches an actor elsewhere, such as in a Ray cluster.
//!
//! A carrier has these methods:
//!
//! - `pack(kind, parts)` turns a message into what `send` takes. The posting thread calls it.
//! - `start()` waits until the actor is constructed and returns its pid.
//! - `send(number, packed)` sends a message without waiting, and `send_stream(number, packed, ahead)`
//!   one whose handler yields.
//! - `receive()` returns the next `(number, reply, is_item)`, or None if mailbox and streams must be
//!   checked. The reply of a stream that has ended because it was closed is false.
//! - `open(reply)` returns or raises what `handle` did.
//! - `open_item(item)` returns what the generator has yielded. Any thread may call it.
//! - `count_taken(number, count)` says how many items of a stream have been taken.
//! - `close_stream(number)` ends a stream at the next `yield`, without waiting.
//! - `stop()` ends an actor that has handled all its messages.
//! - `rouse()` makes `receive` return. Any thread may call it.
//! - `kill(method)` ends the actor by force. Any thread may call it.
//!
//! Only the actor's thread calls the others. A method that raises `ActorLost` ends the actor.
//!
//! From the bottom up: `in_flight`, `server`, `executor`.

pub(super) mod executor;
mod in_flight;
mod server;
