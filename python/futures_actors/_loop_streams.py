"""Runs the generator of a stream on the event loop of an async actor.

It does what `src/py/stream/run.rs` does in the thread of an actor that is not async, and waits for
room without blocking the loop. A generator may be a plain one or an async one.
"""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

from ._core import LoopMessage
from ._interrupts import calls_users_code

#: How long a generator may run, in seconds, before other messages have their turn.
_TURN = 0.001
#: How often a generator that ignores `GeneratorExit` is told again.
_TRIES = 8

_Generator = AsyncIterator[Any] | Iterator[Any]


class _Returned(Exception):  # noqa: N818 - it is no error
    """A generator has returned `value`."""

    def __init__(self, value: object) -> None:
        super().__init__()
        self.value = value


async def run(
    message: LoopMessage,
    generator: _Generator,
    wait_for_room: Callable[[LoopMessage], Awaitable[bool]],
) -> None:
    """Run a generator to its end, never further ahead than there is room, and end its message."""
    error: BaseException | None = None
    turn = time.monotonic()
    try:
        is_new = True
        while True:
            try:
                is_wanted = error is not None or await wait_for_room(message)
                if is_wanted and error is None and time.monotonic() - turn > _TURN:
                    await asyncio.sleep(0)
                    turn = time.monotonic()
            except asyncio.CancelledError as raised:
                # It waits at its `yield`, so that is where it hears of this.
                error = raised
                is_wanted = True
            if not is_wanted:
                await _close(message, generator, is_new=is_new)
                message.stop()
                return
            item = await resume(generator, error, is_new=is_new)
            error = None
            is_new = False
            try:
                message.put(item)
            except BaseException as raised:  # noqa: BLE001 - it is for the generator
                error = raised
    except _Returned as returned:
        message.finish_stream(returned.value)
    finally:
        # Its traceback refers to this frame.
        error = None


@calls_users_code
async def resume(generator: _Generator, error: BaseException | None, *, is_new: bool) -> object:
    """Return what the generator yields next, after `error` was raised in it if there is one."""
    throw = None
    if error is not None:
        is_async = isinstance(generator, AsyncIterator)
        throw = getattr(generator, "athrow" if is_async else "throw", None)
        if throw is None:
            raise error  # an iterator of another type ends with it
    if isinstance(generator, AsyncIterator):
        with _untracked() if is_new else contextlib.nullcontext():
            coming = generator.__anext__() if throw is None else throw(error)
        try:
            return await coming
        except StopAsyncIteration:
            raise _Returned(None) from None
    try:
        return next(generator) if throw is None else throw(error)
    except StopIteration as returned:
        raise _Returned(returned.value) from None


async def _close(message: LoopMessage, generator: _Generator, *, is_new: bool) -> None:
    """End a generator at its `yield`, by `GeneratorExit`."""
    for _ in range(_TRIES):
        try:
            await resume(generator, GeneratorExit(), is_new=is_new)
        except GeneratorExit:
            return
    message.give_up(generator)


@contextlib.contextmanager
def _untracked() -> Iterator[None]:
    """Have an async generator begin whose end is not the loop's matter.

    At its end a loop closes the generators that it knows: it would resume one that was given up.
    """
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        yield
    finally:
        sys.set_asyncgen_hooks(*hooks)
