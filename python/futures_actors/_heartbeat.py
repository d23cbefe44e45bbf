"""Notices that the event loop of an async actor runs no callbacks while messages wait for it."""

import asyncio
import logging
from collections.abc import Collection
from typing import Any

from ._core import LoopCore

#: How long the loop may stand still, in seconds, before that is logged.
BLOCKED_AT_LEAST = 1.0
_HEARTBEAT = 0.1


class Heartbeat:
    """Has the loop call it at short intervals while messages run, and logs once that it was late.

    All of it is for the loop's thread, and for callbacks that have no message's context.
    """

    def __init__(
        self,
        core: LoopCore,
        loop: asyncio.AbstractEventLoop,
        name: str,
        running: Collection[Any],
        max_concurrency: int,
    ) -> None:
        self.core = core
        self.loop = loop
        self.name = name
        self.running = running
        #: How many messages ran at a time since the last beat.
        self.most = 0
        #: Whether it beats, or has no need to: no other message may run, or it has been logged.
        self.has_begun = max_concurrency == 1

    def begin(self) -> None:
        """Beat from now on until no message runs."""
        self.most = len(self.running)
        self.has_begun = bool(self.running)
        if self.has_begun:
            due = self.loop.time() + _HEARTBEAT
            self.loop.call_at(due, self._beat, due)

    def _beat(self, due: float) -> None:
        late = self.loop.time() - due
        if late >= BLOCKED_AT_LEAST - _HEARTBEAT:
            # After one more turn of the loop, in which the messages begin that have come meanwhile.
            self.loop.call_later(0, self._note_standstill, late)
        else:
            self.begin()

    def _note_standstill(self, late: float) -> None:
        # No message could begin while it stood still: one that has begun since was waiting.
        if self.most <= 1 and not self.core.has_begun_within(late):
            self.begin()
            return
        logging.getLogger("futures_actors").warning(
            "actor %s: its event loop stood still for %.1f s while other messages waited: use "
            "`await asyncio.to_thread(...)` for code that takes long",
            self.name,
            late,
        )
