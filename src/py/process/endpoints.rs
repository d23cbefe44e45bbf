//! What the parent has of a child: its ends of the pipes, the shared memory, the process.

use std::sync::Arc;

use crate::engine::arena::Arena;
use crate::engine::ipc::pipe::{Reader, Writer};
use crate::engine::ipc::region::Region;
use crate::engine::ipc::traceback::Tracebacks;
use crate::engine::sys::Handle;
use crate::py::codec::actors::Hold;

/// What the parent has of one child.
pub(in crate::py) struct Endpoints {
    pub(in crate::py) reader: Reader,
    pub(in crate::py) writer: Writer,
    pub(in crate::py) region: Arc<Region>,
    pub(in crate::py) arena: Arc<Arena>,
    pub(in crate::py) tracebacks: Option<Tracebacks>,
    pub(in crate::py) process: Process,
    /// The actors that the constructor's arguments refer to.
    pub(in crate::py) actors: Vec<Hold>,
}

/// The child's process, for as long as signals can be sent to it.
pub(in crate::py) struct Process {
    pub(in crate::py) pid: u32,
    /// Readable once it has ended; `None` where the system has no such handle.
    pub(in crate::py) watch: Option<Arc<Handle>>,
}
