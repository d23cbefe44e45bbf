"""Finds the awaits in handlers of an async actor that would never end.

An await that has lasted for a moment is looked at, as long as there is one. The core is told how
many messages can only go on when a future of an actor is done (`LoopCore.wait`). If these messages
take every place of the actor, then the event loop has nothing to do until then. The core says
whether it is so because actors wait for each other in a circle.

What a message waits for is found by following its task: to the future of an actor that it awaits,
or to other tasks, by themselves or in `gather`, `wait_for`, `wait` or a task group. A message that
waits for anything else may go on by that, so then nothing is said.
"""

import asyncio
import contextvars
from asyncio import tasks as asyncio_tasks
from collections.abc import Callable, Collection, Generator, Mapping
from types import CoroutineType, FrameType
from typing import Any

from ._core import FutureCore, LoopCore, LoopWait
from ._errors import ActorDeadlock

#: How often the awaits are looked at, in seconds, that have lasted since the time before.
LOOKED_AT = 0.1

_Future = asyncio.Future[Any]
_Task = asyncio.Task[Any]


class Awaits:
    """The awaits of one event loop, whose messages run in the tasks of `running`."""

    def __init__(
        self,
        core: LoopCore,
        loop: asyncio.AbstractEventLoop,
        running: Mapping[Any, _Task],
        max_concurrency: int,
    ) -> None:
        self.core = core
        self.loop = loop
        self.running = running
        self.max_concurrency = max_concurrency
        #: While `on_start` or `on_stop` runs, its task: no message is handled meanwhile.
        self.hook: _Task | None = None
        #: By the future of the event loop that each waits by.
        self.all: dict[_Future, _Await] = {}
        self.looks = False
        #: No message's.
        self.context = contextvars.Context()
        #: While messages have nothing to do: what the core knows of that, and which awaits.
        self.entered: tuple[LoopWait, list[_Await]] | None = None

    def watch(
        self, future: "FutureCore[Any]", wrapped: _Future, *, asks: bool
    ) -> Generator[Any, None, Any]:
        """Return what `await future` waits by: see `_event_loop.watch_await`."""
        return _Await(self, future, wrapped).wait(asks=asks)

    def add(self, one: "_Await") -> None:
        self.all[one.wrapped] = one
        if not self.looks:
            self._look()

    def _look(self) -> None:
        """Look at the awaits that have lasted for a moment, as long as there are any."""
        began = self.loop.time()
        self._enter()
        self._refuse()
        for one in self.all.values():
            one.has_lasted = True
        self.looks = bool(self.all)
        if self.looks:
            # Thousands of awaits must not keep the loop busy.
            delay = max(LOOKED_AT, 20 * (self.loop.time() - began))
            self.loop.call_later(delay, self._look, context=self.context)

    def _enter(self) -> None:
        """Tell the core how many messages have nothing to do."""
        tasks = self.running.values() if self.hook is None else [self.hook]
        stops = _Stops(self.all)
        count = sum(map(stops.find, tasks))
        if not count:
            return
        if self.entered is not None:
            if self.entered[1] == stops.awaits:
                return
            self.goes_on()  # more of them wait
        is_blocked = count == len(tasks) and (
            self.hook is not None or count >= self.max_concurrency
        )
        wait = self.core.wait([one.future for one in stops.awaits], count, is_blocked)
        if wait is None:
            return
        self.entered = wait, stops.awaits
        for waiter in stops.waiters:
            _call_first(waiter, self.goes_on)

    def goes_on(self, _: object = None) -> None:
        """Tell the core that a message has something to do: it goes on right after this."""
        if self.entered is not None:
            wait, _awaits = self.entered
            self.entered = None
            wait.end()

    def _refuse(self) -> None:
        """Refuse an await that would never end."""
        if self.entered is None:
            return
        wait, awaits = self.entered
        refused = wait.refused()
        if refused is not None:
            place, error = refused
            self.goes_on()
            awaits[place].refuse(error)


class _Await:
    """An await of a future in an async actor."""

    __slots__ = ("awaits", "future", "has_lasted", "refused", "wrapped")

    def __init__(self, awaits: Awaits, future: "FutureCore[Any]", wrapped: _Future) -> None:
        self.awaits = awaits
        self.future = future
        self.wrapped = wrapped
        self.has_lasted = False
        self.refused: ActorDeadlock | None = None

    def wait(self, *, asks: bool) -> Generator[Any, None, Any]:
        self.awaits.add(self)
        try:
            return (yield from self.wrapped)
        except asyncio.CancelledError:
            if self.refused is not None:
                raise self.refused from None
            if asks and self.wrapped.cancelled():
                self.future.request_cancel()
            raise
        finally:
            self.awaits.all.pop(self.wrapped, None)

    def refuse(self, error: ActorDeadlock) -> None:
        """Raise this there."""
        # The message is cancelled if it has not begun. Its handler is not asked to stop.
        if self.wrapped.cancel():
            self.refused = error


class _Stops:
    """Where tasks have stopped: the awaits that they wait for, and the futures that resume them."""

    def __init__(self, known: dict[_Future, _Await]) -> None:
        self.known = known
        self.awaits: list[_Await] = []
        self.waiters: list[_Future] = []

    def find(self, task: _Task) -> bool:
        """Add what `task` waits for, if these are futures of actors, and have been for a moment."""
        todo: list[_Future] = [task]
        seen: set[_Future] = set()
        awaits: list[_Await] = []
        waiters: list[_Future] = []
        while todo:
            one = todo.pop()
            if one in seen or one.done():
                continue
            seen.add(one)
            if (known := self.known.get(one)) is not None:
                if not known.has_lasted:
                    return False
                awaits.append(known)
                continue
            found = self._behind(one, waiters)
            # What waits for nothing more is about to go on.
            if found is None or all(other.done() for other in found):
                return False
            todo += found
        if awaits:
            self.awaits += awaits
            self.waiters += waiters
        return bool(awaits)

    def _behind(self, one: _Future, waiters: list[_Future]) -> Collection[_Future] | None:
        """Return what ends this future; None if other things may, too.

        What resumes it, if it is a task, goes into `waiters`.
        """
        children: Collection[_Future] | None = getattr(one, "_children", None)
        if children is not None and isinstance(one, _GATHERED):
            # One that has failed ends all, though the loop may not have come to that yet.
            return None if any(map(_has_failed, children)) else children
        if not isinstance(one, asyncio.Task):
            return None
        waiter: _Future | None = getattr(one, "_fut_waiter", None)
        if waiter is None or waiter.done():
            return None  # it runs, or is about to
        waiters.append(waiter)
        if waiter in self.known or isinstance(waiter, (asyncio.Task, _GATHERED)):
            return [waiter]
        frame = _innermost(one)
        return None if frame is None else _parts(frame, waiter)


#: What `gather` returns.
_GATHERED: type[Any] = asyncio_tasks._GatheringFuture  # type: ignore[attr-defined]  # noqa: SLF001

_WAIT_FOR = asyncio.wait_for.__code__
_WAIT = asyncio_tasks._wait.__code__  # type: ignore[attr-defined]  # noqa: SLF001
_GROUP: type[Any] | None = getattr(asyncio, "TaskGroup", None)
_GROUP_EXITS = [
    getattr(_GROUP, name).__code__ for name in ("__aexit__", "_aexit") if hasattr(_GROUP, name)
]


def _innermost(task: _Task) -> FrameType | None:
    """Return the frame in which a task has stopped, if it is one of a coroutine."""
    coroutine: Any = task.get_coro()
    while isinstance(inner := getattr(coroutine, "cr_await", None), CoroutineType):
        coroutine = inner
    frame: FrameType | None = getattr(coroutine, "cr_frame", None)
    return frame


def _parts(frame: FrameType, waiter: _Future) -> Collection[_Future] | None:
    """Return the futures for which code of asyncio has stopped in this frame, by `waiter`."""
    if frame.f_code not in (_WAIT, _WAIT_FOR, *_GROUP_EXITS):
        # Before Python 3.13, a frame that has been asked for its variables keeps what they are now.
        return None
    there = frame.f_locals
    if frame.f_code is _WAIT and there.get("timeout") is None:
        is_over = there["return_when"] != asyncio.ALL_COMPLETED and any(
            f.done() for f in there["fs"]
        )
        return None if is_over else list(there["fs"])
    if frame.f_code is _WAIT_FOR and there.get("waiter") is waiter:
        return [there["fut"]]
    group: Any = there.get("self")
    if group is not None and group._on_completed_fut is waiter:  # noqa: SLF001
        return None if any(f.done() for f in group._tasks) else list(group._tasks)  # noqa: SLF001
    return None


def _has_failed(future: _Future) -> bool:
    # `exception()` would mark it as seen.
    return future.cancelled() or getattr(future, "_exception", None) is not None


def _call_first(future: _Future, callback: Callable[[_Future], object]) -> None:
    """Have `callback` called when the future is done, before what was to be called so far."""
    later: list[tuple[Any, Any]] = list(getattr(future, "_callbacks", None) or ())
    if later and later[0][0] == callback:
        return
    for one, _context in later:
        future.remove_done_callback(one)
    future.add_done_callback(callback)
    for one, context in later:
        future.add_done_callback(one, context=context)
