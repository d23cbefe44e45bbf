"""Makes, runs and closes an event loop of an async actor, and makes its tasks."""

import asyncio
import functools
import logging
from collections.abc import Callable, Coroutine
from types import MethodType
from typing import Any

from ._tasks import MessageTask


def made_by(loop_factory: Callable[[], object]) -> asyncio.AbstractEventLoop:
    """Return the new loop that `loop_factory` returns."""
    loop = loop_factory()
    if not isinstance(loop, asyncio.AbstractEventLoop):
        raise TypeError(f"loop_factory must return an event loop, not {type(loop).__name__}")
    if loop.is_running() or loop.is_closed():
        raise ValueError(f"loop_factory must return a new event loop, not {loop!r}")
    return loop


def drive(loop: asyncio.AbstractEventLoop, future: "asyncio.Future[Any]") -> None:
    """Run the loop until `future` is done, whatever a task raises, and whoever stops the loop."""
    future.add_done_callback(lambda _: loop.stop())
    while not future.done():
        try:
            loop.run_forever()
        except (KeyboardInterrupt, SystemExit):
            # A task of the user's raised it. Such an error ends `run_forever`.
            text = "a task of an actor raised what would end the program"
            logging.getLogger("futures_actors").exception(text)
    future.result()


def close(loop: asyncio.AbstractEventLoop) -> None:
    """End what is left on the loop, as `asyncio.run` does."""
    try:
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            # No task waits for them: one of them may cancel every task there is.
            drive(loop, asyncio.gather(*tasks, return_exceptions=True))
        for task in tasks:
            error = None if task.cancelled() else task.exception()
            # `drive` has logged the others.
            if error is not None and not isinstance(error, (KeyboardInterrupt, SystemExit)):
                text = "unhandled exception of a task that an actor left behind"
                loop.call_exception_handler({"message": text, "exception": error, "task": task})
        drive(loop, loop.create_task(loop.shutdown_asyncgens()))
        drive(loop, loop.create_task(loop.shutdown_default_executor()))
    finally:
        loop.close()


def _of_asyncio(function: Any) -> Any:  # noqa: ANN401 - a function
    """Return the function, or None if it is one by which another library has replaced asyncio's."""
    is_its_own = getattr(function, "__globals__", None) is vars(asyncio.base_events)
    return function if is_its_own else None


_TASK = asyncio.tasks.Task
#: What `create_task` is in the event loops of asyncio.
_CREATE_TASK = _of_asyncio(asyncio.BaseEventLoop.create_task)


def task_maker(
    loop: asyncio.AbstractEventLoop,
) -> "Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]":
    """Return what makes a task in this loop.

    `create_task` of asyncio calls the class of tasks, unless the loop has a task factory. To call
    the class directly saves 0.15 us, a tenth of what a task costs.
    """
    create_task = loop.create_task
    if (
        # A wrapper of another type may have the attributes of what it wraps.
        type(create_task) is MethodType
        and create_task.__func__ is _CREATE_TASK
        and loop.get_task_factory() is None
        and not loop.get_debug()
        and asyncio.tasks.Task is _TASK
    ):
        return functools.partial(MessageTask, loop=loop)
    return create_task
