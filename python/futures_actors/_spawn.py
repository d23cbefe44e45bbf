"""How a child process is started, and how its end is learned.

`start_child` is what the core calls. Either way the child looks like this process at that moment:
the same flags, `sys.path`, `sys.argv`, environment, working directory and standard streams, but an
empty standard input.
"""

# A program that only starts actors need not load pathlib.
# ruff: noqa: PTH100, PTH109, PTH117, PTH118, PTH120

import errno
import functools
import importlib.util
import logging
import os
import signal
import subprocess
import sys
from types import BuiltinFunctionType, SimpleNamespace
from typing import Any, Final

import futures_actors

from . import _frozen, _tracker

START_METHODS: Final = ("forkserver", "spawn")

#: Seconds that a child whose link is gone has to end by itself.
GRACE: Final = 1.0

#: Where this package is.
_FOLDER: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._child import Surroundings
    from ._core import ServerExitCodes

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


def start_child(
    descriptors: list[int], start_method: str | None, slow_imports: list[str]
) -> Started:
    """Start a process that serves this one.

    `descriptors` are what `_child.main` wants: where it reads frames, where it writes them, and
    the shared memory. The child alone gets copies of them. `slow_imports` are modules that it will
    import before it can answer, and that take long. Where the fork server cannot start a child,
    whatever the reason, a fresh interpreter is started.
    """
    descriptors = [*descriptors, *_tracker.descriptors()]
    if (start_method or get_start_method()) != "forkserver":
        return _spawn(descriptors)
    from . import _forkserver_client

    try:
        return _forkserver_client.start_child(descriptors, slow_imports)
    except _forkserver_client.CannotPreloadError:
        raise
    except Exception as error:  # noqa: BLE001 - it is logged
        child = _spawn(descriptors)
        _log_fallback(error)
        return child


def _spawn(descriptors: list[int]) -> Started:
    process = start_interpreter("_child", descriptors)
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


def start_interpreter(module: str, descriptors: list[int]) -> "subprocess.Popen[bytes]":
    """Start a fresh interpreter that runs `module.main(descriptors, parent)`.

    `module` is one of this package, `parent` this process's id. The interpreter has the `sys.path`
    that it finds by itself; its parent's is too long for a command line, or may be.
    """
    if not sys.executable:
        raise RuntimeError(
            "a process actor needs a Python interpreter to start, and sys.executable is empty; "
            "set it, or use a ThreadActor"
        )
    # The package may be found by this process's sys.path alone. Nothing else must be found beside
    # it that this process does not have from there.
    code = (
        "import sys; path = [*filter(None, sys.path)]; "
        f"sys.path[:] = [{_FOLDER!r}, *path]; import futures_actors; sys.path[:] = path; "
        f"from futures_actors.{module} import main; del sys, path, futures_actors; "
        f"globals().pop('main')({descriptors!r}, {os.getpid()})"
    )
    arguments = _frozen.arguments(code) if _frozen.is_frozen() else [*_flags(), "-c", code]
    # Ctrl-C reaches the whole group: it has to wait until the child has a handler for it.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        process: subprocess.Popen[bytes] = plain_subprocess().Popen(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            pass_fds=descriptors,
        )
        return process
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def plain_subprocess() -> Any:  # noqa: ANN401 - a module
    """Return the module `subprocess` as the standard library has it.

    What gevent and eventlet put into it has their event loop wait for each process, and nothing
    tells that loop of those that the core waits for.
    """
    if subprocess.Popen.__module__ == subprocess.__name__:
        return subprocess
    return _own_subprocess()


@functools.cache
def _own_subprocess() -> Any:  # noqa: ANN401 - a module
    spec = importlib.util.find_spec("subprocess")
    if spec is None or spec.loader is None:
        raise ImportError("no module named 'subprocess'")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    # Theirs puts off a `close` until the loop runs, and the end of a pipe is waited for meanwhile.
    import posix

    plain = {
        name: value for name, value in vars(posix).items() if isinstance(value, BuiltinFunctionType)
    }
    vars(module)["os"] = SimpleNamespace(**{**vars(os), **plain})
    return module


def _flags() -> list[str]:
    """Return the options of the command line that started this interpreter."""
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined] # noqa: SLF001
    # Of -X, it knows those of the interpreter alone.
    for name, value in sys._xoptions.items():  # noqa: SLF001 - documented
        option = name if value is True else f"{name}={value}"
        if not {name, option} & set(flags):
            flags += ["-X", option]
    return flags


def surroundings() -> "Surroundings":
    """Return what a child is to take on before it loads anything of the user's.

    `_child._prepare` takes them.
    """
    from . import _logging

    name, authkey = "MainProcess", None
    if (process := sys.modules.get("multiprocessing.process")) is not None:
        current = process.current_process()
        # It lets other processes talk to this one's `multiprocessing`. It is a secret, and goes to
        # a child through its pipe alone.
        name, authkey = current.name, bytes(current.authkey)
    return sys.argv, search_path(), _logging.levels(), name, authkey


def search_path() -> list[str]:
    """Return where a child is to look for modules.

    It is `sys.path`, without entries that the import system itself would pass over. If the working
    directory is another one than it was, what is relative to it was found in that one, too.
    """
    path = [entry for entry in sys.path if isinstance(entry, str)]
    then = futures_actors._directory  # noqa: SLF001 - it is this package's
    if then is None or all(map(os.path.isabs, path)) or then == _working_directory():
        return path
    found = []
    for entry in path:
        if not os.path.isabs(entry):
            found.append(os.path.join(then, entry) if entry else then)
        found.append(entry)
    return found


def _working_directory() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        return None
