"""Tools that look at threads see actors': coverage, debuggers and profilers go by
`threading.settrace` and `setprofile`, or by `sys.monitoring`; `threading.stack_size` holds, too."""

import ctypes
import logging
import sys
import threading

import pytest

import actors
import gates
import tasks
from actors import ProcessEcho, ThreadEcho
from futures_actors import ProcessActor, ThreadActor

KIB = 1 << 10
#: Part of the stack of threads that ask for little: in Python 3.14 they get at least 256 KiB.
SMALLEST = 32 * KIB if sys.version_info < (3, 14) else 256 * KIB
HOOKS = {
    "settrace": (threading.settrace, threading.gettrace, sys.gettrace),
    "setprofile": (threading.setprofile, threading.getprofile, sys.getprofile),
}


class Seen(ThreadActor):
    def __init__(self):
        self.number = 1

    def handle(self, number):
        return self.number + number

    def method(self):
        pass

    def on_stop(self):
        pass


class Logs(ProcessActor):
    def handle(self, message):
        logging.getLogger("traced").warning(message)


@pytest.fixture(params=HOOKS)
def traced(request):
    """The names of this file's functions that were called since, and what says what traces here."""
    install, installed, here = HOOKS[request.param]
    names, before = set(), installed()

    def trace(frame, event, _argument):
        if frame.f_globals is globals():
            names.add(frame.f_code.co_name)

    install(trace)
    yield names, here
    install(before)


def called_back(future):
    """A callback."""


def test_what_a_thread_actor_runs_is_traced_as_what_a_pools_thread_runs_is(traced):
    with Seen.executor() as seen:
        assert seen.post(1).result() == 2
        seen.proxy().method().result()
    assert traced[0] >= {"__init__", "handle", "method", "on_stop"}


def test_callbacks_are_traced_in_the_threads_that_bring_answers(kind, traced, gate):
    called = threading.Event()
    with kind.start(actors.Do) as executor:
        future = executor.post((tasks.pause, gate))
        future.add_done_callback(called_back)
        future.add_done_callback(lambda _: called.set())
        gate.open()
        assert called.wait(gates.PATIENCE)
    assert "called_back" in traced[0]


def test_log_handlers_are_traced_where_the_records_of_a_child_are_handled(traced):
    class Handler(logging.Handler):
        def emit(self, record):
            """Take it."""

    logger, handler = logging.getLogger("traced"), Handler()
    logger.addHandler(handler)
    try:
        with Logs.executor() as logs:
            logs.post("seen").result()
    finally:
        logger.removeHandler(handler)
    assert "emit" in traced[0]


def test_the_thread_that_asks_is_traced_no_more_than_before(traced):
    before = traced[1]()
    with ProcessEcho.executor() as echo:
        for number in range(30):
            future = echo.post(number)
            future.add_done_callback(called_back)
            assert future.result() == number
    assert traced[1]() is before


def test_an_actor_started_after_the_tool_has_left_is_not_traced(traced):
    threading.settrace(None)
    threading.setprofile(None)
    with Seen.executor() as seen:
        seen.post(1).result()
    assert traced[0] == set()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="there is no settrace_all_threads")
def test_settrace_all_threads_reaches_actors_that_run():
    names = set()

    def trace(frame, event, _argument):
        names.add(frame.f_code.co_name)

    before = threading.gettrace()
    with Seen.executor() as seen:
        seen.post(1).result()
        here = sys.gettrace()
        threading.settrace_all_threads(trace)
        try:
            seen.post(1).result()
        finally:
            threading.settrace_all_threads(before)
            sys.settrace(here)
    assert "handle" in names


@pytest.mark.skipif(sys.version_info < (3, 12), reason="there is no sys.monitoring")
def test_sys_monitoring_reaches_actors_that_run():
    monitoring = sys.monitoring
    tool, threads = 4, set()

    def started(code, _offset):
        if code is Seen.handle.__code__:
            threads.add(threading.current_thread().name)

    with Seen.executor() as seen:
        monitoring.use_tool_id(tool, "tests")
        monitoring.register_callback(tool, monitoring.events.PY_START, started)
        monitoring.set_events(tool, monitoring.events.PY_START)
        try:
            seen.post(1).result()
        finally:
            monitoring.set_events(tool, 0)
            monitoring.free_tool_id(tool)
    assert threads == {"Seen"}


def stack_bytes():
    """The stack of the calling thread, as the C library knows it."""
    libc = ctypes.CDLL(None)
    attributes = ctypes.create_string_buffer(256)
    size = ctypes.c_size_t()
    libc.pthread_self.restype = ctypes.c_void_p
    thread = ctypes.c_void_p(libc.pthread_self())
    assert libc.pthread_getattr_np(thread, attributes) == 0
    assert libc.pthread_attr_getstacksize(attributes, ctypes.byref(size)) == 0
    libc.pthread_attr_destroy(attributes)
    return size.value


def stack_of_a_thread():
    sizes = []
    thread = threading.Thread(target=lambda: sizes.append(stack_bytes()))
    thread.start()
    thread.join()
    return sizes[0]


@pytest.fixture
def stack_size():
    yield threading.stack_size
    threading.stack_size(0)


linux = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux's C library")


@linux
@pytest.mark.parametrize("size", [SMALLEST, 64 << 20])
def test_the_stack_of_an_actors_thread_is_what_was_asked_for(size, stack_size):
    stack_size(size)
    with ThreadEcho.executor() as echo:
        found = echo.submit(stack_bytes).result()
    # In the smallest stack there is not enough room for the frames of this test.
    assert max(size, 256 * KIB) <= found <= size + (1 << 20)
    assert stack_of_a_thread() <= size + 64 * KIB, "it still holds for other threads"


@linux
def test_callbacks_run_on_a_stack_of_the_size_that_was_asked_for(kind, stack_size, gate):
    stack_size(64 << 20)
    sizes, called = [], threading.Event()

    def call(_future):
        sizes.append(stack_bytes())
        called.set()

    with kind.start(actors.Do) as executor:
        executor.post((tasks.pause, gate)).add_done_callback(call)
        gate.open()
        assert called.wait(gates.PATIENCE)
    assert sizes[0] >= 64 << 20


@linux
def test_without_a_size_it_is_what_the_system_gives_threads():
    with ThreadEcho.executor() as echo:
        assert echo.submit(stack_bytes).result() >= 8 << 20


def test_actors_work_on_the_smallest_stack(stack_size, caplog):
    stack_size(SMALLEST)
    with ThreadEcho.executor() as near, Logs.executor() as far:
        assert near.post(1).result() == 1
        assert far.post("from a small stack").result() is None
    assert "from a small stack" in caplog.text
