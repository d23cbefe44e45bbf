"""`Answers`: what `imap` and `imap_unordered` return. It is loaded on first use."""

import contextlib
import math
import operator
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent import futures
from typing import Any, Generic, NamedTuple

from ._core import need_event_loop
from ._errors import MailboxFull
from ._future import ActorFuture
from ._types import Answer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Self

#: How many messages an actor gets ahead if `buffersize` is None.
AHEAD = 64


class Answers(Generic[Answer]):
    """Iterates over the answers to messages, and posts further messages as answers are taken.

    `executor.imap(messages)` makes it; it can be iterated over once, with `for` or `async for`.
    What a message failed with is raised in the place of its answer, and the next step goes on with
    the next answer. If the messages themselves cannot be read on, or are refused, that is raised
    after the answers to the messages before. When it is closed or dropped, or a step has raised
    `TimeoutError` because `timeout` has passed, messages that have not begun are cancelled.
    """

    __module__ = "futures_actors"

    def __init__(
        self,
        executor: Any,  # noqa: ANN401 - of any kind
        messages: Iterable[object],
        *,
        buffersize: int | None,
        timeout: float | None,
        in_order: bool,
    ) -> None:
        """Post as many messages as may be ahead and as there is room for; this never waits."""
        self._deadline = _deadline(timeout)
        self._most = _size(buffersize, executor)
        self._executor = executor
        self._messages: Iterator[object] | None = iter(messages)
        # The message for which there was no room.
        self._held: list[object] = []
        self._error: Exception | None = None
        self._ahead: _Ordered | _Unordered = _Ordered() if in_order else _Unordered()
        # Guards the state above. It is not held while a thread waits.
        self._lock = threading.RLock()
        self._fill()
        if self._error is not None and not self._ahead:
            raise self._error

    def __iter__(self) -> "Self":
        """Return itself."""
        return self

    def __next__(self) -> Answer:
        """Return the next answer, waiting for it, or raise what its message failed with."""
        while (step := self._step(blocks=True)).ended is None:
            try:
                _wait(step.awaited, self._left())
                self._go_on(step.seat)
            finally:
                step.leave()
        if step.ended is _END:
            raise StopIteration
        return _open(step)  # type: ignore[no-any-return] # of a future of this actor's

    def __aiter__(self) -> "Self":
        """Return itself."""
        return self

    async def __anext__(self) -> Answer:
        """Return the next answer, without blocking the event loop.

        If the waiting task is cancelled, the answer stays for the next step.
        """
        need_event_loop()
        while (step := self._step(blocks=False)).ended is None:
            try:
                await _wait_in_loop(step.awaited, self._left())
                self._go_on(step.seat)
            finally:
                step.leave()
        if step.ended is _END:
            raise StopAsyncIteration
        return _open(step)  # type: ignore[no-any-return] # of a future of this actor's

    def close(self) -> None:
        """Cancel the messages that have not begun, and end the iteration. It never waits."""
        with self._lock:
            ahead = self._ahead.take_all()
            self._held.clear()
            self._messages = self._executor = self._error = None
        # The latest first: otherwise the actor could skip an early one and begin the next.
        for future in reversed(ahead):
            future.cancel()

    def __enter__(self) -> "Self":
        """Return itself; the end of the `with` block closes it."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close it."""
        self.close()

    def __del__(self) -> None:
        """Close it, unless its creation failed before there was anything to close."""
        if hasattr(self, "_lock"):
            self.close()

    def _step(self, *, blocks: bool) -> "_Step":
        """Take out the next future, if it is done, and post one message more.

        With `blocks`, the caller blocks its thread until one of what it gets to wait for is done.
        """
        with self._lock:
            self._fill()
            if (ended := self._ahead.take_done()) is not None:
                self._fill()
                return _Step(ended)
            awaited = [self._ahead.next_done()] if self._ahead else []
            if self._held:
                seat = self._executor._wait_for_room(blocks=blocks)  # noqa: SLF001 - it exists for this
                return _Step(None, [*awaited, seat.future], seat)
            if awaited:
                return _Step(None, awaited)
            # The actor may end, if nothing else holds its executor.
            error, self._error, self._executor = self._error, None, None
            if error is not None:
                raise error
            return _Step(_END)

    def _fill(self) -> None:
        """Post messages while few enough are ahead. It never waits for room."""
        try:
            while len(self._ahead) < self._most and self._read():
                self._post(self._executor.post, timeout=0)
        except MailboxFull:
            pass
        except Exception as error:  # noqa: BLE001 - raised after the answers to come
            self._refuse(error)

    def _read(self) -> bool:
        """Read the next message, unless one is held; return whether there is one."""
        if self._messages is not None and not self._held:
            for message in self._messages:
                self._held.append(message)
                return True
            self._messages = None
        return bool(self._held)

    def _post(self, post: Any, *args: object, **kw: object) -> None:  # noqa: ANN401 - a function
        future = post(*args, *self._held, **kw)
        if future is not None:
            self._held.clear()
            self._ahead.add(future)

    def _refuse(self, error: Exception) -> None:
        self._error, self._messages = error, None
        self._held.clear()

    def _go_on(self, seat: Any) -> None:  # noqa: ANN401 - a seat of the core
        """After a wait: post the held message if its place is granted, or see that time is up."""
        with self._lock:
            if seat is not None and seat.future.done() and self._held:
                try:
                    self._post(self._executor._post_into_room, seat)  # noqa: SLF001 - likewise
                except Exception as error:  # noqa: BLE001 - raised after the answers to come
                    self._refuse(error)
            elif self._left() == 0 and not self._ahead.has_done():
                self.close()
                raise futures.TimeoutError

    def _left(self) -> float | None:
        return None if self._deadline is None else max(0, self._deadline - time.monotonic())


_END: Any = object()


class _Step(NamedTuple):
    """What a step has found: a future that is done, or what to wait for."""

    ended: Any
    awaited: list[ActorFuture[Any]] = []  # noqa: RUF012 - never changed
    #: The turn in the queue for room, if that is among what to wait for.
    seat: Any = None

    def leave(self) -> None:
        """Give up the turn, or the place if it is not used."""
        if self.seat is not None:
            self.seat.leave()


class _Ordered:
    """The futures of messages that are ahead, in the order in which these were posted."""

    def __init__(self) -> None:
        self._futures: deque[ActorFuture[Any]] = deque()

    def __len__(self) -> int:
        return len(self._futures)

    def add(self, future: ActorFuture[Any]) -> None:
        self._futures.append(future)

    def has_done(self) -> bool:
        return bool(self._futures) and self._futures[0].done()

    def take_done(self) -> ActorFuture[Any] | None:
        return self._futures.popleft() if self.has_done() else None

    def next_done(self) -> ActorFuture[Any]:
        return self._futures[0]

    def take_all(self) -> list[ActorFuture[Any]]:
        taken = list(self._futures)
        self._futures.clear()
        return taken


class _Unordered:
    """The futures of messages that are ahead; those that are done are listed as they end."""

    def __init__(self) -> None:
        # A dictionary, for their order.
        self._futures: dict[ActorFuture[Any], None] = {}
        self._ended = _Ended()

    def __len__(self) -> int:
        return len(self._futures)

    def add(self, future: ActorFuture[Any]) -> None:
        self._futures[future] = None
        future.add_done_callback(self._ended.add)

    def has_done(self) -> bool:
        return bool(self._ended.futures)

    def take_done(self) -> ActorFuture[Any] | None:
        if not self._ended.futures:
            return None
        future = self._ended.futures.popleft()
        del self._futures[future]
        return future

    def next_done(self) -> ActorFuture[Any]:
        return self._ended.next()

    def take_all(self) -> list[ActorFuture[Any]]:
        taken, self._futures = list(self._futures), {}
        # A future that ends later is not listed among those of this iteration any more.
        self._ended = _Ended()
        return taken


class _Ended:
    """The futures that have ended, in the order in which they did.

    It is apart from what iterates, which a callback of a future must not keep alive.
    """

    def __init__(self) -> None:
        self.futures: deque[ActorFuture[Any]] = deque()
        self._lock = threading.Lock()
        self._next: ActorFuture[Any] | None = None

    def add(self, future: ActorFuture[Any]) -> None:
        with self._lock:
            self.futures.append(future)
            waiter, self._next = self._next, None
        if waiter is not None:
            waiter.set_result(None)

    def next(self) -> ActorFuture[Any]:
        """Return a future that is done as soon as one has ended."""
        with self._lock:
            waiter = self._next = self._next or ActorFuture()
            if not self.futures:
                return waiter
            self._next = None
        waiter.set_result(None)
        return waiter


def _wait(awaited: list[ActorFuture[Any]], timeout: float | None) -> None:
    """Wait until one of the futures is done or the time is up."""
    if len(awaited) > 1:
        futures.wait(awaited, timeout, futures.FIRST_COMPLETED)
        return
    # Quicker. What it ended with does not matter here.
    with contextlib.suppress(futures.CancelledError, futures.TimeoutError):
        awaited[0].exception(timeout)


async def _wait_in_loop(awaited: list[ActorFuture[Any]], timeout: float | None) -> None:
    """Do what `_wait` does, without blocking the event loop; a cancelled task cancels no future."""
    import asyncio

    loop = need_event_loop()
    one_is_done = loop.create_future()

    def end() -> None:
        if not one_is_done.done():
            one_is_done.set_result(None)

    def notify(_future: object) -> None:
        # If the loop is closed, nothing waits there any more.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(end)

    for future in awaited:
        future.add_done_callback(notify)
    await asyncio.wait([one_is_done], timeout=timeout)


def _open(step: _Step) -> Any:  # noqa: ANN401 - what it ended with
    """Return the answer, or raise what the message failed with."""
    try:
        return step.ended.result()
    except (StopIteration, StopAsyncIteration) as error:
        # It would end the iteration, and the answers to come would be lost.
        raise RuntimeError(f"the message failed with {type(error).__name__}") from error
    finally:
        # Otherwise the exception would hold the future through its traceback.
        del step


def _deadline(timeout: float | None) -> float | None:
    if timeout is None:
        return None
    # It also refuses what is no number, with the error that the other methods raise.
    if math.isnan(timeout):
        raise ValueError(f"timeout must be a number of seconds, not {timeout}")
    return time.monotonic() + float(timeout)


def _size(buffersize: int | None, executor: Any) -> int:  # noqa: ANN401 - of any kind
    if buffersize is None:
        most: int = AHEAD * executor._width()  # noqa: SLF001 - ours
        return most
    if isinstance(buffersize, bool) or not hasattr(buffersize, "__index__"):
        raise TypeError(f"buffersize must be an int or None, not {type(buffersize).__name__}")
    if (most := operator.index(buffersize)) < 1:
        raise ValueError(f"buffersize must be at least 1, not {most}")
    return most
