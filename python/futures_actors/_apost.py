"""`apost`: posts from a coroutine. It is loaded on first use, because it imports asyncio."""

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
        seat = executor._wait_for_room()  # noqa: SLF001 - it exists for this function
        try:
            await asyncio.wrap_future(seat.future)
            posted = executor._post_into_room(seat, message)  # noqa: SLF001
        finally:
            # After an error, for example a cancellation, the next sender gets the seat.
            seat.leave()
    return posted
