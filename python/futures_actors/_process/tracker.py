"""Shares one resource tracker of `multiprocessing` among a process, its actors and their actors.

A tracker is a process. Other processes register shared memory with it over a pipe, and once the
last of them has ended, it destroys what is still registered. If a child started a tracker of its
own, that would destroy at the child's end what the parent still uses. So children share their
parent's tracker, as children of `multiprocessing` do.

If the parent has no tracker yet, parent and child share a pipe for one that starts when either of
them first needs it, and a token: another pipe, with one byte in it. The process that reads the byte
starts the tracker. A process that finds the pipe empty knows that the tracker has been started.
"""

import os
import sys

from .when_loaded import when_loaded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_MODULE = "multiprocessing.resource_tracker"

#: Under "pipe", until this process uses it: the descriptors of the pipe's writing end, of its
#: reading end and of the token, and the inode of each. A program may close descriptors that it did
#: not open, and then their numbers belong to other files.
_shared: "dict[str, tuple[list[int], list[int]]]" = {}


def descriptors() -> list[int]:
    """Return a child's descriptors: the writing end, and the other two if no tracker runs yet."""
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
        # If two threads come here at once, the first one's pipe is used.
        pipe = _shared.setdefault("pipe", (made, _identities(made)))
        if pipe[0] is made:
            when_loaded(_MODULE, _share_when_used)
        else:
            _close(made)
    return pipe[0]


def join(given: list[int]) -> None:
    """Share the parent's tracker, by the descriptors that the parent has `given`."""
    for descriptor in given:
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - it takes no other
    if len(given) == 1:
        when_loaded(_MODULE, lambda: _use(given[0]))
    elif given:
        _shared["pipe"] = given, _identities(given)
        when_loaded(_MODULE, _share_when_used)


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


def _share_when_used() -> None:
    """Call `_share` before this process first needs the tracker.

    Many modules load the tracker's module, but few programs need the tracker, and to start one
    takes as long as to start an interpreter.
    """
    module: Any = sys.modules[_MODULE]
    tracker = module._resource_tracker  # noqa: SLF001 - as in `descriptors`
    # Everything that needs the tracker calls one of these; which, depends on Python's version.
    names = [
        name for name in ("ensure_running", "_ensure_running_and_write") if hasattr(tracker, name)
    ]

    def hook(name: str) -> "Callable[..., object]":
        def ensure(*args: object) -> object:
            with tracker._lock:  # noqa: SLF001 - as above; it is right in a fork, too
                if names[0] in vars(tracker):
                    # That one last: if Ctrl-C or a fork comes in between, the next call goes on.
                    for other in reversed(names):
                        vars(tracker).pop(other, None)
                    _share()
            found: object = getattr(tracker, name)(*args)
            return found

        return ensure

    for name in names:
        setattr(tracker, name, hook(name))
    module.ensure_running = hook("ensure_running")


def _share() -> None:
    """Use the shared pipe in this process, and start the tracker if it has not been started."""
    pipe = _shared.pop("pipe", None)
    if pipe is None or _identities(pipe[0]) != pipe[1]:
        return
    writer, reader, token = pipe[0]
    if sys.modules[_MODULE]._resource_tracker._fd is not None:  # noqa: SLF001 - as above
        # It has one: code that had imported `ensure_running` by itself has started that.
        _close(pipe[0])
        return
    try:
        if os.read(token, 1):
            _start(reader)
    finally:
        # Only the tracker may keep the reading end, or writers would not notice its death.
        _close([reader, token])
    _use(writer)


def _use(writer: int) -> None:
    # `_pid` stays None, as in a child of `multiprocessing`: this process does not wait for it.
    sys.modules[_MODULE]._resource_tracker._fd = writer  # noqa: SLF001 - as above


def _start(reader: int) -> None:
    """Start the tracker, as `multiprocessing` does."""
    import signal
    from multiprocessing import spawn, util

    code = f"from multiprocessing.resource_tracker import main;main({reader})"
    program = spawn.get_executable()
    command = [program, *util._args_from_interpreter_flags(), "-c", code]  # type: ignore[attr-defined] # noqa: SLF001
    streams = [2] if _identities([2]) else []
    # The tracker ignores these signals, but only once it has started.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGTERM])
    try:
        util.spawnv_passfds(program, command, [*streams, reader])  # type: ignore[arg-type]
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
