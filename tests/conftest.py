"""Fixtures of the contract suite, and the check that nothing is left behind.

`kind` walks the actors of both kinds, sync and async, `any_kind` walks them and the oracle: a test
that takes `any_kind` says what `concurrent.futures` does. `gate` and `gates` replace sleeps.
`script` runs a program to its end, `program` starts one.
"""

import gc
import multiprocessing.resource_tracker
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

import actors
import asynchronous
import futures_actors
import gates
import on_ray
import oracle
import programs

START_METHODS = ["forkserver", "spawn"]
#: Files in `process/` that test what Windows lacks: shared memory for big buffers, a signal that
#: asks a process for its traceback, what a fork server's children inherit.
NOT_ON_WINDOWS = {
    f"test_{name}.py"
    for name in (
        "buffers",
        "constructor_arguments",
        "forked_arrays",
        "inheritance",
        "restart_arrays",
        "shared_memory",
        "stream_memory",
        "traceback",
    )
}


def pytest_addoption(parser):
    help_text = "how process actors of the test process, and of the programs it starts, are started"
    parser.addoption("--start-method", choices=START_METHODS, help=help_text)
    help_text = "the event loop of async actors and of the tests: that of this package"
    parser.addoption("--loop", choices=["uvloop"], help=help_text)
    help_text = "run the tests that need a Ray cluster, and no others"
    parser.addoption("--ray", action="store_true", help=help_text)


def pytest_configure(config):
    # A shell that starts the tests in the background makes them, and the programs that they start,
    # ignore SIGINT.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    start_method = config.getoption("--start-method")
    futures_actors.set_start_method(start_method)
    if start_method is not None:
        os.environ[actors.START_METHOD] = start_method
    if config.getoption("--loop"):
        asynchronous.use_uvloop()
    if config.getoption("--ray"):
        on_ray.leave_the_network()
        # Before the tests are imported. Where the machine is busy, a worker of Ray's starts slowly.
        gates.PATIENCE = 50


def pytest_ignore_collect(collection_path, config):
    """The tests in `cluster/` import Ray, which only `make test-ray` installs."""
    if collection_path.name.startswith("test_ray") and not config.getoption("--ray"):
        return True
    if collection_path.name in NOT_ON_WINDOWS and sys.platform == "win32":
        return True
    return None


def pytest_collection_modifyitems(config, items):
    with_ray = config.getoption("--ray")
    others = [item for item in items if not on_ray.wants(item, with_ray)]
    items[:] = [item for item in items if on_ray.wants(item, with_ray)]
    config.hook.pytest_deselected(items=others)
    config.stash[_not_run] = len(others)


def pytest_terminal_summary(terminalreporter, config):
    count = config.stash.get(_not_run, 0)
    if count and not config.getoption("--ray"):
        terminalreporter.write_line(f"{count} tests on a Ray cluster did not run: make test-ray")


_not_run = pytest.StashKey()


@dataclass(frozen=True)
class Kind:
    """One implementation: `base` is "Thread", "Process" or "Ray"."""

    name: str
    base: str
    is_oracle: bool = False
    #: Its `handle` is `async def`.
    is_async: bool = False

    @property
    def is_process(self):
        return self.base != "Thread"

    @property
    def prefix(self):
        """With what the names of its classes begin."""
        return f"Async{self.base}" if self.is_async else self.base

    @property
    def hands_out_early(self):
        """Whether messages leave the mailbox before they are handled, after which they cannot be
        cancelled."""
        return self.is_oracle and self.is_process

    def actor(self, body):
        return actors.actor_class(body, self.prefix)

    def start(self, body, /, *args, **kw):
        if self.is_oracle:
            pool = oracle.ProcessOracle if self.is_process else oracle.ThreadOracle
            return pool(body, *args, **kw)
        return self.actor(body).executor(*args, **kw)

    def __str__(self):
        return self.name


ACTORS = [Kind("thread", "Thread"), Kind("process", "Process")]
ASYNC = [
    Kind("async-thread", "Thread", is_async=True),
    Kind("async-process", "Process", is_async=True),
]
#: Its tests run only with `--ray`.
RAY = Kind("ray", "Ray")
ORACLES = [
    Kind("oracle-thread", "Thread", is_oracle=True),
    Kind("oracle-process", "Process", is_oracle=True),
]


@pytest.fixture(params=[*ACTORS, *ASYNC, RAY], ids=str)
def kind(request):
    return request.param


@pytest.fixture(params=ACTORS, ids=str)
def local_kind(request):
    """A thread or a process: for what Ray actors cannot do."""
    return request.param


@pytest.fixture(params=[*ACTORS, *ASYNC, RAY], ids=str)
def stream_kind(request):
    return request.param


@pytest.fixture(params=[ACTORS[0], ASYNC[0]], ids=str)
def thread_kind(request):
    """Of actors that live in this process."""
    return request.param


@pytest.fixture(params=[ACTORS[1], ASYNC[1]], ids=str)
def process_kind(request):
    return request.param


@pytest.fixture(params=ASYNC, ids=str)
def async_kind(request):
    return request.param


@pytest.fixture(params=[*ACTORS, *ASYNC], ids=str)
def pool_kind(request):
    return request.param


@pytest.fixture
def start_pool(pool_kind):
    """Start a pool: `start_pool(size, body, *args, mailbox_size=...)`."""

    def start(size, body=actors.Do, /, *args, **options):
        return pool_kind.actor(body).pool(size, **options).executor(*args)

    return start


@pytest.fixture(params=["imap", "imap_unordered"])
def imap(request):
    """The name of a method that gives answers as they are taken."""
    return request.param


@pytest.fixture(params=["Thread", "Process"])
def base(request):
    """The base class of an actor that a test defines."""
    return getattr(futures_actors, f"{request.param}Actor")


@pytest.fixture(params=[*ACTORS, *ASYNC, RAY, *ORACLES], ids=str)
def any_kind(request):
    return request.param


@pytest.fixture(params=[ACTORS[1], ORACLES[1]], ids=str)
def any_process(request):
    return request.param


@pytest.fixture
def thread():
    return ACTORS[0]


@pytest.fixture
def process():
    return ACTORS[1]


@pytest.fixture
def asker(process):
    """Return a process actor that a test has ask others."""
    with process.start(actors.Do) as executor:
        yield executor


@pytest.fixture(params=["thread", "process"])
def target(request):
    """Return an actor that another one knows, in a thread or a process."""
    with request.getfixturevalue(request.param).start(actors.Do) as executor:
        yield executor


@pytest.fixture
def do(process):
    """Have a process actor call a function: `do(function, *args)` returns its answer."""
    with process.start(actors.Do) as executor:
        yield lambda *message: executor.post(message).result(gates.PATIENCE)


@pytest.fixture
def echo(process):
    """A process actor that returns what it is sent."""
    with process.start(actors.Echo) as executor:
        yield executor


@pytest.fixture(scope="session")
def cluster():
    """The cluster of `--ray`, to which the test process is connected."""
    started = on_ray.Cluster()
    yield started
    started.stop()


@pytest.fixture
def ray_kind():
    return RAY


@pytest.fixture(name="gates")
def _gates(tmp_path):
    """Make as many gates as a test calls for."""
    held = []

    def make():
        path = tmp_path / f"gate{len(held)}"
        for door in ("knock", "open"):
            held.append(gates.Door(f"{path}.{door}").make())
        return gates.Gate(path)

    yield make
    for close in held:
        close()


@pytest.fixture
def gate(gates):
    return gates()


@pytest.fixture
def script(tmp_path):
    """Run a program to its end: `script(source, how="file", ...)` returns a `programs.Ended`."""

    def run(source, how="file", **options):
        return programs.run(source, how, tmp_path, **options)

    return run


@pytest.fixture
def program(tmp_path):
    """Start a program and talk to it; whatever of it still runs at the end is killed."""
    started = []

    def start(source, *args):
        started.append(programs.Program(source, tmp_path, *args))
        return started[-1]

    yield start
    for one in started:
        one.end()


# Nothing is left behind.


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.when == "call":
        item.stash[_passed] = report.passed
    return report


_passed = pytest.StashKey()


@pytest.fixture(scope="session", autouse=True)
def _warm(request):
    """Make what a process makes once and keeps, so that the first test does not count it as left
    behind."""
    if request.config.getoption("--ray"):
        request.getfixturevalue("cluster")
    if sys.platform == "linux":
        multiprocessing.resource_tracker.ensure_running()
        starts = [actors.ThreadEcho]
        # Each start method, since a test may choose another one than the suite's.
        starts += [actors.ProcessEcho.options(start_method=one) for one in START_METHODS]
        for one in starts:
            with one.executor() as executor:
                executor.post(0).result(gates.PATIENCE)


@pytest.fixture(scope="module", autouse=True)
def _old_is_frozen(_warm):
    """Freeze the objects that exist before a module's first test, such as pytest's reports of
    earlier tests.

    Then `gc.collect()`, which each test calls, walks only what the module's tests have made.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _nothing_is_left_behind(_warm, request):
    """After each test that passed, its child processes, threads and descriptors are gone."""
    if sys.platform != "linux":
        yield
        return
    with_ray = request.config.getoption("--ray")
    before = _residents(with_ray)
    yield
    if not request.node.stash.get(_passed, False):
        return  # a failed test's traceback keeps its objects
    deadline = time.monotonic() + gates.PATIENCE
    gc.collect()
    while (left := _residents(with_ray) - before) and time.monotonic() < deadline:
        time.sleep(0.02)
        gc.collect()
    assert not left, "left behind: " + ", ".join(sorted(map(str, left)))


def _residents(with_ray):
    if with_ray:
        return _residents_beside_ray()
    me = os.getpid()
    processes = list(programs.processes())
    spares = programs.spares_of(me, processes)  # each start takes one, and another one comes
    children = programs.descendants_of(me, processes)
    found = {("child", *of) for of in children if of[0] not in spares}
    for task in Path("/proc/self/task").iterdir():
        found.add(("thread", task.name))
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            found.add(("descriptor", descriptor.name, str(descriptor.readlink())))
        except OSError:  # the listing's own
            continue
    return found


def _residents_beside_ray():
    """Return what is not Ray's: Ray starts and ends children and threads of its own at any time."""
    me = os.getpid()
    processes = list(programs.processes())
    spares = programs.spares_of(me, processes)
    children = programs.descendants_of(me, processes)
    found = {("child", *of) for of in children if "futures_actors" in of[1] and of[0] not in spares}
    for task in Path("/proc/self/task").iterdir():
        try:
            name = (task / "comm").read_text().strip()
        except OSError:  # it has ended meanwhile
            continue
        if name.startswith(("Thread", "Process", "Ray")):  # as actors' classes are called here
            found.add(("thread", task.name, name))
    return found
