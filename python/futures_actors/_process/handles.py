"""Starts a program on Windows that inherits handles of this process."""

import os
import subprocess
import sys

assert sys.platform == "win32"  # noqa: S101 - for the type checkers
import _winapi  # noqa: E402 - it is there only

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_SYNCHRONIZE = 0x0010_0000


def start(
    arguments: "Callable[[int], list[str]]", handles: list[int], stdin: int
) -> "subprocess.Popen[bytes]":
    """Start an interpreter. It inherits `handles`, by the same numbers, and one of this process.

    `arguments` returns its arguments, given the number of that handle.
    """
    me = _winapi.GetCurrentProcess()
    parent = _winapi.DuplicateHandle(me, me, me, _SYNCHRONIZE, False, 0)  # noqa: FBT003 - it takes no other
    given = [*handles, parent]
    startup = subprocess.STARTUPINFO(lpAttributeList={"handle_list": given})
    program, environment = _program()
    try:
        # A program that another thread starts at this moment may inherit them too, if it inherits
        # all. That does no harm: it only keeps memory.
        for handle in given:
            os.set_handle_inheritable(handle, True)  # noqa: FBT003 - it takes no other
        return subprocess.Popen(
            [program, *arguments(parent)],
            stdin=stdin,
            env=environment,
            startupinfo=startup,
            # Ctrl-C goes to all programs of a console: the child ignores it until it has a handler.
            creationflags=subprocess.CREATE_NEW_PROCESS_GROUP,
        )
    finally:
        for handle in handles:
            os.set_handle_inheritable(handle, False)  # noqa: FBT003 - as above
        _winapi.CloseHandle(parent)


def _program() -> tuple[str, dict[str, str] | None]:
    """Return the interpreter's program and its environment, None for this process's.

    The program of a virtual environment starts another one, which would be the child's child. So
    this starts that one itself, as `multiprocessing` does.
    """
    base = getattr(sys, "_base_executable", sys.executable)
    if os.path.normcase(base) == os.path.normcase(sys.executable):
        return sys.executable, None
    # As `dict(os.environ)`, but other threads may change that meanwhile.
    environ = os.environ._data  # type: ignore[attr-defined] # noqa: SLF001
    return base, {**environ, "__PYVENV_LAUNCHER__": sys.executable}
