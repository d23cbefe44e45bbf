"""How a child process is started, and how its end is learned.

`start_child` is what the core calls. Either way the child looks like this process at that moment:
the same flags, `sys.path`, `sys.argv`, environment, working directory and standard streams, but an
empty standard input.
"""

import errno
import functools
import os
import signal
import subprocess
import sys
from typing import Final

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._core import ServerExitCodes

START_METHODS: Final = ("forkserver", "spawn")

#: Seconds that a child whose link is gone has to end by itself.
GRACE: Final = 1.0

_default: str | None = None


#: A process that has been started for an actor: its pid, and for a child of a fork server what
#: knows its exit code, and by which number. For one of this process the core waits by itself.
Started = tuple[int, "tuple[ServerExitCodes, int] | None"]


def check_platform() -> None:
    """Raise `NotImplementedError` where no process can be started for an actor."""
    if sys.platform in ("win32", "emscripten", "wasi"):
        raise NotImplementedError(
            f"process actors need Linux or macOS, and this is {sys.platform}: "
            "extend ThreadActor instead"
        )


def check_start_method(name: object) -> str:
    """Return `name` if it is that of a start method that works here."""
    if not isinstance(name, str):
        raise TypeError(f"start_method must be a str, not {type(name).__name__}")
    if name not in START_METHODS:
        raise ValueError(f"start_method must be one of {', '.join(START_METHODS)}, not {name!r}")
    if name == "forkserver" and not _has_pidfd():
        raise ValueError("start_method 'forkserver' needs Linux with pidfd_open; use 'spawn'")
    return name


@functools.cache
def _has_pidfd() -> bool:
    """Whether there is what the fork server cannot do without.

    Kernels before Linux 5.3 have no `pidfd_open`, nor have some builds of Python, and some
    sandboxes refuse it.
    """
    try:
        os.close(os.pidfd_open(os.getpid()))
    except AttributeError:
        return False
    except OSError as error:
        return error.errno not in (errno.ENOSYS, errno.EPERM)
    return True


def set_start_method(name: str | None) -> None:
    """Choose how process actors are started from now on, where their options do not say.

    "forkserver": a helper process that has imported this package, and what `preload` names, forks
    each child; the default on Linux 5.3 and later. "spawn": a fresh interpreter for each child; the
    default elsewhere. None: the default again. Raises `ValueError` for any other name, and
    `TypeError` for what is no name.
    """
    global _default  # noqa: PLW0603 - it is the process's choice
    _default = None if name is None else check_start_method(name)


def get_start_method() -> str:
    """Return how process actors are started where their options do not say.

    It is "forkserver" or "spawn".
    """
    return _default or ("forkserver" if _has_pidfd() else "spawn")


def start_child(
    descriptors: list[int], start_method: str | None, slow_imports: list[str]
) -> Started:
    """Start a process that serves this one.

    `descriptors` are what `_child.main` wants: where it reads frames, where it writes them, and
    the shared memory. The child alone gets copies of them. `slow_imports` are modules that it will
    import before it can answer, and that take long.
    """
    if (start_method or get_start_method()) == "forkserver":
        from . import _forkserver_client

        return _forkserver_client.start_child(descriptors, slow_imports)
    process = start_interpreter("_child", descriptors)
    # Nobody else waits for it: what is still alive when it is dropped would be reaped some day.
    process.returncode = 0
    return process.pid, None


def start_interpreter(
    module: str, descriptors: list[int], *more: object
) -> "subprocess.Popen[bytes]":
    """Start a fresh interpreter that runs `module.main(descriptors, parent, *more)`.

    `module` is one of this package, `parent` this process's id, and `more` has a `repr` that can
    be evaluated.
    """
    if not sys.executable:
        raise RuntimeError(
            "a process actor needs a Python interpreter to start, and sys.executable is empty; "
            "set it, or use a ThreadActor"
        )
    arguments = ", ".join(map(repr, (descriptors, os.getpid(), *more)))
    # The package itself may be importable by this process's sys.path alone.
    code = (
        f"import sys; sys.path[:] = {plain_path()!r}; "
        f"from futures_actors import {module}; {module}.main({arguments})"
    )
    # Ctrl-C reaches the whole group: it has to wait until the child has a handler for it.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        return subprocess.Popen(
            [sys.executable, *_flags(), "-c", code],
            stdin=subprocess.DEVNULL,
            pass_fds=descriptors,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _flags() -> list[str]:
    """Return the options of the command line that started this interpreter."""
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined] # noqa: SLF001
    # Of -X, it knows those of the interpreter alone.
    for name, value in sys._xoptions.items():  # noqa: SLF001 - documented
        option = name if value is True else f"{name}={value}"
        if not {name, option} & set(flags):
            flags += ["-X", option]
    return flags


def authkey() -> bytes | None:
    """Return what lets other processes talk to this one's `multiprocessing`, if it is loaded.

    It is a secret: it goes to a child through its pipe alone.
    """
    process = sys.modules.get("multiprocessing.process")
    return None if process is None else bytes(process.current_process().authkey)


def plain_path() -> list[str]:
    """Return `sys.path` without entries that the import system itself would pass over."""
    return [entry for entry in sys.path if isinstance(entry, str)]
