"""`ActorExecutor`: what the executors of thread and process actors have in common."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from types import TracebackType
from typing import Any

from . import _core
from ._core import Actor
from ._reference import ActorRef
from ._types import Answer, Message, Result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Self

    from ._answers import Answers
    from ._stats import Stats

__all__ = ["Actor", "ActorExecutor"]

_NO_ACTOR = "use ProcessActorExecutor or ThreadActorExecutor"


class ActorExecutor(ActorRef[Message, Answer], Executor):
    """Manages one actor: sends it messages and returns futures of its answers.

    Start an actor with `executor(...)` of its class. This class is the common base of the executors
    of `ThreadActor` and `ProcessActor`, and has no actor itself.
    """

    __module__ = "futures_actors"

    def ref(self) -> ActorRef[Message, Answer]:
        """Return a reference to the actor, which can send it messages and cannot end it.

        The actor lives while its executor or a reference exists, until one of the executor's
        methods ends it.
        """
        raise NotImplementedError(_NO_ACTOR)

    def map(
        self,
        fn: Callable[..., Result],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        **options: Any,  # noqa: ANN401 - options of newer versions of Python
    ) -> Iterator[Result]:
        """Do what `concurrent.futures.Executor.map` does, in the actor's thread or process.

        `chunksize` has no effect: calls are always sent in batches. For messages use `imap`.
        """
        if not callable(fn):
            raise TypeError(
                f"map calls a function for each item, and {type(fn).__name__!r} is not callable; "
                "to send each item as a message, use imap(messages)"
            )
        return super().map(fn, *iterables, timeout=timeout, chunksize=chunksize, **options)

    def imap(
        self,
        messages: Iterable[Message],
        *,
        buffersize: int | None = None,
        timeout: float | None = None,
    ) -> "Answers[Answer]":
        """Post messages and return an iterator over their answers, in the order of the messages.

        It posts `buffersize` messages now, or fewer if the mailbox is full, and one more for each
        answer that is taken from the iterator; None means 64. So `messages` may be endless. It
        works with `for` and `async for`. What a message failed with is raised in its place, and
        the iterator goes on. `timeout` is in seconds from this call: a step that would wait longer
        raises `TimeoutError`. An iterator that is closed or dropped cancels what has not begun.
        """
        from ._answers import Answers

        return Answers(self, messages, buffersize=buffersize, timeout=timeout, in_order=True)

    def imap_unordered(
        self,
        messages: Iterable[Message],
        *,
        buffersize: int | None = None,
        timeout: float | None = None,
    ) -> "Answers[Answer]":
        """Do what `imap` does, but return answers in the order in which they come."""
        from ._answers import Answers

        return Answers(self, messages, buffersize=buffersize, timeout=timeout, in_order=False)

    def _width(self) -> int:
        """Return how many actors handle the messages."""
        return 1

    def stats(self) -> "Stats":
        """Return the state and the counts of the actor, without asking the actor."""
        raise NotImplementedError(_NO_ACTOR)

    def dump_traceback(self, *, timeout: float | None = None) -> str:
        """Return the current stacks of the actor's threads, as text.

        A process actor is interrupted by a signal, so this works while `handle` hangs, even in C
        code, but only on Linux. For a thread actor it is the stack of its thread. `timeout` is in
        seconds; None means no limit. Raises `TimeoutError` when it has passed, `BrokenActor` if the
        actor could not start or has died, and `RuntimeError` if it has ended.
        """
        raise NotImplementedError(_NO_ACTOR)

    def shutdown(
        self,
        wait: bool = True,  # noqa: FBT001, FBT002
        *,
        cancel_futures: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Accept no more messages, and let the actor end when it has handled those it has.

        With `wait`, return when it has ended; raise `TimeoutError` if that takes more than
        `timeout` seconds, though the actor still goes on to end. With `cancel_futures`, cancel
        every message that `handle` has not begun. `shutdown` can be called again, and from any
        thread; in the actor's own thread, in `handle` or in a callback, it does not wait.
        """

    def terminate(self) -> None:
        """Shut down without waiting for the actor's messages: a process gets SIGTERM.

        No message begins after this. When the process has ended, every pending future fails with
        `ActorDied`; if the process catches the signal, it first finishes the message that it has
        begun. A thread cannot be ended from outside: it finishes the message that runs, and the
        others fail at once with `BrokenActor`. `on_stop` is not called. Never waits.
        """
        raise NotImplementedError(_NO_ACTOR)

    def kill(self) -> None:
        """Shut down as `terminate` does, but a process gets SIGKILL, which it cannot catch."""
        raise NotImplementedError(_NO_ACTOR)

    def terminate_workers(self) -> None:
        """Do what `terminate` does, under its name in process pools."""
        self.terminate()

    def kill_workers(self) -> None:
        """Do what `kill` does, under its name in process pools."""
        self.kill()

    async def ashutdown(
        self,
        timeout: float | None = None,
        *,
        cancel_futures: bool = False,
    ) -> None:
        """Do what `shutdown` does, and wait for the actor's end without blocking the event loop.

        If the waiting task is cancelled, the actor still goes on to end.
        """
        from ._awaiting import ashutdown

        await ashutdown(self, timeout, cancel_futures=cancel_futures)

    async def __aenter__(self) -> "Self":
        """Return the executor."""
        _core.need_event_loop()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Shut down and wait; on `KeyboardInterrupt` or `SystemExit`, cancel waiting messages."""
        await self.ashutdown(cancel_futures=_leaves(kind))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Shut down and wait; on `KeyboardInterrupt` or `SystemExit`, cancel waiting messages."""
        self.shutdown(wait=True, cancel_futures=_leaves(kind))


def _leaves(kind: type[BaseException] | None) -> bool:
    """Whether a block that is left by this exception leaves the program."""
    return kind is not None and issubclass(kind, (KeyboardInterrupt, SystemExit))


#: How a process ends by Ctrl-C on Windows: STATUS_CONTROL_C_EXIT, as Python's own exit code.
_CONTROL_C_EXIT = 0xC000013A - (1 << 32)


def leave_at_once() -> None:
    """End this process as Ctrl-C ends a process without a handler for it.

    The core calls it if the interpreter's exit is interrupted and an actor does not end: the
    interpreter must not finalize while a thread of an actor runs Python code.
    """
    import contextlib
    import os
    import signal
    import sys

    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    if sys.platform == "win32":
        os._exit(_CONTROL_C_EXIT)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)


def _wait_at_exit() -> None:
    """Have the interpreter wait for every actor before it finalizes, as pools do."""
    import threading

    _core.note_main_thread(threading.main_thread().ident or 0)
    # `concurrent.futures` uses this hook, too: it runs while new threads can still start.
    threading._register_atexit(_core.drain)  # type: ignore[attr-defined] # noqa: SLF001


_wait_at_exit()
_core.start_logging()
