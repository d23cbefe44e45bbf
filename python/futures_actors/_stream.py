"""`ActorStream`: what `stream` returns."""

from concurrent import futures

from . import _core
from ._types import Item

#: How long the end of a `with` block waits for the generator's end, in seconds.
_GRACE = 0.5


class ActorStream(_core.StreamCore[Item]):
    """What a handler yields, item by item: an iterator, and an async iterator.

    `executor.stream(message)` makes one. Use it in a `with` or `async with` block: at its end the
    generator ends, too, wherever it is, and its `finally` blocks run. If no exception leaves the
    block, it waits half a second at most until they have run, so that `future` says how the
    generator has ended; a plain `with` in an event loop does not wait. Several threads may take
    from one stream; they share the items. `future` is done when the generator has ended.
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
        _core.need_event_loop()
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the stream; see the class."""
        self.close()
        if not (any(exception) or self.future.done() or _core.runs_event_loop()):
            futures.wait([self.future], _GRACE)

    async def __aexit__(self, *exception: object) -> None:
        """Close the stream; see the class."""
        self.close()
        if not (any(exception) or self.future.done()):
            from ._awaiting import wait_for_end

            await wait_for_end(self.future, _GRACE)
