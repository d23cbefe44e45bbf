"""`ActorExecutor`: what the executors of thread and process actors have in common."""

from collections.abc import Callable
from concurrent.futures import Executor
from types import TracebackType
from typing import Generic

from . import _core
from ._core import Actor
from ._future import ActorFuture
from ._types import Answer, Calls, Message, P, Result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._stats import Stats

__all__ = ["Actor", "ActorExecutor"]

_NO_ACTOR = "use ProcessActorExecutor or ThreadActorExecutor"


class ActorExecutor(Executor, Generic[Message, Answer]):
    """Manages one actor: sends messages to it and returns futures of its answers.

    Start an actor by its class's `executor(...)`; this class is what the executors of
    `ThreadActor` and `ProcessActor` share, and has no actor itself: its methods are theirs.
    """

    def post(self, message: Message, *, timeout: float | None = None) -> ActorFuture[Answer]:
        """Send a message to the actor and return the future of its answer."""
        raise NotImplementedError(_NO_ACTOR)

    def tell(self, message: Message, *, timeout: float | None = None) -> None:
        """Send a message whose answer nobody awaits."""
        raise NotImplementedError(_NO_ACTOR)

    def submit(
        self, fn: Callable[P, Result], /, *args: P.args, **kwargs: P.kwargs
    ) -> ActorFuture[Result]:
        """Run a function in the actor's thread or process, and return the future of its result."""
        raise NotImplementedError(_NO_ACTOR)

    def proxy(self) -> Calls:  # type: ignore[type-var] # the context tells, or the default
        """Return an object whose method calls are messages."""
        raise NotImplementedError(_NO_ACTOR)

    def stats(self) -> "Stats":
        """Return what can be told of the actor without asking it."""
        raise NotImplementedError(_NO_ACTOR)

    def dump_traceback(self, *, timeout: float | None = None) -> str:
        """Return where the actor is at this moment, as text."""
        raise NotImplementedError(_NO_ACTOR)

    def shutdown(
        self,
        wait: bool = True,  # noqa: FBT001, FBT002
        *,
        cancel_futures: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Accept no more messages, and let the actor end when it has handled those it has."""

    def terminate(self) -> None:
        """Shut down without waiting for what the actor has."""
        raise NotImplementedError(_NO_ACTOR)

    def kill(self) -> None:
        """Shut down as `terminate` does, but a process cannot catch it."""
        raise NotImplementedError(_NO_ACTOR)

    def terminate_workers(self) -> None:
        """Do what `terminate` does, by the name that process pools have for it."""
        self.terminate()

    def kill_workers(self) -> None:
        """Do what `kill` does, by the name that process pools have for it."""
        self.kill()

    async def apost(self, message: Message) -> ActorFuture[Answer]:
        """Do what `post` does, but wait for room in a full mailbox without blocking the event loop.

        It returns the future, so `await (await executor.apost(message))` is the answer. If the
        waiting task is cancelled, nothing is posted. Raises as `post` does.
        """
        from ._apost import apost

        return await apost(self, message)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Shut down and wait; on `KeyboardInterrupt` or `SystemExit` cancel what has not begun."""
        leaves = kind is not None and issubclass(kind, (KeyboardInterrupt, SystemExit))
        self.shutdown(wait=True, cancel_futures=leaves)


def leave_at_once() -> None:
    """End this process as Ctrl-C ends one that has no handler for it.

    The core calls it when the interpreter's exit is interrupted and an actor will not end: a
    thread that runs Python code must not see the interpreter finalize.
    """
    import contextlib
    import os
    import signal
    import sys

    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)


def _wait_at_exit() -> None:
    """Have the interpreter wait for every actor before it finalizes, as pools do."""
    import threading

    # The hook that concurrent.futures uses: it runs before threads are refused.
    threading._register_atexit(_core.drain)  # type: ignore[attr-defined] # noqa: SLF001


_wait_at_exit()
_core.start_logging()
