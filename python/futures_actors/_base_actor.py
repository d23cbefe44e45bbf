"""`ActorExecutor`: what the executors of thread and process actors have in common."""

from concurrent.futures import Executor
from typing import Any

from . import _core
from ._core import Actor
from ._future import ActorFuture

__all__ = ["Actor", "ActorExecutor"]


class ActorExecutor(Executor):
    """Manages one actor: sends messages to it and returns futures of its answers.

    Start an actor by its class's `executor(...)`; this class is what the executors of
    `ThreadActor` and `ProcessActor` share.
    """

    def post(self, message: Any) -> ActorFuture[Any]:  # noqa: ANN401
        """Send a message to the actor and return the future of its answer."""
        raise NotImplementedError("use ProcessActorExecutor or ThreadActorExecutor")


def _wait_at_exit() -> None:
    """Have the interpreter wait for every actor before it finalizes, as pools do."""
    import os
    import threading

    # The hook that concurrent.futures uses: it runs before threads are refused.
    threading._register_atexit(_core.drain)  # type: ignore[attr-defined] # noqa: SLF001
    os.register_at_fork(after_in_child=_core.after_fork_in_child)


_wait_at_exit()
_core.start_logging()
