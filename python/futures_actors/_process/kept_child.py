"""The entry point of an interpreter that is kept ready on Windows: it waits, and becomes a child.

It imports what a child needs, and nothing else, because every child has it.
"""

import _pickle  # noqa: F401 - each child needs it first
import contextlib
import marshal
import os
import sys

import futures_actors

from . import child
from .slow_imports import import_early

assert sys.platform == "win32"  # noqa: S101 - for the type checkers
import msvcrt  # noqa: E402 - it is there only

#: The parent's `sys.path`, and what takes long to import.
Imports = tuple[list[str], list[str]]

#: The handles of `child.main`, standard output and standard error, the working directory, the
#: variables of the environment that are gone, and those that are new.
Orders = tuple[list[int], list[int | None], str, list[str], dict[str, str]]


def main(_handles: list[int], parent: int) -> None:
    """Wait until this process is needed as a child, and be that; or end with the parent."""
    # No folder can be removed that a process works in. This one cannot be removed anyway.
    with contextlib.suppress(OSError):
        os.chdir(os.path.dirname(sys.executable))  # noqa: PTH120 - a child has no pathlib
    try:
        with open(0, "rb", closefd=False) as pipe:
            imports: Imports = marshal.load(pipe)  # noqa: S302 - from the parent
            sys.path[:], names = imports
            for name in names:
                import_early(name)
            orders: Orders = marshal.load(pipe)  # noqa: S302 - from the parent
    except (EOFError, OSError):
        # The parent has ended, maybe in the middle of a message.
        os._exit(0)
    handles, streams, directory, gone, new = orders
    for number, handle in enumerate(streams, 1):
        if handle is not None:
            _replace(number, msvcrt.open_osfhandle(handle, 0))
    _replace(0, os.open(os.devnull, os.O_RDONLY))
    os.chdir(directory)
    futures_actors._note_directory()  # noqa: SLF001 - it is this package's
    for name in gone:
        os.environ.pop(name, None)
    os.environ.update(new)
    child.main(handles, parent)


def _replace(number: int, descriptor: int) -> None:
    """Make a descriptor that of a standard stream."""
    os.dup2(descriptor, number)
    os.close(descriptor)
