"""Runs an async actor on an event loop, in the actor's own thread or its process's main thread.

Only threads and processes of async actors import it, because it imports asyncio. The core hands out
messages (`LoopCore.take`), and this handles them in tasks.
"""

import asyncio
import contextlib
import contextvars
import functools
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Generator
from types import CoroutineType, FrameType
from typing import Any

from . import _interrupts, _loop_streams, _loops
from ._awaits import Awaits
from ._core import FutureCore, LoopCore, LoopMessage
from ._errors import BrokenActor
from ._heartbeat import Heartbeat
from ._tasks import MessageTask

#: Its `runner` is the one whose loop runs in the thread.
_here = threading.local()

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def run(
    core: LoopCore,
    construct: Callable[[], Any],
    name: str,
    max_concurrency: int,
    loop_factory: LoopFactory | None,
) -> None:
    """Run an actor to its end. `construct` makes its object."""
    try:
        loop = asyncio.new_event_loop() if loop_factory is None else _loops.made_by(loop_factory)
    except BaseException as error:  # noqa: BLE001 - it is for the futures
        core.fail(error, "loop_factory")
        return
    try:
        runner = _Runner(core, loop, name, max_concurrency)
        asyncio.set_event_loop(loop)
        _here.runner = runner
        with runner.interruptible():
            _loops.drive(loop, loop.create_task(runner.main(construct)))
    finally:
        try:
            _loops.close(loop)
        finally:
            _here.runner = None
            asyncio.set_event_loop(None)
            core.detach()


def watch_await(
    future: "FutureCore[Any]",
    wrapped: "asyncio.Future[Any]",
    asks: bool,  # noqa: FBT001 - the core calls it
) -> Generator[Any, None, Any] | None:
    """Return what `await future` must wait by in an async actor, and None elsewhere.

    `wrapped` is the future as the event loop knows it. `asks`: an await that is cancelled asks the
    handler of the message to stop.
    """
    runner: _Runner | None = getattr(_here, "runner", None)
    if runner is None or runner.loop is not wrapped.get_loop():
        return None
    return runner.awaits.watch(future, wrapped, asks=asks)


def blocks_actor() -> bool:
    """Return whether the actor of this thread begins no message until the code that runs goes on.

    In an async actor its other messages and tasks that are no message's may go on meanwhile.
    """
    runner: _Runner | None = getattr(_here, "runner", None)
    if runner is None:
        return True
    task = asyncio.current_task()
    if task is None:
        return False
    is_only = runner.max_concurrency == 1 and task in runner.running.values()
    return is_only or task is runner.awaits.hook


class _Runner:
    """One async actor.

    All of it is for the loop's thread, but for `wake`, `look` and `stop`.
    """

    def __init__(
        self, core: LoopCore, loop: asyncio.AbstractEventLoop, name: str, max_concurrency: int
    ) -> None:
        self.core = core
        self.loop = loop
        self.name = name
        self.max_concurrency = max_concurrency
        self.actor: Any = None
        #: The messages that have begun, and the tasks that handle them.
        self.running: dict[LoopMessage, asyncio.Task[None]] = {}
        self.awaits = Awaits(core, loop, self.running, max_concurrency)
        self.heartbeat = Heartbeat(core, loop, name, self.running, max_concurrency)
        #: Those whose tasks were cancelled, with what their futures get for `CancelledError`.
        self.asked: dict[LoopMessage, BaseException] = {}
        #: Of streams without room for an item, by the numbers of their messages.
        self.without_room: dict[int, asyncio.Future[None]] = {}
        #: In which `on_start` has run. Each message gets a copy of it.
        self.context = contextvars.copy_context()
        self.descriptor = core.descriptor()
        self.reads = False
        self.is_pumping = False
        #: Whether there may be messages for which there was no place.
        self.is_full = False
        self.will_flush = False
        #: The message that has begun last, if its task may handle others until it waits. The loop
        #: then calls `_have_begun`. Until then no other task may begin one: they begin in order.
        self.leader: LoopMessage | None = None
        #: How many leaders there were before this one.
        self.turns = 0
        #: The message that has begun last.
        self.latest: LoopMessage | None = None
        #: Whether messages end without waiting, lately.
        self.is_quick = False
        #: Whether Ctrl-C was pressed, and the loop has not come to that yet.
        self.is_interrupted = False
        #: Whether `on_start` or `on_stop` was cancelled because of Ctrl-C.
        self.is_hook_interrupted = False
        #: Whether the actor is ended by force.
        self.is_stopped = False
        self.over = loop.create_future()

    @_interrupts.calls_users_code
    async def main(self, construct: Callable[[], Any]) -> None:
        """Construct the object, handle all messages, and let it end."""
        stage = "constructor"
        self.core.begin(self.stop)
        try:
            self.actor = construct()
            stage = "on_start"
            await self._call_hook("on_start")
        except BaseException as error:  # noqa: BLE001 - it is for the futures
            self.core.fail(error, stage)
            return
        self.context = contextvars.copy_context()
        self.core.attach(self.wake, self.look)
        # On Windows no event loop can wait for it, so a thread of the core reads, and calls `wake`.
        if self.descriptor is not None and sys.platform != "win32":
            self.loop.add_reader(self.descriptor, self._read)
            self.reads = True
        self.pump()
        while not self.over.done():
            # Whoever cancels all tasks of the loop does not end the actor.
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.shield(self.over)
        if self.over.result() and not self.is_stopped:
            try:
                await self._call_hook("on_stop")
            except BaseException as error:  # noqa: BLE001 - there is nobody else to tell
                if not (self.is_stopped and isinstance(error, asyncio.CancelledError)):
                    self.core.log_failure("on_stop", error)

    @_interrupts.calls_users_code
    async def _call_hook(self, name: str) -> None:
        # Executors also accept classes that do not extend `Actor`, which may lack it.
        hook = getattr(self.actor, name, None)
        if hook is None:
            return
        done = hook()
        if isinstance(done, Coroutine):
            self.awaits.hook = asyncio.current_task()
            self.is_hook_interrupted = False
            try:
                await done
            except asyncio.CancelledError:
                if self.is_hook_interrupted:
                    raise KeyboardInterrupt from None
                raise
            finally:
                self.awaits.hook = None

    # Messages.

    def wake(self) -> None:
        """Take messages soon. Any thread may call it."""
        look = self.pump if self.descriptor is None else self._read
        self.loop.call_soon_threadsafe(look, context=self.context)

    def pump(self) -> None:
        """Begin messages while there are some and there is a place for them."""
        if self.is_pumping or self.leader is not None:
            return  # an eager task has ended inside the loop below, or `_have_begun` is called soon
        self.is_pumping = True
        try:
            self._begin_messages()
        except BaseException as error:  # noqa: BLE001 - the link is broken: the actor has ended
            if not self.over.done():
                self.over.set_exception(error)
        finally:
            self.is_pumping = False
            heartbeat, running = self.heartbeat, self.running
            heartbeat.most = max(heartbeat.most, len(running))
            if running and not heartbeat.has_begun:
                heartbeat.begin()

    def _begin_messages(self) -> None:
        self.is_full = True
        running, take = self.running, self.core.take
        create_task = _loops.task_maker(self.loop)
        begun: list[LoopMessage] = []
        while len(running) < self.max_concurrency and self.leader is None:
            message = take()
            if message is None:
                self.is_full = False
                if self._is_unneeded():
                    continue
                self._idle()
                break
            task = create_task(self._handle(message))
            if task.done():  # it is an eager one
                continue
            running[message] = task
            if self.awaits.entered is not None:
                self.awaits.goes_on()
            begun.append(message)
            if self.is_quick and type(task) is MessageTask and self.core.expects_more():
                # Its task handles them, too. Should it have to wait, others do.
                self.leader = message
        if begun:
            self.loop.call_soon(self._have_begun, begun, context=self.context)

    def _have_begun(self, messages: list[LoopMessage]) -> None:
        """Look at messages after the first steps of their tasks, and go on."""
        for message in messages:
            task = self.running.get(message)
            if task is None:
                continue
            if task.done():
                self._has_not_run(message, task)
            elif not message.has_been_called():
                # The loop has an order of its own.
                task.add_done_callback(functools.partial(self._has_not_run, message))
        if self.leader is messages[-1]:
            self.leader = None
            self.turns += 1
            if self.latest in self.running:
                self.is_quick = False  # it waits
            self.pump()

    def _has_not_run(self, message: LoopMessage, task: "asyncio.Task[None]") -> None:
        """End a message whose task has ended without handling it: it was cancelled before."""
        if self.running.get(message) is not task:
            return
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        # A task factory may return a task of something else.
        error = error or RuntimeError(
            "the task of this message ended without running its coroutine"
        )
        message.fail(self.asked.pop(message, error))
        del self.running[message]
        self._go_on()

    def _is_unneeded(self) -> bool:
        if self.running or self.core.over() is not None:
            return False
        return self.core.is_unneeded(self.actor)

    def _idle(self) -> None:
        over = self.core.over()
        if over is None:
            return
        if not self.running and not self.over.done():
            self._read_no_more()
            self.flush()
            self.over.set_result(over)

    def _read(self) -> None:
        """Read what the parent has sent. Messages for which there is no place wait unclaimed."""
        try:
            numbers = self.core.read()
        except BaseException as error:  # noqa: BLE001 - the link is broken
            self._read_no_more()
            if not self.over.done():
                self.over.set_exception(error)
            return
        if numbers is None:
            # The parent has gone: there is nothing to read, though the descriptor says so.
            self._read_no_more()
        for number in numbers or ():
            self._look(number)
        self.context.copy().run(self.pump)

    def _read_no_more(self) -> None:
        if self.reads:
            self.reads = False
            self.loop.remove_reader(self.descriptor)  # type: ignore[arg-type] # it reads from it

    async def _handle(self, message: LoopMessage) -> None:
        """Handle a message, and then others as long as nobody can tell: see `_tasks`."""
        task = asyncio.current_task() if self.leader is message else None
        first, turn = message, self.turns
        while True:
            self.latest = message
            message.enter(task)
            has_answered = await self._handle_one(message)
            self.is_quick = self.latest is message
            # If it has waited, `_have_begun` has been called since.
            is_free = has_answered and self.turns == turn and message.has_left_nothing(task)
            # A handler may have set the factory.
            is_free = is_free and self.loop.get_task_factory() is None
            self.running.pop(message, None)
            following = self.core.take_next(first) if is_free else None
            if following is None or task is None:
                break
            message = following
            self.running[message] = task
        self._go_on()

    def _go_on(self) -> None:
        """Go on after a message has ended: its place is free."""
        if not self.running:
            self.flush()
        elif not self.will_flush:
            self.will_flush = True
            self.loop.call_soon(self.flush)
        # A process that has found no message reads the next ones, and then takes them, in `_read`.
        if self.leader is None and (self.is_full or self.descriptor is None or not self.running):
            # In a context of its own, and not in that of this message.
            self.context.copy().run(self.pump)

    @_interrupts.calls_users_code
    async def _handle_one(self, message: LoopMessage) -> bool:
        """Handle a message. Return whether it has answered, and nobody had cancelled it."""
        asked = self.asked
        try:
            if asked and message in asked:
                raise asyncio.CancelledError  # noqa: TRY301 - it is handled like a later one
            answer = message.call(self.actor)
            # The first is most of them, and quicker to find out.
            if type(answer) is CoroutineType or isinstance(answer, Coroutine):
                answer = await answer
            if message.is_stream:
                answer = message.check_stream(answer)
                await _loop_streams.run(message, answer, self._wait_for_room)
                return False
            message.finish(answer)
        except asyncio.CancelledError as error:
            reason = asked.pop(message, None)
            message.fail(error if reason is None else reason)
            return False
        except BaseException as error:  # noqa: BLE001 - it is for the future
            message.fail(error)
            asked.pop(message, None)
            return False
        return not asked or asked.pop(message, None) is None

    async def _wait_for_room(self, message: LoopMessage) -> bool:
        """Wait until a stream has room for an item. False: no more items are wanted."""
        while (has_room := message.has_room()) is False:
            woken = self.without_room[message.number] = self.loop.create_future()
            try:
                await woken
            finally:
                del self.without_room[message.number]
        return has_room is True

    def flush(self) -> None:
        """Send the answers that were held back."""
        self.will_flush = False
        self.core.flush()

    # Ends.

    def _cancel(self, message: LoopMessage, reason: BaseException) -> None:
        """Have a message's coroutine stop at its next `await`, also if it went on after another."""
        self.asked[message] = reason
        task = self.running.get(message)
        # A task that has not begun would be cancelled without running at all: it looks at `asked`.
        if task is not None and message.has_been_called():
            task.cancel()

    def stop(self) -> None:
        """Stop what runs at its next `await`. Any thread may call it."""
        self.loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        self.is_stopped = True
        text = f"terminate() ended actor {self.name} while it handled this message"
        for message in list(self.running):
            self._cancel(message, BrokenActor(text))
        if self.awaits.hook is not None:
            self.awaits.hook.cancel()

    def look(self, number: int) -> None:
        """Look at the message of this number. Any thread may call it.

        It is asked to stop, or it is a stream that has room for an item again.
        """
        self.loop.call_soon_threadsafe(self._look, number)

    def _look(self, number: int) -> None:
        woken = self.without_room.get(number)
        if woken is not None:
            if not woken.done():
                woken.set_result(None)
            return
        for message in self.running:
            if message.number == number and not (message.is_stream and message.has_been_called()):
                # A process tells of it again and again.
                if message not in self.asked:
                    self._cancel(message, asyncio.CancelledError())
                return

    def _interrupt(self) -> None:
        self.is_interrupted = False
        for message in list(self.running):
            self._cancel(message, KeyboardInterrupt())
        if self.awaits.hook is not None:
            self.is_hook_interrupted = True
            self.awaits.hook.cancel()

    @contextlib.contextmanager
    def interruptible(self) -> Any:  # noqa: ANN401 - an iterator
        """Have Ctrl-C stop what runs, in a process's main thread."""
        if self.descriptor is None or threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.getsignal(signal.SIGINT)
        if getattr(before, "__module__", "") == "futures_actors._process.child":
            signal.signal(signal.SIGINT, self._on_interrupt)
        yield

    def _on_interrupt(self, _number: int, frame: FrameType | None) -> None:
        if self.actor is None or self.is_interrupted:
            # In the constructor, or code that has not come to an `await` since the last Ctrl-C.
            # Raised in code of the loop it could lose a step of a task, whose message never ends.
            if _interrupts.is_in_users_code(frame):
                self.is_interrupted = False
                raise KeyboardInterrupt
            return
        if self.running or self.awaits.hook is not None:
            self.is_interrupted = True
            self.loop.call_soon_threadsafe(self._interrupt)
