"""An interpreter that is kept ready, on Windows, and becomes the next child.

It is started once a child has answered, and has imported this package when the next actor is
started. Then it is given the handles of that actor's child, and whatever has changed since it was
started; `kept_child` is its half. If something has changed that it cannot be given, a fresh
interpreter is started instead, as for the first actor.

    this process ── starts, once a child has answered ─▶ the interpreter, which waits
                 ── duplicates of handles, their numbers ─▶ the same: now the child of an actor

It waits on a pipe that only this process can write to, so it ends when this process ends, whatever
ends it.
"""

import atexit
import contextlib
import marshal
import os
import subprocess
import sys
import threading
from typing import NamedTuple

from .. import _core
from .interpreter import flags, search_path, start_interpreter

assert sys.platform == "win32"  # noqa: S101 - for the type checkers
import _winapi  # noqa: E402 - it is there only

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .kept_child import Imports, Orders

_DUPLICATE_SAME_ACCESS = 2
_IS_OF_CHARACTERS = 2

#: Prefixes of variables that the interpreter or the C library reads only once, as it starts.
_READ_ONCE = ("PYTHON", "TZ", "__PYVENV_LAUNCHER__")


class _Inheritance(NamedTuple):
    """What an interpreter inherits that is started now."""

    environ: dict[str, str]
    #: Standard output and standard error; None if it is closed.
    streams: list[int | None]
    #: What an interpreter cannot be given later. It compares equal if nothing has changed.
    fixed: tuple[object, ...]


class _Kept(NamedTuple):
    process: "subprocess.Popen[bytes]"
    inheritance: _Inheritance


#: The interpreter that is ready, or about to be. `append` and `pop` are atomic.
_kept: list[_Kept] = []
#: Held by the thread that starts one, and for ever once none must be started.
_starting = threading.Lock()
#: How many seconds the exit waits for that thread. An interpreter that hangs as it starts may not
#: take what it is told.
_LONGEST_START = 10.0
#: What children have needed that takes long to import.
_slow_imports: set[str] = set()


def keep() -> None:
    """Start an interpreter for the next child, unless there is one.

    If that fails, so will the start of the next actor, and that reports it.
    """
    if not _starting.acquire(blocking=False):
        return
    try:
        if not _kept:
            inheritance = _look()
            process = start_interpreter("kept_child", [], subprocess.PIPE)
            one = _Kept(process, inheritance)
            try:
                # Its working directory is another one.
                _tell(one, ([*map(os.path.abspath, search_path())], [*_slow_imports]))
            finally:
                _kept.append(one)
    except (OSError, RuntimeError):
        return
    finally:
        _starting.release()


def take(descriptors: list[int], slow_imports: list[str]) -> "subprocess.Popen[bytes] | None":
    """Have the interpreter that is ready serve as a child. None if there is none that can.

    `descriptors` are the handles that `child.main` expects. The next child probably will need the
    `slow_imports` of this one, too.
    """
    _slow_imports.update(slow_imports)
    try:
        one = _kept.pop()
    except IndexError:
        return None
    # An error means that it was killed, or that a fresh one will fail in the same way.
    with contextlib.suppress(OSError):
        now = _look()
        if one.inheritance.fixed == now.fixed:
            _give(one, descriptors, now)
            return one.process
    _end(one)
    return None


def _give(one: _Kept, descriptors: list[int], now: _Inheritance) -> None:
    """Tell an interpreter what it needs to be a child that is started now."""
    process, then = one.process, one.inheritance.environ
    here, there = _winapi.GetCurrentProcess(), process._handle  # type: ignore[attr-defined] # noqa: SLF001 - multiprocessing has no other

    def duplicate(handle: int) -> int:
        return _winapi.DuplicateHandle(here, handle, there, 0, False, _DUPLICATE_SAME_ACCESS)  # noqa: FBT003 - it takes no other

    gone = [name for name in then if name not in now.environ]
    new = {name: value for name, value in now.environ.items() if then.get(name) != value}
    streams = [None if handle is None else duplicate(handle) for handle in now.streams]
    orders: Orders = [*map(duplicate, descriptors)], streams, os.getcwd(), gone, new  # noqa: PTH109
    _tell(one, orders)
    _hang_up(process)


def _tell(one: _Kept, message: "Imports | Orders") -> None:
    pipe = one.process.stdin
    assert pipe is not None  # noqa: S101 - for the type checkers
    pipe.write(marshal.dumps(message))
    pipe.flush()


def _hang_up(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdin is not None  # noqa: S101 - for the type checkers
    # What it has not taken cannot be written any more: it has ended.
    with contextlib.suppress(OSError):
        process.stdin.close()


def _look() -> _Inheritance:
    # The same as dict(os.environ), but other threads may change that meanwhile.
    environ = dict(os.environ._data)  # type: ignore[attr-defined] # noqa: SLF001
    streams: list[int | None] = [
        _winapi.GetStdHandle(number)
        for number in (_winapi.STD_OUTPUT_HANDLE, _winapi.STD_ERROR_HANDLE)
    ]
    fixed: list[object] = [sys.executable, flags(), _core.inherited(), *map(_kind, streams)]
    fixed += sorted(item for item in environ.items() if item[0].startswith(_READ_ONCE))
    return _Inheritance(environ, streams, tuple(fixed))


def _kind(stream: int | None) -> tuple[int, int | None]:
    """Return what Python looks at when it makes its object of a standard stream.

    A console and the null device are of the same type, so for these it must be the same handle.
    """
    if stream is None:
        return 0, None
    found = _winapi.GetFileType(stream)
    return found, stream if found == _IS_OF_CHARACTERS else None


def _end(one: _Kept) -> None:
    # Something else may be ending it: then Windows refuses.
    with contextlib.suppress(PermissionError):
        one.process.kill()
    one.process.wait()
    _hang_up(one.process)


@atexit.register
def stop() -> None:
    """End the interpreter at this one's exit, so that nothing of the program is left running."""
    # A thread that is starting one has it in the list when it releases the lock. One that takes
    # longer ends with its pipe, which ends with this process.
    if _starting.acquire(timeout=_LONGEST_START):
        while _kept:
            _end(_kept.pop())
