//! The only place that touches Python: the extension module `futures_actors._core`.
//!
//! Rules: wait detached, always; call no Python and drop no Python object under a Rust lock.

mod actor;
mod answer;
mod buffer;
mod child;
mod executor;
mod fault;
#[cfg(feature = "faults")]
mod faults;
mod future;
mod host;
mod imports;
mod interpreter;
mod lifecycle;
mod link;
mod logs;
mod message;
mod options;
mod outcome;
mod packet;
mod pickle;
mod process;
mod remote;
mod room;
mod start;
mod stats;
mod stop;
mod tally;
mod thread;
mod ticket;
mod wait;
mod wire;

use pyo3::prelude::*;

/// The Rust core of `futures_actors`; import its names from `futures_actors`.
#[pymodule(gil_used = false)]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    interpreter::refuse_sub_interpreters(module.py())?;
    module.add_class::<actor::Actor>()?;
    module.add_class::<actor::ThreadActor>()?;
    module.add_class::<actor::ProcessActor>()?;
    module.add_class::<executor::ExecutorCore>()?;
    module.add_class::<future::FutureCore>()?;
    module.add_class::<process::ProcessExecutorCore>()?;
    module.add_class::<remote::RemoteExecutorCore>()?;
    module.add_class::<room::RoomSeat>()?;
    module.add_class::<start::ServerExitCodes>()?;
    module.add_class::<thread::ThreadExecutorCore>()?;
    module.add_function(wrap_pyfunction!(answer::check_answer, module)?)?;
    module.add_function(wrap_pyfunction!(child::handling, module)?)?;
    module.add_function(wrap_pyfunction!(child::log_to_parent, module)?)?;
    module.add_function(wrap_pyfunction!(child::serve, module)?)?;
    module.add_function(wrap_pyfunction!(child::unshare_pages, module)?)?;
    module.add_function(wrap_pyfunction!(lifecycle::after_fork_in_child, module)?)?;
    module.add_function(wrap_pyfunction!(lifecycle::drain, module)?)?;
    module.add_function(wrap_pyfunction!(lifecycle::set_loading, module)?)?;
    module.add_function(wrap_pyfunction!(lifecycle::start_logging, module)?)?;
    module.add_function(wrap_pyfunction!(pickle::dumps, module)?)?;
    module.add_function(wrap_pyfunction!(pickle::loads, module)?)?;
    #[cfg(feature = "faults")]
    module.add_function(wrap_pyfunction!(faults::end_fault_plan, module)?)?;
    #[cfg(feature = "faults")]
    module.add_function(wrap_pyfunction!(faults::plan_fault, module)?)?;
    actor::init(module)?;
    module.add("__version__", version())
}

/// Cargo's spelling of the version as Python spells it.
fn version() -> String {
    env!("CARGO_PKG_VERSION").replace("-dev", ".dev")
}
