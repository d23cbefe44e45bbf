"""What blocks an event loop, and what does not: each line of the asyncio guide."""

import asyncio
import concurrent.futures
import os
import threading

import pytest

import actors
import futures_actors
import observe
import tasks
from gates import PATIENCE
from observe import in_thread


def full(kind, gate):
    """Start an actor that waits at the gate, with a mailbox that has no room."""
    executor = kind.actor(actors.Do).options(mailbox_size=1).executor()
    running = executor.post((tasks.pause, gate))
    gate.reached()
    return executor, running, executor.post((tasks.echo, "waiting"))


class Turns:
    """Counts the turns of the loop that runs here, and opens the gate after a hundred of them."""

    def __init__(self, gate):
        self.gate = gate
        self.count = 0
        self.is_counting = True
        asyncio.get_running_loop().call_soon(self.turn)

    def turn(self):
        self.count += 1
        if self.count == 100:
            self.gate.open()
        if self.is_counting:
            asyncio.get_running_loop().call_soon(self.turn)

    def stop(self):
        self.is_counting = False


async def leave(executor):
    async with executor:
        pass


async def take_all(iterator):
    return [item async for item in iterator]


async def run_in_executor(executor):
    return await asyncio.get_running_loop().run_in_executor(executor, len, "ab")


DOES_NOT_BLOCK = {
    "await post": lambda executor, running: executor.post((tasks.echo, 1)),
    "await submit": lambda executor, running: executor.submit(len, "abc"),
    "await of a proxy's call": lambda executor, running: executor.proxy().handle((tasks.echo, 1)),
    "await of what runs": lambda executor, running: running,
    "gather": lambda executor, running: asyncio.gather(running, executor.post((tasks.echo, 1))),
    "wait_for": lambda executor, running: asyncio.wait_for(running, PATIENCE),
    "apost": lambda executor, running: executor.apost((tasks.echo, 1)),
    "atell": lambda executor, running: executor.atell((tasks.echo, 1)),
    "async with": lambda executor, running: leave(executor),
    "ashutdown": lambda executor, running: executor.ashutdown(),
    "async for of imap": lambda executor, running: take_all(executor.imap([(tasks.echo, 1)] * 5)),
    "run_in_executor": lambda executor, running: run_in_executor(executor),
}


@pytest.mark.parametrize("way", DOES_NOT_BLOCK)
def test_the_loop_turns_while_one_waits_by(kind, gate, way):
    """The gate opens only if the loop turns."""

    async def main():
        turns = Turns(gate)
        await asyncio.wait_for(DOES_NOT_BLOCK[way](executor, running), PATIENCE)
        turns.stop()
        assert turns.count >= 100

    executor, running, waiting = full(kind, gate)
    with executor:
        asyncio.run(main())
        assert waiting.result(PATIENCE) == "waiting"


@pytest.mark.parametrize("way", ["async for", "async with"])
def test_the_loop_turns_while_one_waits_for_a_stream_by(stream_kind, gate, way):
    async def main():
        turns = Turns(gate)
        stream = executor.stream((yields,))
        if way == "async with":
            async with stream:
                assert await anext(stream) == 1
        else:
            assert await take_all(stream) == [1, 2]
        turns.stop()
        assert turns.count >= 100

    with stream_kind.start(actors.Do) as executor:
        executor.post((tasks.pause, gate))
        gate.reached()
        asyncio.run(asyncio.wait_for(main(), PATIENCE))


def yields(actor):
    yield from (1, 2)


def leave_now(executor, running):
    with executor:
        pass


BLOCKS = {
    "tell": lambda executor, running: executor.tell((tasks.echo, 1)),
    "with": leave_now,
    "shutdown": lambda executor, running: executor.shutdown(),
    "result": lambda executor, running: running.result(),
    "exception": lambda executor, running: running.exception(),
    "wait": lambda executor, running: concurrent.futures.wait([running]),
}


@observe.on_linux
@pytest.mark.parametrize("way", BLOCKS)
def test_the_loop_stands_still_in(kind, gate, way):
    """The gate opens when the loop's thread sleeps."""

    def open_later():
        called.wait()
        observe.wait_until_asleep(os.getpid(), threading.main_thread().native_id)
        gate.open()

    async def main():
        turned = []
        asyncio.get_running_loop().call_soon(turned.append, 1)
        called.set()
        BLOCKS[way](executor, running)
        assert not turned
        assert running.done() or way == "tell"

    executor, running, _ = full(kind, gate)
    called = threading.Event()
    opener = in_thread(open_later)
    with executor:
        asyncio.run(main())
    opener.join()


def test_an_executor_is_there_before_its_constructor_has_ended(kind, gate):
    async def main():
        executor = kind.actor(actors.Waits).executor(gate)
        future = executor.post(1)
        await asyncio.to_thread(gate.reached)
        assert not future.done()
        gate.open()
        assert await future == 1
        await executor.ashutdown()

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_a_future_is_no_coroutine_and_becomes_a_task_in_other_ways(kind):
    async def main():
        async with kind.start(actors.Echo) as executor:
            future = executor.post(1)
            with pytest.raises(TypeError, match="a coroutine was expected"):
                asyncio.create_task(future)  # noqa: RUF006 - there is none
            assert await asyncio.ensure_future(future) == 1
            done, waiting = await asyncio.wait([asyncio.wrap_future(executor.post(2))])
            assert ([one.result() for one in done], waiting) == ([2], set())
            assert await asyncio.wait_for(executor.post(3), PATIENCE) == 3

    asyncio.run(main())


# In the loop of an async actor.


class Works(futures_actors.ThreadActor, max_concurrency=2):
    """A message is a gate, to wait at in another thread, or None, to say that the loop turns."""

    def __init__(self):
        self.turned = asyncio.Event()

    async def handle(self, gate):
        if gate is None:
            self.turned.set()
            return "turned"
        await asyncio.to_thread(gate.wait)
        await self.turned.wait()
        return "worked"

    def plain(self):
        return asyncio.get_running_loop().is_running()


class FarWorks(futures_actors.ProcessActor, max_concurrency=2):
    __init__ = Works.__init__
    handle = Works.handle
    plain = Works.plain


@pytest.mark.parametrize("cls", [Works, FarWorks])
def test_to_thread_keeps_the_loop_of_an_actor_turning(cls, gate):
    with cls.executor() as executor:
        working = executor.post(gate)
        gate.reached()
        assert executor.post(None).result(PATIENCE) == "turned"
        gate.open()
        assert working.result(PATIENCE) == "worked"
        assert executor.proxy().plain().result(PATIENCE) is True
