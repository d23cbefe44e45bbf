//! A child process: the loop on its main thread, and what surrounds it.
//!
//! `run.rs` takes messages and sends answers, `call.rs` calls the actor; for an async one `event_loop.rs`
//! does both. `packing.rs` encodes what it gives. `inbox.rs` reads what the parent sends, `outbox.rs`
//! sends. All of it is detached while it waits. `watch.rs` ends the process when the parent has ended,
//! whatever Python code runs.
//!
//! `remote.rs` is what references refer to here: actors that are reached through the parent;
//! `entrance.rs` has how messages get into their bounded mailboxes. `way.rs` sends messages there,
//! `waiting.rs` waits for what the parent says of them, and `sorting.rs` takes that; `relay.rs` and
//! `ended.rs` are their data.

mod call;
mod ended;
mod entrance;
mod event_loop;
mod inbox;
mod outbox;
mod packing;
mod relay;
mod remote;
mod run;
mod sorting;
mod waiting;
mod watch;
mod way;

use std::sync::Arc;

use pyo3::prelude::*;

pub(super) use self::call::handling;
use self::inbox::Inbox;
use self::outbox::OUTBOX;
pub(super) use self::outbox::log_to_parent;
use self::remote::KnownActor;
use self::run::ChildLoop;
use self::watch::watch_parent;
use self::way::Way;
use super::interpreter::lifecycle;
use crate::engine::arena::Arena;
use crate::engine::ipc::outbox::Outbox;
use crate::engine::ipc::pipe::{Reader, Writer};
use crate::engine::ipc::region::Region;
use crate::engine::sys::{self, Handle, HandleNumber, Side};

/// Copy the memory that this process shares with the one that forked it, before it is used.
#[pyfunction]
pub(super) fn unshare_pages() {
    sys::unshare_pages();
}

/// Serve the parent until it sends no more messages.
///
/// `descriptors` are this process's: of the pipe to read frames from, of that to write them to, and
/// of the shared memory. On Windows they are handles, and each pipe has four. `parent` is the pid
/// of the process that started it, on Windows a handle of it;
/// `prepare(name, surroundings)` is called before any code of the user;
/// `dump_error(exception, is_loaded)` encodes an exception as bytes.
#[pyfunction]
pub(super) fn serve(
    py: Python<'_>,
    descriptors: Vec<HandleNumber>,
    parent: HandleNumber,
    prepare: Bound<'_, PyAny>,
    dump_error: Bound<'_, PyAny>,
) -> PyResult<()> {
    end_by_panic();
    sys::accept_interrupts();
    #[cfg(feature = "faults")]
    crate::py::faults::plan_from_environment();
    let io = std::io::Error::from;
    let numbers = &mut descriptors.into_iter();
    let request = sys::take_over(numbers, Some(Side::Reader)).map_err(io)?;
    let answer = sys::take_over(numbers, Some(Side::Writer)).map_err(io)?;
    let file = sys::take_over(numbers, None).map_err(io)?;
    let region = Arc::new(Region::map(&file).map_err(io)?);
    watch_parent(sys::duplicate(&request).map_err(io)?, parent).map_err(io)?;
    let file = Arc::new(file);
    offer_tracebacks(py, &region, &file)?;
    let arena = Arc::new(Arena::join(Arc::clone(&region), file));
    lifecycle::register_arena(&arena);
    let answers = Outbox::new(Writer::new(answer), Arc::clone(&region));
    let answers = OUTBOX.get_or_init(|| answers);
    let inbox = Inbox::new(Reader::new(request), &region);
    let child = ChildLoop {
        way: Way::new(inbox, &region, &arena, answers, KnownActor::entry),
        answers,
        arena,
        region,
        prepare,
        dump_error,
        done: Vec::new(),
    };
    child.serve(py)
}

/// Makes a panic of the core end this process, in whichever thread it is. The parent handles a process
/// that has ended. It could wait for ever for one that goes on without the thread that sends its
/// answers.
fn end_by_panic() {
    let show = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        show(panic);
        std::process::abort();
    }));
}

/// Lets the parent ask for tracebacks by a signal, if the system has one for it: the handler writes
/// the stacks of all threads to `file`.
fn offer_tracebacks(py: Python<'_>, region: &Arc<Region>, file: &Arc<Handle>) -> PyResult<()> {
    let Some(signal) = sys::traceback_signal() else {
        return Ok(());
    };
    // The signal and the file; `all_threads`; no `chain` to an earlier handler.
    let how = (signal, file.number(), true, false);
    py.import("faulthandler")?.call_method1("register", how)?;
    // Both are leaked, since the handler may run at any moment.
    let region = Box::leak(Box::new(Arc::clone(region)));
    crate::engine::ipc::traceback::offer(region, file).map_err(std::io::Error::from)?;
    std::mem::forget(Arc::clone(file));
    Ok(())
}
