"""What an executor does in an event loop. It is loaded on first use, because it imports asyncio."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from ._core import FutureCore, need_event_loop
from ._future import ActorFuture


async def apost(executor: Any, message: object) -> ActorFuture[Any]:  # noqa: ANN401 - either kind
    """Post `message` when there is room; see `ActorExecutor.apost`."""
    need_event_loop()
    posted: ActorFuture[Any] | None = executor._try_post(message)  # noqa: SLF001 - it exists for this
    if posted is not None:
        return posted
    seat = executor._wait_for_room()  # noqa: SLF001
    try:
        # Code that blocks the loop may use the place, and leave another turn.
        while posted is None:
            await seat.future
            posted = executor._post_into_room(seat, message)  # noqa: SLF001
    finally:
        # After an error, for example a cancellation, the next sender gets the seat.
        seat.leave()
    return posted


async def atell(executor: Any, message: object) -> None:  # noqa: ANN401 - either kind
    """Tell `message` when there is room; see `ActorExecutor.atell`."""
    need_event_loop()
    if executor._try_tell(message):  # noqa: SLF001 - it exists for this
        return
    seat = executor._wait_for_room()  # noqa: SLF001
    try:
        is_told = False
        while not is_told:
            await seat.future
            is_told = executor._tell_into_room(seat, message)  # noqa: SLF001
    finally:
        seat.leave()


async def ashutdown(
    executor: Any,  # noqa: ANN401 - either kind
    timeout: float | None,
    *,
    cancel_futures: bool = False,
) -> None:
    """Shut down; see `ActorExecutor.ashutdown`."""
    loop = need_event_loop()
    executor.shutdown(wait=False, cancel_futures=cancel_futures)
    ended: asyncio.Future[None] = loop.create_future()

    def tell(error: Exception | None) -> None:
        if ended.done():
            return  # the waiting task was cancelled
        if error is None:
            ended.set_result(None)
        else:
            ended.set_exception(error)

    def wait() -> None:
        failed = None
        try:
            executor.shutdown(timeout=timeout)
        except Exception as error:  # noqa: BLE001 - it is raised in the loop
            failed = error
        # A task that was cancelled can leave a loop behind that has been closed.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(tell, failed)

    # A thread of its own: those of the loop may all be busy.
    threading.Thread(target=wait, name="ashutdown").start()
    await ended


async def wait_for_end(future: ActorFuture[Any], seconds: float) -> None:
    """Wait until `future` is done, for so long at most."""
    loop = need_event_loop()
    ended = asyncio.Event()

    def tell(_: object) -> None:
        # The loop may have been closed since.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(ended.set)

    future.add_done_callback(tell)
    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(ended.wait(), seconds)


def wrap_relayed(future: FutureCore[Any]) -> "asyncio.Future[Any]":
    """Do what `asyncio.wrap_future` does, for a message that another process passes on.

    Only that process knows whether the message has begun. A task that is cancelled does not wait
    for what it says.
    """
    return asyncio.wrap_future(_Relayed(future))


class _Relayed(Future[Any]):
    """Stands for the future of a message in `asyncio.wrap_future`."""

    def __init__(self, future: FutureCore[Any]) -> None:
        # That of the base class would make a state that is never used.
        self._future = future

    def cancel(self) -> bool:
        # asyncio calls it after a task that awaits the future was cancelled.
        self._future._abandon()  # noqa: SLF001 - it exists for this
        return True

    def add_done_callback(self, fn: Callable[[Future[Any]], object]) -> None:
        self._future.add_done_callback(lambda _: fn(self))

    def done(self) -> bool:
        return self._future.done()

    def cancelled(self) -> bool:
        return self._future.cancelled()

    def result(self, timeout: float | None = None) -> Any:  # noqa: ANN401 - any answer
        return self._future.result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        return self._future.exception(timeout)

    def _get_snapshot(self) -> tuple[bool, bool, Any, BaseException | None]:
        return self._future._get_snapshot()  # noqa: SLF001 - Python 3.14 and later call it
