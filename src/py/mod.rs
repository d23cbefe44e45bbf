//! The only place that touches Python: the extension module `futures_actors._core`.
//!
//! Rules: wait detached, always; call no Python and drop no Python object under a Rust lock.

mod actor;
mod buffer;
mod child;
mod executor;
mod fault;
#[cfg(feature = "faults")]
mod faults;
mod future;
mod host;
mod imports;
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
mod wait;
mod wire;

use pyo3::prelude::*;

/// The Rust core of `futures_actors`; import its names from `futures_actors`.
#[pymodule(gil_used = false)]
mod _core {
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::actor::{Actor, ProcessActor, ThreadActor};
    #[pymodule_export]
    use super::child::{handling, log_to_parent, serve, unshare_pages};
    #[pymodule_export]
    use super::executor::ExecutorCore;
    #[cfg(feature = "faults")]
    #[pymodule_export]
    use super::faults::{end_fault_plan, plan_fault};
    #[pymodule_export]
    use super::future::FutureCore;
    #[pymodule_export]
    use super::lifecycle::{after_fork_in_child, drain, start_logging};
    #[pymodule_export]
    use super::pickle::{dumps, loads};
    #[pymodule_export]
    use super::process::ProcessExecutorCore;
    #[pymodule_export]
    use super::remote::RemoteExecutorCore;
    #[pymodule_export]
    use super::room::RoomSeat;
    #[pymodule_export]
    use super::thread::ThreadExecutorCore;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        super::actor::init(module)?;
        module.add("__version__", super::version())
    }
}

/// Cargo's spelling of the version as Python spells it.
fn version() -> String {
    env!("CARGO_PKG_VERSION").replace("-dev", ".dev")
}
