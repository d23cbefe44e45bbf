"""What tests see of objects and threads from outside: whether an object has gone, whether a thread
sleeps and how often it was woken, what is installed, what a failed start is answered with, how much
memory is shared with actors."""

import gc
import importlib.util
import os
import sys
import sysconfig
import threading
import time
import weakref
from pathlib import Path

import pytest

import futures_actors
import programs
from gates import PATIENCE

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
needs_numpy = pytest.mark.skipif(
    importlib.util.find_spec("numpy") is None, reason="numpy is not installed"
)
on_unix = pytest.mark.skipif(sys.platform == "win32", reason="uses what only Unix has")


class Thing:
    """Can be referred to weakly."""


#: On a free-threaded build, an object that one thread has made and another thread has dropped lives
#: until the first thread runs Python code again, or until a garbage collection.
_COUNTS_LATE = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def is_let_go(seen):
    """Whether an object goes without the garbage collector."""

    def gone():
        if _COUNTS_LATE:
            gc.collect()
        return seen() is None

    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return programs.wait_until(gone)
    finally:
        if was_enabled:
            gc.enable()


def is_collected(*seen):
    """Whether all of these go once the garbage collector has looked."""

    def gone():
        gc.collect()
        return all(one() is None for one in seen)

    return programs.wait_until(gone)


def need_mortal_classes():
    """Skip the test where classes are never collected: free-threaded 3.13 makes them immortal."""

    def start():
        class Mortal:
            pass

        return weakref.ref(Mortal)

    seen = start()
    gc.collect()
    if seen() is not None:
        pytest.skip("this Python makes classes immortal")


def need_traceback(*, is_process):
    """Skip the test if the stacks that it asks for are those of a process on Windows."""
    if is_process and sys.platform == "win32":
        pytest.skip("Windows has no way to ask a process for its traceback")


def tasks_of(pid):
    """Return {thread: (state, CPU time in ticks, switches)} of a process."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            fields = (task / "stat").read_text().rpartition(")")[2].split()
            lines = (task / "status").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):  # it has just ended
            continue
        switches = [line.split()[1] for line in lines if "ctxt_switches" in line]
        found[int(task.name)] = fields[0], int(fields[11]) + int(fields[12]), switches
    return found


def wait_until_asleep(pid, task):
    """Return when a thread has been asleep between two looks, or when its process has ended."""
    before = None
    while (now := tasks_of(pid)[task]) != before or now[0] not in "SZ":
        before = now
        time.sleep(0.02)


def in_thread(function):
    """Start a function in a thread that the test joins."""
    thread = threading.Thread(target=function)
    thread.start()
    return thread


def init_error(executor):
    """Return the `ActorInitError` of an actor, whether `post` raises it or the future has it."""
    try:
        error = executor.post(1).exception(PATIENCE)
    except futures_actors.ActorInitError as raised:
        error = raised
    assert isinstance(error, futures_actors.ActorInitError)
    return error


def need(*modules):
    """Skip the test if any of these modules is missing; fail where `make test-examples` runs it."""
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        assert "EXAMPLES" not in os.environ, f"not installed: {missing}"
        pytest.skip(f"make test-examples installs {', '.join(missing)}")


def memory_files(pid="self"):
    """What a process has open of the memory that it shares with actors: bytes in use of each."""
    found = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            if "memfd:futures_actors" in str(link.readlink()):
                found.append(link.stat().st_blocks * 512)
        except OSError:
            continue
    return found


def only_memory():
    (bytes_in_use,) = memory_files()
    return bytes_in_use


def resident_shared():
    """Bytes of shared memory that this process has mapped and touched."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssShmem:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no RssShmem")
