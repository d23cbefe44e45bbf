"""The start methods of process actors, and which one is the default."""

import errno
import functools
import os
import sys
from typing import Final

START_METHODS: Final = ("forkserver", "spawn")

_default: str | None = None


def check_platform() -> None:
    """Raise `NotImplementedError` on a platform that has no process actors."""
    if sys.platform in ("emscripten", "wasi"):
        raise NotImplementedError(
            f"process actors need Linux, macOS or Windows, and this is {sys.platform}: "
            "extend ThreadActor instead"
        )


def check_start_method(name: object) -> str:
    """Return `name` if it names a start method that works here; raise otherwise."""
    if not isinstance(name, str):
        raise TypeError(f"start_method must be a str, not {type(name).__name__}")
    if name not in START_METHODS:
        raise ValueError(f"start_method must be one of {', '.join(START_METHODS)}, not {name!r}")
    if name == "forkserver" and not _has_pidfd():
        raise ValueError("start_method 'forkserver' needs Linux with pidfd_open; use 'spawn'")
    return name


@functools.cache
def _has_pidfd() -> bool:
    """Whether `pidfd_open` works, which the fork server needs.

    Kernels before Linux 5.3 and some builds of Python lack it, and some sandboxes refuse it.
    """
    try:
        os.close(os.pidfd_open(os.getpid()))
    except AttributeError:
        return False
    except OSError as error:
        return error.errno not in (errno.ENOSYS, errno.EPERM)
    return True


def set_start_method(name: str | None) -> None:
    """Set the start method of process actors that are started without the option `start_method`.

    - "forkserver": a helper process forks each child. It has already imported this package and the
      modules that `preload` names. If it cannot fork, a fresh interpreter is started instead. This
      is the default on Linux 5.3 and later.
    - "spawn": a fresh interpreter is started for each child. This is the default elsewhere.
    - None: the default.

    Raises `ValueError` for any other name, and `TypeError` for an object that is not a `str`.
    """
    global _default  # noqa: PLW0603 - one for each process
    _default = None if name is None else check_start_method(name)


def get_start_method() -> str:
    """Return the start method of process actors without the option `start_method`.

    It is "forkserver" or "spawn".
    """
    return _default or ("forkserver" if _has_pidfd() else "spawn")
