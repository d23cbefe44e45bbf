"""Starts the child process of an actor, by either start method.

The core calls `start_child`. The child looks like this process at that moment: it has the same
flags, `sys.path`, `sys.argv`, environment, working directory, standard output and standard error.
Its standard input is empty.
"""

import logging
import os
import sys

from .._start_methods import get_start_method
from . import tracker
from .interpreter import search_path, start_interpreter

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess

    from .._core import ServerExitCodes
    from .child import Surroundings


def start_child(
    descriptors: list[int], start_method: str | None, slow_imports: list[str]
) -> tuple[int, "tuple[ServerExitCodes, int] | None", object]:
    """Start a process that serves this one. Return what `Started` has, and what keeps its pid.

    `descriptors` are those that `child.main` expects: the pipe that it reads frames from, the pipe
    that it writes them to, and the shared memory. Only the child gets copies of them.
    `slow_imports` names modules that take long to import and that the child needs before it can
    answer. If the fork server fails to start a child, or on Windows no interpreter is ready, this
    starts a fresh one.
    """
    if sys.platform == "win32":
        from . import kept

        process = kept.take(descriptors, slow_imports)
        return _spawn(descriptors) if process is None else _started(process)
    descriptors = [*descriptors, *tracker.descriptors()]
    if (start_method or get_start_method()) != "forkserver":
        return _spawn(descriptors)
    from . import forkserver_client

    try:
        return *forkserver_client.start_child(descriptors, slow_imports), None
    except forkserver_client.CannotPreloadError:
        raise
    except Exception as error:  # noqa: BLE001 - it is logged
        child = _spawn(descriptors)
        _log_fallback(error)
        return child


def _spawn(descriptors: list[int]) -> tuple[int, None, object]:
    return _started(start_interpreter("child", descriptors))


def _started(process: "subprocess.Popen[bytes]") -> tuple[int, None, object]:
    # The core waits for this process. Without an exit code, `subprocess` would try to reap it.
    process.returncode = 0
    # On Windows the pid is the process's own only as long as something has a handle of it.
    return process.pid, None, process


def _log_fallback(error: Exception) -> None:
    """Warn, once for each reason, that fresh interpreters are started, which is slower."""
    reason = f"{error}"
    if reason not in _logged:
        _logged.add(reason)
        logging.getLogger("futures_actors").warning(
            "the fork server cannot start a process, so a fresh interpreter is started: %s", reason
        )


_logged: set[str] = set()


def surroundings() -> "Surroundings":
    """Return what a child must take over from this process before it loads the user's code.

    They become the arguments of `child._prepare`.
    """
    from . import log

    name, authkey = "MainProcess", None
    if (process := sys.modules.get("multiprocessing.process")) is not None:
        current = process.current_process()
        # With this key other processes can talk to `multiprocessing` in this one. It is secret, so
        # it crosses only through the child's pipe.
        name, authkey = current.name, bytes(current.authkey)
    return sys.argv, search_path(), log.levels(), os.getpid(), name, authkey
