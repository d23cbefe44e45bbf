//! The extension module `futures_actors._core`, and the only folder that touches Python.
//!
//! Two rules hold everywhere: a thread is detached whenever it waits, and it never calls Python nor
//! drops a Python object under a Rust lock.
//!
//! A file imports only files of lower floors, and no two files import each other. `make lint` checks
//! that. From the top down:
//!
//! ```text
//! child                         the loop of a child process
//! pool/                         several actors behind one mailbox
//! thread/  process/  remote/    the transports
//! executor                      an executor's methods
//! reference/                    what refers to an actor; an executor is a reference, too
//! host/                         what every executor has: mailbox, room, start, end, counts
//! asynchronous/                 what the event loop of an async actor needs
//! stream/                       what a handler yields, item by item
//! current                       the message that runs in this thread
//! future/                       cell, condition, callbacks, settling, methods
//! message/                      a message and its outcome, as data
//! codec/  actor  answer  options  objects to bytes; the base classes; checks of answers; the options
//! interpreter/                  its end, forks, waiting, names taken from Python
//! ```

mod actor;
mod answer;
mod asynchronous;
mod child;
mod codec;
mod current;
mod executor;
#[cfg(feature = "faults")]
mod faults;
mod future;
mod host;
mod interpreter;
mod message;
mod options;
mod pool;
mod process;
mod reference;
mod remote;
mod stream;
mod thread;

use pyo3::prelude::*;

/// The Rust core of `futures_actors`; import its names from `futures_actors`.
#[pymodule(gil_used = false)]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    interpreter::sub_interpreters::refuse_sub_interpreters(module.py())?;
    module.add_class::<actor::Actor>()?;
    module.add_class::<actor::ThreadActor>()?;
    module.add_class::<actor::ProcessActor>()?;
    module.add_class::<current::CurrentMessage>()?;
    // These have the names of the public classes that extend them, which errors and `help` show.
    module.add(
        "ExecutorCore",
        module.py().get_type::<executor::ExecutorCore>(),
    )?;
    module.add(
        "RefCore",
        module.py().get_type::<reference::core::RefCore>(),
    )?;
    module.add("FutureCore", module.py().get_type::<future::FutureCore>())?;
    module.add(
        "ProcessExecutorCore",
        module
            .py()
            .get_type::<process::executor::ProcessExecutorCore>(),
    )?;
    module.add_class::<asynchronous::LoopCore>()?;
    module.add_class::<asynchronous::LoopMessage>()?;
    module.add_class::<remote::executor::RemoteExecutorCore>()?;
    module.add("PoolCore", module.py().get_type::<pool::core::PoolCore>())?;
    module.add(
        "PoolRefCore",
        module.py().get_type::<pool::core::PoolRefCore>(),
    )?;
    module.add_class::<host::seat::RoomSeat>()?;
    module.add_class::<asynchronous::waits::LoopWait>()?;
    module.add_class::<process::start::ServerExitCodes>()?;
    module.add(
        "StreamCore",
        module.py().get_type::<stream::core::StreamCore>(),
    )?;
    module.add(
        "ThreadExecutorCore",
        module
            .py()
            .get_type::<thread::executor::ThreadExecutorCore>(),
    )?;
    module.add_function(wrap_pyfunction!(answer::check_answer, module)?)?;
    module.add_function(wrap_pyfunction!(stream::run::check_stream, module)?)?;
    module.add_function(wrap_pyfunction!(current::enter_message, module)?)?;
    module.add_function(wrap_pyfunction!(current::leave_message, module)?)?;
    module.add_function(wrap_pyfunction!(
        interpreter::running_loop::need_event_loop,
        module
    )?)?;
    module.add_function(wrap_pyfunction!(current::current_message, module)?)?;
    module.add_function(wrap_pyfunction!(options::is_async, module)?)?;
    module.add_function(wrap_pyfunction!(child::handling, module)?)?;
    module.add_function(wrap_pyfunction!(child::log_to_parent, module)?)?;
    module.add_function(wrap_pyfunction!(child::serve, module)?)?;
    module.add_function(wrap_pyfunction!(child::unshare_pages, module)?)?;
    module.add_function(wrap_pyfunction!(
        interpreter::lifecycle::after_fork_in_child,
        module
    )?)?;
    module.add_function(wrap_pyfunction!(
        interpreter::lifecycle::after_fork_in_parent,
        module
    )?)?;
    module.add_function(wrap_pyfunction!(
        interpreter::lifecycle::before_fork,
        module
    )?)?;
    module.add_function(wrap_pyfunction!(interpreter::lifecycle::drain, module)?)?;
    module.add_function(wrap_pyfunction!(
        interpreter::lifecycle::note_main_thread,
        module
    )?)?;
    module.add_function(wrap_pyfunction!(
        interpreter::running_loop::runs_event_loop,
        module
    )?)?;
    module.add_function(wrap_pyfunction!(
        interpreter::lifecycle::set_loading,
        module
    )?)?;
    module.add_function(wrap_pyfunction!(
        interpreter::lifecycle::start_logging,
        module
    )?)?;
    module.add_function(wrap_pyfunction!(reference::own::current_actor, module)?)?;
    module.add_function(wrap_pyfunction!(codec::pickle::dumps, module)?)?;
    module.add_function(wrap_pyfunction!(codec::pickle::loads, module)?)?;
    module.add_function(wrap_pyfunction!(reference::core::load_reference, module)?)?;
    #[cfg(windows)]
    module.add_function(wrap_pyfunction!(process::start::inherited, module)?)?;
    #[cfg(feature = "faults")]
    module.add_function(wrap_pyfunction!(faults::end_fault_plan, module)?)?;
    #[cfg(feature = "faults")]
    module.add_function(wrap_pyfunction!(faults::plan_fault, module)?)?;
    #[cfg(feature = "faults")]
    module.add("PLANNED_PANIC", crate::engine::sys::faults::PANIC)?;
    actor::init(module)?;
    interpreter::lifecycle::register_at_exit(module)?;
    interpreter::lifecycle::register_at_fork(module)?;
    module.add("__version__", version())
}

/// The version as Python spells it.
fn version() -> String {
    env!("CARGO_PKG_VERSION").replace("-dev", ".dev")
}
