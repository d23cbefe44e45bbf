"""What an executor does in an event loop. It is loaded on first use, because it imports asyncio."""

import asyncio
import threading
from contextlib import suppress
from typing import Any

from ._core import need_event_loop
from ._errors import MailboxFull
from ._future import ActorFuture


async def apost(executor: Any, message: object) -> ActorFuture[Any]:  # noqa: ANN401 - either kind
    """Post `message` when there is room; see `ActorExecutor.apost`."""
    need_event_loop()
    post: Any = executor.post
    try:
        posted: ActorFuture[Any] = post(message, timeout=0)
    except MailboxFull:
        seat = executor._wait_for_room()  # noqa: SLF001 - it exists for this function
        try:
            await asyncio.wrap_future(seat.future)
            posted = executor._post_into_room(seat, message)  # noqa: SLF001
        finally:
            # After an error, for example a cancellation, the next sender gets the seat.
            seat.leave()
    return posted


async def atell(executor: Any, message: object) -> None:  # noqa: ANN401 - either kind
    """Tell `message` when there is room; see `ActorExecutor.atell`."""
    need_event_loop()
    try:
        executor.tell(message, timeout=0)
    except MailboxFull:
        seat = executor._wait_for_room()  # noqa: SLF001 - it exists for this
        try:
            await asyncio.wrap_future(seat.future)
            executor._tell_into_room(seat, message)  # noqa: SLF001
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
