"""`apost`: posting from a coroutine. It imports asyncio, so it is loaded by the first who does."""

import asyncio
from typing import Any

from ._errors import MailboxFull
from ._future import ActorFuture


async def apost(executor: Any, message: object) -> ActorFuture[Any]:  # noqa: ANN401 - either kind
    """Post `message` when there is room; see `ActorExecutor.apost`."""
    post: Any = executor.post
    try:
        posted: ActorFuture[Any] = post(message, timeout=0)
    except MailboxFull:
        seat = executor._wait_for_room()  # noqa: SLF001 - it is there for this
        try:
            await asyncio.wrap_future(seat.future)
            posted = executor._post_into_room(seat, message)  # noqa: SLF001
        finally:
            # After an error, a cancellation say, the place goes to the next sender.
            seat.leave()
    return posted
