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
