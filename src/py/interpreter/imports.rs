//! What the core needs from Python. Each name is looked up once, when it is first needed.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyType};

use super::daemon_threads::outlasting;

pyo3::import_exception!(futures_actors._errors, ActorDeadlock);
pyo3::import_exception!(futures_actors._errors, BrokenActor);
pyo3::import_exception!(futures_actors._errors, MailboxFull);
pyo3::import_exception!(futures_actors._errors, ActorLost);
pyo3::import_exception!(futures_actors._errors, LevelError);
pyo3::import_exception!(futures_actors._errors, RoomDeadlock);

/// Imports a module, also on a daemon thread: see `outlasting`.
fn load(py: Python<'_>, module: &str) -> PyResult<()> {
    let import = py.import("builtins")?.getattr(intern!(py, "__import__"))?;
    outlasting(&import, (module,), None).map(drop)
}

/// Defines a function that gives `module.attribute`.
macro_rules! lazy {
    ($($name:ident: $type:ty = $module:literal, $attribute:literal;)*) => {
        $(
            pub(in crate::py) fn $name(py: Python<'_>) -> PyResult<&Bound<'_, $type>> {
                static CACHE: PyOnceLock<Py<$type>> = PyOnceLock::new();
                match CACHE.get(py) {
                    Some(found) => Ok(found.bind(py)),
                    // A daemon thread may be the first to need it: see `outlasting`.
                    None => {
                        load(py, $module)?;
                        CACHE.import(py, $module, $attribute)
                    }
                }
            }
        )*
    };
}

lazy! {
    actor_stream: PyType = "futures_actors._stream", "ActorStream";
    stream_proxy: PyType = "futures_actors._proxy", "StreamProxy";
    actor_future: PyType = "futures_actors._future", "ActorFuture";
    actor_ref: PyType = "futures_actors._reference", "ActorRef";
    holds_all: PyAny = "futures_actors._own", "holds_all";
    pool_ref: PyType = "futures_actors._pool", "PoolRef";
    pool_options: PyType = "futures_actors._pool", "PoolOptions";
    load_reference: PyAny = "futures_actors._reference", "load";
    describe_class: PyAny = "futures_actors._proxy", "describe";
    dump_error: PyAny = "futures_actors._process.child", "dump_error";
    thread_actor_executor: PyType = "futures_actors.thread_actor", "ThreadActorExecutor";
    process_actor_executor: PyType = "futures_actors.process_actor", "ProcessActorExecutor";
    thread_enter: PyAny = "futures_actors.thread_actor", "enter_thread";
    trace_thread: PyAny = "futures_actors.thread_actor", "trace_thread";
    thread_leave: PyAny = "futures_actors.thread_actor", "leave_thread";
    leave_at_once: PyAny = "futures_actors._base_actor", "leave_at_once";
    proxy: PyType = "futures_actors._proxy", "Proxy";
    options: PyType = "futures_actors._options", "Options";
    watch_await: PyAny = "futures_actors._event_loop", "watch_await";
    blocks_actor: PyAny = "futures_actors._event_loop", "blocks_actor";
    run_event_loop: PyAny = "futures_actors._event_loop", "run";
    is_coroutine_function: PyAny = "inspect", "iscoroutinefunction";
    keep_class_options: PyAny = "futures_actors._class_options", "keep";
    handle_record: PyAny = "futures_actors._process.log", "handle";
    dump_thread: PyAny = "futures_actors.thread_actor", "dump_thread";
    duplicates: PyAny = "futures_actors._pickling.descriptors", "Duplicates";
    surroundings: PyAny = "futures_actors._process.start", "surroundings";
    start_child: PyAny = "futures_actors._process.start", "start_child";
    keep_interpreter: PyAny = "futures_actors._process.kept", "keep";
    load_error: PyAny = "futures_actors._errors", "load_error";
    init_error: PyAny = "futures_actors._errors", "init_error";
    load_init_error: PyAny = "futures_actors._errors", "load_init_error";
    actor_died: PyAny = "futures_actors._errors", "actor_died";
    lost_error: PyAny = "futures_actors._errors", "lost_error";
    stats: PyType = "futures_actors._stats", "Stats";
    log_lost: PyAny = "futures_actors._errors", "log_lost";
    log_failure: PyAny = "futures_actors._errors", "log_failure";
    modules: PyDict = "sys", "modules";
    pickle_dumps: PyAny = "_pickle", "dumps";
    pickle_loads: PyAny = "_pickle", "loads";
    dump_by_value: PyAny = "futures_actors._pickling.by_value", "dumps";
    explain_refusal: PyAny = "futures_actors._pickling.by_value", "explain_refusal";
    condition: PyType = "threading", "Condition";
    select: PyAny = "select", "select";
    stack_size: PyAny = "threading", "stack_size";
    get_ident: PyAny = "_thread", "get_ident";
    running_loop: PyAny = "asyncio.events", "_get_running_loop";
    wrap_future: PyAny = "asyncio", "wrap_future";
    wrap_relayed: PyAny = "futures_actors._awaiting", "wrap_relayed";
    cancelled_error: PyType = "concurrent.futures", "CancelledError";
    timeout_error: PyType = "concurrent.futures", "TimeoutError";
    invalid_state_error: PyType = "concurrent.futures", "InvalidStateError";
    futures_logger: PyAny = "concurrent.futures._base", "LOGGER";
    context_var: PyType = "contextvars", "ContextVar";
    copy_context: PyAny = "contextvars", "copy_context";
    references: PyAny = "sys", "getrefcount";
    referents: PyAny = "gc", "get_referents";
    weak_references: PyAny = "weakref", "getweakrefcount";
    generic_alias: PyType = "types", "GenericAlias";
    generator: PyType = "types", "GeneratorType";
    coroutine: PyType = "types", "CoroutineType";
    async_generator: PyType = "types", "AsyncGeneratorType";
}

/// Whether the GIL is enabled. Interpreters that always have one lack the function that says so.
pub(in crate::py) fn has_gil(py: Python<'_>) -> bool {
    let sys = py.import("sys");
    let told = sys.and_then(|sys| sys.call_method0("_is_gil_enabled")?.extract());
    told.unwrap_or(true)
}
