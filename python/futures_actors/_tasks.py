"""The tasks that handle the messages of an async actor.

To make a task and to have the event loop call it takes longer than all else that a short message
needs. So a task handles the next message, too, if the one before has ended without waiting and has
left nothing behind: there are no more references to the task than before, nobody has asked for
its name, and the context is as it was. Then no message can tell by its task that it has handled
others.
"""

import asyncio
import sys
from contextvars import Context
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self


class MessageTask(asyncio.Task[None]):
    """A task that handles messages."""

    #: Whether someone has changed it, knows its name, or may refer to a part of it.
    is_marked = False

    def _mark(self) -> None:
        super().__setattr__("is_marked", True)

    def __setattr__(self, name: str, value: object) -> None:
        self._mark()
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        self._mark()
        return super().__repr__()

    def add_done_callback(
        self, fn: "Callable[[Self], object]", /, *, context: Context | None = None
    ) -> None:
        self._mark()
        super().add_done_callback(fn, context=context)

    def cancel(self, msg: object = None) -> bool:
        self._mark()
        return super().cancel(msg)

    def get_coro(self) -> Any:  # noqa: ANN401 - asyncio says no more
        self._mark()
        return super().get_coro()

    def get_name(self) -> str:
        self._mark()
        return super().get_name()

    def set_name(self, value: object) -> None:
        self._mark()
        super().set_name(value)

    if sys.version_info >= (3, 12):

        def get_context(self) -> Any:  # noqa: ANN401 - a `contextvars.Context`
            self._mark()
            return super().get_context()
