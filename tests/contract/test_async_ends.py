"""Actors with async handlers: how they, and the messages that they run, end."""

import asyncio
import os
import signal
import time
from concurrent.futures import CancelledError
from pathlib import Path

import pytest

import asynchronous
import futures_actors
import observe
import programs
import tasks
from gates import PATIENCE


class Says(futures_actors.ThreadActor, max_concurrency=10):
    def __init__(self, path):
        self.path = path

    async def handle(self, message):
        await asyncio.sleep(message)
        self.say("handled")

    async def on_stop(self):
        asyncio.get_running_loop()
        self.background = asyncio.ensure_future(self.live_on())
        await asyncio.sleep(0)
        self.say("on_stop")

    async def live_on(self):
        try:
            await asyncio.sleep(PATIENCE)
        finally:
            self.say("cancelled")

    def say(self, text):
        with Path(self.path).open("a") as file:
            file.write(text + "\n")


class FarSays(futures_actors.ProcessActor, max_concurrency=10):
    __init__ = Says.__init__
    handle = Says.handle
    on_stop = Says.on_stop
    live_on = Says.live_on
    say = Says.say


@pytest.mark.parametrize("cls", [Says, FarSays])
def test_shutdown_waits_for_all_then_on_stop_then_the_loop_ends(cls, tmp_path):
    path = tmp_path / "said"
    with cls.executor(str(path)) as executor:
        futures = [executor.post(0.05) for _ in range(3)]
    assert all(future.done() for future in futures)
    assert path.read_text().split() == ["handled", "handled", "handled", "on_stop", "cancelled"]


def test_terminate_stops_what_runs_in_a_thread_at_its_next_await(thread):
    cls = asynchronous.make(futures_actors.ThreadActor, max_concurrency=3)
    executor = cls.executor()
    futures = [executor.post(("wait", name)) for name in "ab"]
    for future in futures:
        programs.wait_until(future.running, PATIENCE)
    executor.terminate()
    executor.shutdown(timeout=PATIENCE)
    for future in futures:
        with pytest.raises(futures_actors.BrokenActor, match=r"terminate\(\) ended actor Does"):
            future.result(0)


async def go_on_once(actor, hears):
    """Go on when it is asked to stop, but not the next time."""
    actor.log.append("begun")
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        hears.knock()
        await asyncio.Event().wait()


def test_terminate_stops_what_went_on_when_it_was_asked_to_stop(thread, gate):
    executor = asynchronous.ThreadAwaits.options(max_concurrency=2).executor()
    future = went_on(executor, gate)
    executor.terminate()
    executor.shutdown(timeout=PATIENCE)
    assert isinstance(future.exception(0), futures_actors.BrokenActor)


@observe.on_unix
def test_ctrl_c_in_the_child_stops_what_went_on_when_it_was_asked_to_stop(process, gate):
    with asynchronous.ProcessAwaits.options(max_concurrency=2).executor() as executor:
        future = went_on(executor, gate)
        os.kill(executor.stats().pid, signal.SIGINT)
        assert isinstance(future.exception(PATIENCE), KeyboardInterrupt)


def went_on(executor, gate):
    """Return the future of a message that has gone on after it was asked to stop."""
    future = executor.post((go_on_once, gate))
    programs.wait_until(lambda: executor.post((log_of,)).result(PATIENCE), PATIENCE)
    assert future.request_cancel()
    gate.reached()
    return future


def log_of(actor):
    return actor.log


class Slow(futures_actors.ThreadActor):
    """Waits for ever where it is told to."""

    def __init__(self, where, gate):
        self.where = where
        self.gate = gate

    async def wait(self, where):
        if self.where == where:
            self.gate.knock()
            await asyncio.Event().wait()

    async def on_start(self):
        await self.wait("on_start")

    async def handle(self, message):
        return message

    async def on_stop(self):
        await self.wait("on_stop")


class Insists(futures_actors.ProcessActor):
    """Goes on in `on_start` when it is asked to stop, but not the next time."""

    def __init__(self, gate):
        self.gate = gate

    async def on_start(self):
        try:
            self.gate.knock()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.gate.knock()
            await asyncio.Event().wait()

    async def handle(self, message):
        return message


@observe.on_unix
def test_ctrl_c_in_the_child_stops_on_start_that_went_on_after_one(process, gate):
    executor = Insists.executor(gate)
    future = executor.post(1)
    for _ in range(2):
        gate.reached()
        os.kill(executor.stats().pid, signal.SIGINT)
    assert "on_start of actor Insists raised KeyboardInterrupt" in str(future.exception(PATIENCE))
    executor.shutdown(timeout=PATIENCE)


@pytest.mark.parametrize("size", [1, 2])
def test_terminate_stops_on_start_of_a_thread_at_its_next_await(thread, gate, size):
    actor = Slow.pool(size) if size > 1 else Slow
    executor = actor.executor("on_start", gate)
    future = executor.post(1)
    for _ in range(size):
        gate.reached()
    executor.terminate()
    executor.shutdown(timeout=PATIENCE)
    with pytest.raises(futures_actors.BrokenActor, match=r"terminate\(\)") as raised:
        future.result(0)
    assert type(raised.value) is futures_actors.BrokenActor


def test_terminate_stops_on_stop_of_a_thread_at_its_next_await(thread, gate, caplog):
    executor = Slow.executor("on_stop", gate)
    assert executor.post(1).result(PATIENCE) == 1
    executor.shutdown(wait=False)
    gate.reached()
    executor.terminate()
    executor.shutdown(timeout=PATIENCE)
    assert not caplog.records


class EndsAtOnce(futures_actors.ThreadActor):
    """Is ended by force when its last message has ended, and `on_stop` has not begun."""

    def __init__(self, executors):
        self.executors = executors

    async def handle(self, message):
        (executor,) = self.executors
        executor.shutdown(wait=False)
        asyncio.get_running_loop().call_soon(executor.terminate)

    async def on_stop(self):
        self.executors.clear()
        await asyncio.Event().wait()


def test_terminate_right_before_on_stop_of_a_thread_is_no_less_heard(thread):
    executors = []
    executor = EndsAtOnce.executor(executors)
    executors.append(executor)
    executor.post(1).result(PATIENCE)
    executor.shutdown(timeout=PATIENCE)
    assert executors == [executor]


async def stop_the_loop(actor):
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0)
    return "stopped"


def test_an_actor_goes_on_that_stops_its_loop(base):
    with asynchronous.make(base, max_concurrency=3).executor() as executor:
        waiting = executor.post(("wait", "a"))
        programs.wait_until(waiting.running, PATIENCE)
        for _ in range(2):
            assert executor.submit(stop_the_loop, None).result(PATIENCE) == "stopped"
        executor.post(("set", "a")).result(PATIENCE)
        assert waiting.result(PATIENCE) == "a"


class Leaves:
    """Leaves a task that raises when the loop ends, and an async generator in the middle."""

    def __init__(self, path):
        self.path = path

    async def handle(self, error):
        self.left = asyncio.ensure_future(self.raise_at_the_end(error))
        self.generator = self.items()
        await self.generator.__anext__()
        await asyncio.sleep(0)

    async def raise_at_the_end(self, error):
        try:
            await asyncio.Event().wait()
        finally:
            raise error

    async def items(self):
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            self.note()

    def note(self):
        Path(self.path).touch()


@pytest.mark.parametrize("error", [KeyError, SystemExit, KeyboardInterrupt])
def test_what_a_task_raises_at_the_end_of_the_loop_is_logged_and_the_loop_ends(
    base, error, tmp_path, caplog
):
    path = tmp_path / "closed"
    cls = type("Left", (Leaves, base), {"__module__": "not_a_module"})
    with cls.executor(str(path)) as executor:
        executor.post(error("left behind")).result(PATIENCE)
    assert path.exists()
    if base is futures_actors.ThreadActor:
        logged = [record for record in caplog.records if record.exc_info]
        assert [type(record.exc_info[1]) for record in logged] == [error]


class CancelsAll(futures_actors.ThreadActor):
    """Leaves a task that cancels every task when the loop ends, and an async generator."""

    def __init__(self, log):
        self.log = log

    async def handle(self, message):
        self.left = asyncio.ensure_future(self.cancel_all())
        self.generator = self.items()
        await self.generator.__anext__()
        await asyncio.sleep(0)

    async def cancel_all(self):
        try:
            await asyncio.Event().wait()
        finally:
            for task in asyncio.all_tasks():
                task.cancel()

    async def items(self):
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            self.log.append("closed")


def test_a_task_that_cancels_every_task_at_the_end_does_not_cut_the_end_short(thread):
    log = []
    with CancelsAll.executor(log) as executor:
        executor.post(1).result(PATIENCE)
    assert log == ["closed"]


@pytest.mark.parametrize("size", [1, 3])
def test_request_cancel_stops_what_runs_at_its_next_await(base, size):
    cls = asynchronous.make(base, max_concurrency=size)
    with cls.executor() as executor:
        futures = [executor.post(("wait", name)) for name in range(size)]
        for future in futures:
            programs.wait_until(future.running, PATIENCE)
        late = executor.post(("echo", "late"))
        assert futures[-1].request_cancel()
        with pytest.raises(CancelledError):
            futures[-1].result(PATIENCE)
        assert futures[-1].cancelled()
        assert late.result(PATIENCE) == "late"
        assert [future.running() for future in futures[:-1]] == [True] * (size - 1)
        for name in range(size - 1):
            assert futures[name].request_cancel()
        for future in futures[:-1]:
            with pytest.raises(CancelledError):
                future.result(PATIENCE)


def test_cancelling_the_task_that_awaits_stops_the_coroutine(base):
    async def main():
        async with asynchronous.make(base, max_concurrency=2).executor() as executor:
            future = executor.post(("wait", "a"))

            waits = asyncio.Event()

            async def wait():
                waits.set()
                return await future

            task = asyncio.ensure_future(wait())
            # A task that has not begun would be cancelled without an await.
            await waits.wait()
            await asyncio.to_thread(programs.wait_until, future.running, PATIENCE)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            # The actor, which waits for all messages, ends: the coroutine has stopped.
        assert future.cancelled()

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_a_cancellation_that_nobody_asked_for_is_an_exception_of_the_handler(base):
    class Cancels(base):
        async def handle(self, message):
            raise asyncio.CancelledError

    with Cancels.executor() as executor:
        future = executor.post(1)
        assert isinstance(future.exception(PATIENCE), asyncio.CancelledError)
        assert not future.cancelled()


def test_request_cancel_is_heard_after_shutdown_has_begun(base):
    with asynchronous.make(base).executor() as executor:
        future = executor.post(("wait", "a"))
        programs.wait_until(future.running, PATIENCE)
        executor.shutdown(wait=False)
        assert future.request_cancel()
        with pytest.raises(CancelledError):
            future.result(PATIENCE)


def test_what_had_begun_dies_with_the_process_and_the_rest_runs_on_the_next(process):
    cls = asynchronous.make(futures_actors.ProcessActor, max_concurrency=2, max_restarts=1)
    with cls.executor() as executor:
        begun = [executor.post(("wait", name)) for name in "ab"]
        for future in begun:
            programs.wait_until(future.running, PATIENCE)
        rest = [executor.post(("echo", number)) for number in range(3)]
        os.kill(executor.stats().pid, tasks.KILL)
        assert [future.result(PATIENCE) for future in rest] == [0, 1, 2]
        for future in begun:
            error = future.exception(PATIENCE)
            assert isinstance(error, futures_actors.ActorDied)
            assert error.started


@observe.on_unix
def test_ctrl_c_in_the_child_stops_what_runs(process):
    cls = asynchronous.make(futures_actors.ProcessActor, max_concurrency=3)
    with cls.executor() as executor:
        futures = [executor.post(("wait", name)) for name in "ab"]
        for future in futures:
            programs.wait_until(future.running, PATIENCE)
        os.kill(executor.stats().pid, signal.SIGINT)
        for future in futures:
            assert isinstance(future.exception(PATIENCE), KeyboardInterrupt)
        assert executor.post(("echo", "alive")).result(PATIENCE) == "alive"


class Hangs(futures_actors.ProcessActor, max_concurrency=5):
    async def handle(self, gate):
        if gate is None:
            await asyncio.sleep(0.001)
            return "handled"
        gate.wait()
        while True:
            time.sleep(0.001)  # noqa: ASYNC251 - that is what it is for


@observe.on_unix
def test_a_second_ctrl_c_interrupts_code_that_comes_to_no_await(gate):
    with Hangs.executor() as executor:
        hanging = executor.post(gate)
        gate.reached()
        gate.open()
        assert_interruptible(executor, hanging)


@observe.on_unix
def test_a_second_ctrl_c_interrupts_a_function_of_c():
    with Hangs.executor() as executor:
        sleeping = executor.submit(time.sleep, 10 * PATIENCE)
        programs.wait_until(sleeping.running, PATIENCE)
        assert_interruptible(executor, sleeping)


def assert_interruptible(executor, running):
    """Send Ctrl-C to an actor's process until it interrupts the message that runs, and no other."""
    pid = executor.stats().pid

    def interrupted():
        os.kill(pid, signal.SIGINT)
        return running.done()

    programs.wait_until(interrupted, PATIENCE)
    assert isinstance(running.exception(0), KeyboardInterrupt)
    assert is_handled(executor.post(None))


def is_handled(future):
    """Whether it has its answer, and not the last Ctrl-C."""
    error = future.exception(PATIENCE)
    return isinstance(error, KeyboardInterrupt) or future.result() == "handled"


class InterruptsItself(asyncio.SelectorEventLoop):
    """Two Ctrl-C come where it makes a task, after the first two."""

    made = 0

    def create_task(self, *args, **options):
        self.made += 1
        if self.made == 3:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        return super().create_task(*args, **options)


def test_ctrl_c_in_the_code_of_the_loop_loses_no_message(process):
    """The first task is that of the actor."""
    options = {"max_concurrency": 2, "loop_factory": InterruptsItself}
    with asynchronous.make(futures_actors.ProcessActor, **options).executor() as executor:
        waiting = executor.post(("wait", "for ever"))
        programs.wait_until(waiting.running, PATIENCE)
        second = executor.post(("echo", 2))
        assert isinstance(waiting.exception(PATIENCE), KeyboardInterrupt)
        error = second.exception(PATIENCE)
        assert error is None or isinstance(error, KeyboardInterrupt)
        assert executor.post(("echo", "alive")).result(PATIENCE) == "alive"
