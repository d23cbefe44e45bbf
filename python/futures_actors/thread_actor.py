"""Actors that live in a thread of their own."""

import threading

from . import _core
from ._base_actor import ActorExecutor
from ._core import ThreadActor
from ._types import Answer, Message

__all__ = ["ThreadActor", "ThreadActorExecutor"]


class ThreadActorExecutor(
    _core.ThreadExecutorCore[Message, Answer], ActorExecutor[Message, Answer]
):
    """The executor of a `ThreadActor`."""


def enter_thread(name: str) -> None:
    """Make the calling thread, which the core has started, known to `threading` by `name`."""
    threading.current_thread().name = name


def leave_thread() -> None:
    """Take the calling thread off `threading`'s list, where it would stay for ever."""
    active = threading._active  # type: ignore[attr-defined] # noqa: SLF001
    with threading._active_limbo_lock:  # type: ignore[attr-defined] # noqa: SLF001
        active.pop(threading.get_ident(), None)
