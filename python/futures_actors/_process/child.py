"""The entry point of a child process, and how a child encodes exceptions.

It must import nothing heavy, because every start of a child pays for it.
"""

import _signal  # type: ignore[import-not-found] # signal itself imports enum
import faulthandler  # noqa: F401 - _core.serve uses it; here the fork server loads it for all
import sys

from .. import _core
from .._texts import attempt_surely, name_of, text_of, traceback_of
from . import tracker
from .when_loaded import when_loaded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    #: What `start.surroundings` returns.
    Surroundings = tuple[list[str], list[str], dict[str, int], int, str, bytes | None]


def main(descriptors: list[int], parent: int) -> None:
    """Serve the process `parent` until it tells this one to stop.

    `parent` is its id, on Windows a handle of it. `descriptors` are the pipe to read frames from,
    the pipe to write them to, the shared memory that has the claims, and those of the resource
    tracker, which Windows does not have. On Windows they are handles, and each pipe has four.
    """
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _on_interrupt)
    if sys.platform != "win32":
        # `interpreter` blocked SIGINT when it started this process. The thread that called it may
        # have blocked more, but in a child SIGTERM must end the process, and alarms must go off.
        _signal.pthread_sigmask(_signal.SIG_SETMASK, [])
        tracker.join(descriptors[3:])
        del descriptors[3:]

    def prepare(name: str, surroundings: "Surroundings") -> None:
        _prepare(name, *surroundings)

    _core.serve(descriptors, parent, prepare, dump_error)


def _prepare(  # noqa: PLR0913, PLR0917 - they are not related
    name: str,
    argv: list[str],
    path: list[str],
    levels: dict[str, int],
    parent: int,
    parent_name: str,
    authkey: bytes | None,
) -> None:
    """Make this process look like its parent, before any of the user's code is loaded.

    `name` is the actor's name, `parent` the parent's pid, and `levels` are the levels of the
    parent's loggers. `parent_name` and `authkey` are what its `multiprocessing` has.
    """
    sys.argv = argv
    sys.path[:] = path
    _forget_folders()
    when_loaded("logging", lambda: _log_to_parent(levels))
    when_loaded("multiprocessing.process", lambda: _be_a_child(name, parent, parent_name, authkey))


def _forget_folders() -> None:
    """Forget folders of modules that were missing, and relative ones, which may be others now.

    The fork server, or an interpreter that was kept ready, has searched them some time ago.
    """
    import os

    cache = sys.path_importer_cache
    for folder, finder in [*cache.items()]:
        if finder is None or not os.path.isabs(folder):  # noqa: PTH117 - no pathlib here
            del cache[folder]


def _log_to_parent(levels: dict[str, int]) -> None:
    from . import log

    log.send_to_parent(levels)


def _be_a_child(name: str, parent: int, parent_name: str, authkey: bytes | None) -> None:
    """Tell `multiprocessing` in this process which process is its parent.

    With the parent's `authkey` it can talk to the parent's other processes, such as managers.
    """
    import os

    process: Any = sys.modules["multiprocessing.process"]
    current = process.current_process()
    current.name = name
    if authkey is not None:
        current.authkey = authkey
    try:
        sentinel = _open_process(parent) if sys.platform == "win32" else os.pidfd_open(parent)
    except (AttributeError, OSError):
        # Without a descriptor of the parent, `parent_process()` cannot tell when it has ended.
        return
    process._parent_process = process._ParentProcess(parent_name, parent, sentinel)  # noqa: SLF001


def _open_process(pid: int) -> int:
    import _winapi

    synchronize, duplicate = 0x0010_0000, 0x0040
    handle: int = _winapi.OpenProcess(synchronize | duplicate, False, pid)  # type: ignore[attr-defined] # noqa: FBT003
    return handle


def _on_interrupt(_signum: int, _frame: object) -> None:
    """Interrupt `handle`, and its future gets the exception. Between messages, do nothing."""
    if _core.handling():
        raise KeyboardInterrupt


def dump_error(error: BaseException, stage: str = "") -> bytes:
    """Encode an exception: class name, text, traceback as text, and its pickle if it has one.

    `_errors.load_error` decodes it in the parent. Only this process can try whether the exception
    can be pickled and rebuilt, so it does. `stage` is for `_errors.load_init_error`.
    """
    by = attempt_surely
    said = name_of(type(error), by), text_of(error, by), traceback_of(error, by)
    # Without a pickle the parent raises a `RemoteError` instead.
    pickled, _ = by(lambda: _pickle(error))
    return _core.dumps((*said, pickled, stage), "an exception")


def _pickle(error: BaseException) -> bytes | None:
    pickled = _core.dumps(error, "an exception")
    return pickled if type(_core.loads(pickled)) is type(error) else None
