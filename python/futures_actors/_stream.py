"""`ActorStream`: what `stream` returns."""

from . import _core
from ._types import Item


class ActorStream(_core.StreamCore[Item]):
    """What a handler yields, item by item: an iterator, and an async iterator.

    `executor.stream(message)` makes one. Use it in a `with` or `async with` block: at its end the
    generator ends, too, wherever it is, and its `finally` blocks run. Several threads may take from
    one stream; they share the items. `future` is done when the generator has ended.
    """

    __module__ = "futures_actors"

    def __aiter__(self) -> "ActorStream[Item]":
        """Return the stream itself."""
        return self

    async def __anext__(self) -> Item:
        """Return the next item, and wait for it without blocking the event loop."""
        while True:
            taken = self._take()
            if taken is None:
                raise StopAsyncIteration
            if isinstance(taken, tuple):
                return taken[0]
            await taken

    async def __aenter__(self) -> "ActorStream[Item]":
        """Return the stream itself."""
        return self

    async def __aexit__(self, *_exception: object) -> None:
        """Close the stream. This never waits."""
        self.close()
