//! What the transitions of a cell are given, and what they return.

/// What of Python the caller holds when it ends a cell.
///
/// Callbacks should run before the threads that wait for the result go on, so that these find the
/// callbacks' work done. So a thread that ends a watched cell must already be attached: it then
/// keeps the GIL until the first callback releases it.
///
/// `concurrent.futures.wait` takes the condition of each future, looks at their states and adds
/// itself to their waiters, as one step. Once a cell has such a condition, a thread must take it
/// before it settles the cell, or the step would not be atomic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    Nothing,
    /// The thread is attached to Python.
    Attached,
    /// The thread is attached, and holds the condition variable that the standard library uses.
    Condition,
}

#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Settle<R, W> {
    /// Done. If there is a watch, the caller must serve it without holding a lock, and then set
    /// [`Cell::served`](super::Cell::served).
    Settled(Option<Box<W>>),
    /// The cell was done before: nothing changed, and the outcome comes back.
    TooLate(R),
    /// Nothing changed: call again attached.
    NeedsAttached(R),
    /// Nothing changed: call again holding the condition.
    NeedsCondition(R),
}

#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Cancel<M, W> {
    /// It is cancelled by this call. The message is handed back to be dropped outside the lock.
    Cancelled {
        message: Option<M>,
        watch: Option<Box<W>>,
    },
    Already,
    /// It runs or has finished.
    TooLate,
    NeedsCondition,
}

/// What [`Cell::begin`](super::Cell::begin) found.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Begin<M> {
    /// The caller must handle the message, which cannot be cancelled any more.
    Message(M),
    /// It was cancelled or settled: skip it.
    Gone,
}
