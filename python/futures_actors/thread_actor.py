"""Actors that live in a thread of their own."""

import sys
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


def enter_thread(name: str) -> int:
    """Register the calling thread, which the core has started, with `threading` under `name`.

    Returns its identifier in `threading`.
    """
    threading.current_thread().name = name
    trace_thread()
    return threading.get_ident()


def trace_thread() -> None:
    """Apply `threading.settrace` and `threading.setprofile` to the calling thread.

    Threads of `threading` do so when they start. Coverage, debuggers and profilers rely on it.
    """
    if trace := threading.gettrace():
        sys.settrace(trace)
    if profile := threading.getprofile():
        sys.setprofile(profile)


def dump_thread(ident: int | None) -> str:
    """Return the stack of a thread as text, the most recent call last."""
    import traceback

    thread = threading._active.get(ident)  # type: ignore[attr-defined] # noqa: SLF001
    frame = None if ident is None else sys._current_frames().get(ident)  # noqa: SLF001 - documented
    name = "a thread that starts" if thread is None else f"thread {thread.name}"
    lines = ["  it waits, and runs no Python code\n"]
    if frame is not None:
        lines = traceback.format_stack(frame)
    return f"{name} (most recent call last):\n" + "".join(lines)


def leave_thread() -> None:
    """Remove the calling thread from `threading`'s list, where it would stay forever."""
    active = threading._active  # type: ignore[attr-defined] # noqa: SLF001
    with threading._active_limbo_lock:  # type: ignore[attr-defined] # noqa: SLF001
        active.pop(threading.get_ident(), None)
