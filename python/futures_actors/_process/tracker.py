"""One resource tracker of `multiprocessing` for a process, its actors and theirs.

A tracker is a process that destroys the shared memory which others have told it of, over a pipe,
and have not taken back, once the last of them has ended. A child that started one of its own would
take along, at its end, what its parent still uses. So children share their parent's, as those of
`multiprocessing` do. Where a parent has none yet, they share the pipe of one that will be started
when either of them first needs it, and a token: another pipe, with one byte. Whoever reads the byte
starts the tracker; whoever finds none knows that it has been started.
"""

import os
import sys

from .when_loaded import when_loaded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MODULE = "multiprocessing.resource_tracker"

#: Under "pipe", until this process uses it: the descriptors to write to, to read from, and of the
#: token, and the identities of what they are. A program may close all that it did not open itself.
_shared: "dict[str, tuple[list[int], list[int]]]" = {}


def descriptors() -> list[int]:
    """Return what a child is given: where to write, and if no tracker runs yet the other two."""
    module: Any = sys.modules.get(_MODULE)
    writer = None if module is None else module._resource_tracker._fd  # noqa: SLF001 - multiprocessing's own children get it
    if writer is not None:
        return [writer]
    pipe = _shared.get("pipe")
    if pipe is not None and _identities(pipe[0]) != pipe[1]:
        _shared.pop("pipe", None)
        pipe = None
    if pipe is None:
        made = _make()
        # Of two threads, the first.
        pipe = _shared.setdefault("pipe", (made, _identities(made)))
        if pipe[0] is made:
            when_loaded(_MODULE, _share)
        else:
            _close(made)
    return pipe[0]


def join(given: list[int]) -> None:
    """Share the tracker of the parent, whose `descriptors` these are."""
    for descriptor in given:
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - it takes no other
    if len(given) == 1:
        when_loaded(_MODULE, lambda: _use(given[0]))
    elif given:
        _shared["pipe"] = given, _identities(given)
        when_loaded(_MODULE, _share)


def _make() -> list[int]:
    reader, writer = os.pipe()
    try:
        token, giver = os.pipe()
    except OSError:
        _close([reader, writer])
        raise
    os.write(giver, b"T")
    os.close(giver)
    return [writer, reader, token]


def _identities(descriptors: list[int]) -> list[int]:
    try:
        return [os.fstat(descriptor).st_ino for descriptor in descriptors]
    except OSError:
        return []


def _close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _share() -> None:
    """Have this process use the shared pipe, and start the tracker if nobody has."""
    pipe = _shared.pop("pipe", None)
    if pipe is None or _identities(pipe[0]) != pipe[1]:
        return
    writer, reader, token = pipe[0]
    try:
        if os.read(token, 1):
            _start(reader)
    finally:
        # With no other reader than the tracker, its death is noticed.
        _close([reader, token])
    _use(writer)


def _use(writer: int) -> None:
    # Not its pid: nobody waits for it, as in a child of `multiprocessing`.
    sys.modules[_MODULE]._resource_tracker._fd = writer  # noqa: SLF001 - as above


def _start(reader: int) -> None:
    """Start the tracker, as `multiprocessing` does."""
    import signal
    from multiprocessing import spawn, util

    code = f"from multiprocessing.resource_tracker import main;main({reader})"
    program = spawn.get_executable()
    command = [program, *util._args_from_interpreter_flags(), "-c", code]  # type: ignore[attr-defined] # noqa: SLF001
    streams = [2] if _identities([2]) else []
    # They must not end it before it ignores them.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGTERM])
    try:
        util.spawnv_passfds(program, command, [*streams, reader])  # type: ignore[arg-type]
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
