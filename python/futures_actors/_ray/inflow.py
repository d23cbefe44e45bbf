"""What comes of a stream from a Ray actor, by Ray's generator."""

from collections import deque
from collections.abc import Callable
from typing import Any

import ray

#: How many of the next items a stream knows by reference before they are there. When the actor
#: dies, Ray forgets those that nobody refers to. When few are left, the stream asks for more.
_MOST, _LEAST = 64, 32


class Inflow:
    """A stream that is in flight. Only the thread of the executor uses it.

    Ray counts an item as consumed once it was taken from the executor's queue, so that the actor is
    never further ahead than the caller allows: that is Ray's `_generator_backpressure_num_objects`.
    """

    def __init__(self, generator: Any, report: Callable[[Any], None]) -> None:  # noqa: ANN401
        """For a generator of Ray's. `report` is called with each item, on a thread of Ray's.

        `report` must not refer to this object: Ray may abort if its own thread drops a reference.
        """
        self._generator = generator
        self._report = report
        #: From the one that is reported next.
        self._refs: deque[Any] = deque()
        self._received = 0
        self._consumed = 0
        #: It was asked to end.
        self.is_closing = False
        #: Ray has been told so: then this is ready when it has ended.
        self._end: Any = None

    @property
    def is_cancelled(self) -> bool:
        """Whether Ray has been told to end it."""
        return self._end is not None

    @property
    def lingers(self) -> bool:
        """Whether it should be released soon."""
        return self.is_cancelled and self._generator is not None

    @property
    def has_begun(self) -> bool:
        """Whether the actor has begun it."""
        return self._received > 0

    def expect(self) -> None:
        """Have the next item reported when it is there."""
        if len(self._refs) < _LEAST:
            known = self._received - self._consumed
            refs = self._generator._get_next_ref_n(known + _MOST)  # noqa: SLF001 - nothing else keeps items
            self._refs.extend(refs[known + len(self._refs) :])
        self._refs[0]._on_completed(self._report)  # noqa: SLF001 - as ref.future does

    def receive(self) -> None:
        """Count the item that was reported."""
        self._refs.popleft()
        self._received += 1

    def consume(self, count: int) -> None:
        """So many items have been taken since the stream began."""
        # The first one only says that it has begun.
        count = count + 1 - self._consumed
        if count > 0 and not self.is_cancelled:
            self._generator._consume_next_ref_n(count)  # noqa: SLF001 - see above
            self._consumed += count

    def finish(self) -> None:
        """Nothing more will come: let Ray's generator end, which may wait."""
        self.consume(self._received - 1)

    def cancel(self, report: Callable[[Any], None]) -> None:
        """Have the actor end it at its next `yield`; `report` is called when that is done.

        One that waits for room looks only once a second whether it was cancelled: see `release`.
        """
        self._end = self._generator.completed()
        self._end._on_completed(report)  # noqa: SLF001 - as above
        # What the generator has called on other actors is not ours to cancel.
        ray.cancel(self._generator, recursive=False)

    def release(self) -> None:
        """Have a generator that was cancelled go on if it waits for room.

        The actor should know by then that it was cancelled, or it may yield another item or two.
        """
        self._generator = None
