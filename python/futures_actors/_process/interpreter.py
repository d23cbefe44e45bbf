"""Starts a fresh interpreter, which becomes a child or the fork server."""

# A program that only starts actors need not load pathlib.
# ruff: noqa: PTH100, PTH109, PTH117, PTH118, PTH120

import functools
import importlib.util
import os
import signal
import subprocess
import sys
from types import BuiltinFunctionType, SimpleNamespace
from typing import Any, Final

import futures_actors

from . import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._core import ServerExitCodes

#: How many seconds a process that has lost its connection to this one gets to exit by itself.
GRACE: Final = 1.0

#: The folder that this package is in.
_FOLDER: Final = os.path.dirname(os.path.dirname(os.path.abspath(futures_actors.__file__)))

#: A process that was started for an actor: its pid. For a child of the fork server, also the object
#: that receives exit codes, and the number of its request. The core itself waits for a child of
#: this process.
Started = tuple[int, "tuple[ServerExitCodes, int] | None"]


def start_interpreter(
    module: str, descriptors: list[int], stdin: int = subprocess.DEVNULL
) -> "subprocess.Popen[bytes]":
    """Start a fresh interpreter that runs `module.main(descriptors, parent)`.

    `module` is a module of this folder, and `parent` is this process's id, on Windows a handle of
    it. There, the descriptors are handles too. It starts with its own `sys.path`, because this
    process's may be too long for a command line. `stdin` is as for `subprocess`.
    """
    if not sys.executable:
        raise RuntimeError(
            "a process actor needs a Python interpreter to start, and sys.executable is empty; "
            "set it, or use a ThreadActor"
        )
    if sys.platform == "win32":
        from . import handles

        arguments = functools.partial(_arguments, module, descriptors)
        return handles.start(arguments, descriptors, stdin)
    import fcntl

    # If this process has closed standard streams, its descriptors may have their numbers, at which
    # the new interpreter finds streams of its own.
    moved = {one: fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, 3) for one in descriptors if one < 3}  # noqa: PLR2004
    descriptors = [moved.get(one, one) for one in descriptors]
    arguments = _arguments(module, descriptors, os.getpid())
    # Ctrl-C goes to the whole process group: block it until the child has a handler for it.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        process: subprocess.Popen[bytes] = plain_subprocess().Popen(
            [sys.executable, *arguments],
            stdin=stdin,
            pass_fds=descriptors,
        )
        return process
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for one in moved.values():
            os.close(one)


def _arguments(module: str, descriptors: list[int], parent: int) -> list[str]:
    # This process may have found the package in a folder that only its own sys.path has. The folder
    # is on the new interpreter's path only while it imports the package, so that it finds no other
    # module there.
    code = (
        "import sys; path = [*filter(None, sys.path)]; "
        f"sys.path[:] = [{_FOLDER!r}, *path]; import futures_actors; sys.path[:] = path; "
        f"from futures_actors._process.{module} import main; del sys, path, futures_actors; "
        f"globals().pop('main')({descriptors!r}, {parent})"
    )
    return frozen.arguments(code) if frozen.is_frozen() else [*flags(), "-c", code]


def plain_subprocess() -> Any:  # noqa: ANN401 - a module
    """Return the module `subprocess` as the standard library has it.

    gevent and eventlet patch it so that their event loop waits for each process. That loop would
    not learn about processes that the core waits for.
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
    # Their patched `os.close` may run only when the event loop runs, but `Popen` waits before that
    # for the end of a pipe.
    import posix

    plain = {
        name: value for name, value in vars(posix).items() if isinstance(value, BuiltinFunctionType)
    }
    vars(module)["os"] = SimpleNamespace(**{**vars(os), **plain})
    return module


def flags() -> list[str]:
    """Return the options of the command line that started this interpreter."""
    found: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined] # noqa: SLF001
    # `subprocess` knows only the -X options of the interpreter itself.
    for name, value in sys._xoptions.items():  # noqa: SLF001 - documented
        option = name if value is True else f"{name}={value}"
        if not {name, option} & set(found):
            found += ["-X", option]
    return found


def search_path() -> list[str]:
    """Return the `sys.path` of a child.

    It is this process's, without entries that the import system ignores. If the working directory
    has changed since the package was imported, relative entries are resolved in the old one, too.
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
