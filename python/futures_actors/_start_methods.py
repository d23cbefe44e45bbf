"""The start methods of process actors, and which of them is taken by default."""

import errno
import functools
import os
import sys
from typing import Final

START_METHODS: Final = ("forkserver", "spawn")

_default: str | None = None


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
    each child, and where it cannot, a fresh interpreter is started; the default on Linux 5.3 and
    later. "spawn": a fresh interpreter for each child; the
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
