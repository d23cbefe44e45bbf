"""How a child process is started, and how its end is learned.

`start_child` is what the core calls. Either way the child looks like this process at that moment:
the same flags, `sys.path`, `sys.argv`, environment, working directory and standard streams, but an
empty standard input.
"""

import logging
import sys

from .._start_methods import get_start_method
from . import tracker
from .interpreter import Started, search_path, start_interpreter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .child import Surroundings


def start_child(
    descriptors: list[int], start_method: str | None, slow_imports: list[str]
) -> Started:
    """Start a process that serves this one.

    `descriptors` are what `child.main` wants: where it reads frames, where it writes them, and
    the shared memory. The child alone gets copies of them. `slow_imports` are modules that it will
    import before it can answer, and that take long. Where the fork server cannot start a child,
    whatever the reason, a fresh interpreter is started.
    """
    descriptors = [*descriptors, *tracker.descriptors()]
    if (start_method or get_start_method()) != "forkserver":
        return _spawn(descriptors)
    from . import forkserver_client

    try:
        return forkserver_client.start_child(descriptors, slow_imports)
    except forkserver_client.CannotPreloadError:
        raise
    except Exception as error:  # noqa: BLE001 - it is logged
        child = _spawn(descriptors)
        _log_fallback(error)
        return child


def _spawn(descriptors: list[int]) -> Started:
    process = start_interpreter("child", descriptors)
    # Nobody else waits for it: what is still alive when it is dropped would be reaped some day.
    process.returncode = 0
    return process.pid, None


def _log_fallback(error: Exception) -> None:
    """Say once for each reason why fresh interpreters are started, which takes longer."""
    reason = f"{error}"
    if reason not in _logged:
        _logged.add(reason)
        logging.getLogger("futures_actors").warning(
            "the fork server cannot start a process, so a fresh interpreter is started: %s", reason
        )


_logged: set[str] = set()


def surroundings() -> "Surroundings":
    """Return what a child is to take on before it loads anything of the user's.

    `child._prepare` takes them.
    """
    from . import log

    name, authkey = "MainProcess", None
    if (process := sys.modules.get("multiprocessing.process")) is not None:
        current = process.current_process()
        # It lets other processes talk to this one's `multiprocessing`. It is a secret, and goes to
        # a child through its pipe alone.
        name, authkey = current.name, bytes(current.authkey)
    return sys.argv, search_path(), log.levels(), name, authkey
