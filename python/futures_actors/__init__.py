"""concurrent.futures for objects that keep state: actors on threads and processes.

Extend `ThreadActor` or `ProcessActor`, write `handle(self, message)`, and start one with
`MyActor.executor(...)`, which takes the constructor's arguments. `executor.post(message)` returns
a `concurrent.futures.Future`.

The base classes are loaded at once, and everything else on first use: a child process that only
runs an actor must not pay for the code that its parent needs.
"""

import os

from ._core import (
    Actor,
    CurrentMessage,
    ProcessActor,
    ThreadActor,
    __version__,
    current_actor,
    current_message,
)

TYPE_CHECKING = False  # typing's own takes ten times longer to import than this package
if TYPE_CHECKING:
    from ._answers import Answers
    from ._base_actor import ActorExecutor
    from ._errors import (
        ActorDeadlock,
        ActorDied,
        ActorInitError,
        BrokenActor,
        MailboxFull,
        RemoteError,
    )
    from ._future import ActorFuture
    from ._options import Options
    from ._pool import ActorPool, PoolRef
    from ._process.forkserver_client import preload
    from ._process.frozen import freeze_support
    from ._proxy import Proxy, StreamProxy
    from ._reference import ActorRef
    from ._start_methods import get_start_method, set_start_method
    from ._stats import Stats
    from ._stream import ActorStream
    from .process_actor import ProcessActorExecutor
    from .thread_actor import ThreadActorExecutor

__all__ = [
    "Actor",
    "ActorDeadlock",
    "ActorDied",
    "ActorExecutor",
    "ActorFuture",
    "ActorInitError",
    "ActorPool",
    "ActorRef",
    "ActorStream",
    "Answers",
    "BrokenActor",
    "CurrentMessage",
    "MailboxFull",
    "Options",
    "PoolRef",
    "ProcessActor",
    "ProcessActorExecutor",
    "Proxy",
    "RemoteError",
    "Stats",
    "StreamProxy",
    "ThreadActor",
    "ThreadActorExecutor",
    "__version__",
    "current_actor",
    "current_message",
    "freeze_support",
    "get_start_method",
    "preload",
    "set_start_method",
]

# An error of a wrong call names the function by its module.
current_actor.__module__ = current_message.__module__ = __name__

# The working directory when this package was imported: the relative entries of `sys.path` were
# resolved in it.
_directory: str | None


def _note_directory() -> None:
    global _directory  # noqa: PLW0603 - a child of the fork server starts in another directory
    try:
        _directory = os.getcwd()  # noqa: PTH109 - a child has no pathlib yet
    except OSError:
        _directory = None


_note_directory()

_LATE = {
    "ActorDeadlock": "_errors",
    "ActorDied": "_errors",
    "ActorExecutor": "_base_actor",
    "ActorFuture": "_future",
    "ActorInitError": "_errors",
    "ActorPool": "_pool",
    "ActorRef": "_reference",
    "ActorStream": "_stream",
    "Answers": "_answers",
    "BrokenActor": "_errors",
    "MailboxFull": "_errors",
    "Options": "_options",
    "PoolRef": "_pool",
    "ProcessActorExecutor": "process_actor",
    "Proxy": "_proxy",
    "RemoteError": "_errors",
    "RemoteTraceback": "_errors",
    "Stats": "_stats",
    "StreamProxy": "_proxy",
    "ThreadActorExecutor": "thread_actor",
    "freeze_support": "_process.frozen",
    "get_start_method": "_start_methods",
    "preload": "_process.forkserver_client",
    "set_start_method": "_start_methods",
}


def __getattr__(name: str) -> object:
    """Load a public name on first use (PEP 562)."""
    from importlib import import_module

    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_LATE[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})
