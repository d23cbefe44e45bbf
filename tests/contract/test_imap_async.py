"""`imap` and `imap_unordered` by `async for`."""

import asyncio
from concurrent import futures

import pytest

import actors
import tasks
from gates import PATIENCE
from messages import echoes


def test_async_for_takes_the_answers(kind, imap):
    async def main(executor):
        answers = getattr(executor, imap)(echoes(range(200)), buffersize=5, timeout=PATIENCE)
        got = [answer async for answer in answers]
        with pytest.raises(StopAsyncIteration):
            await answers.__anext__()
        return got

    with kind.start(actors.Do) as executor:
        assert asyncio.run(main(executor)) == list(range(200))


def test_async_for_does_not_block_the_loop(kind, imap, gate):
    async def main(executor):
        answers = getattr(executor, imap)([(tasks.pause, gate)], timeout=PATIENCE)
        first = asyncio.ensure_future(answers.__anext__())
        for _ in range(10):
            await asyncio.sleep(0)
        assert not first.done()
        gate.open()
        return await first

    with kind.start(actors.Do) as executor:
        assert asyncio.run(main(executor)) == "passed"


def test_async_for_waits_for_room_without_blocking_the_loop(kind, imap, gate):
    async def main(executor):
        answers = getattr(executor, imap)(echoes(range(50)), timeout=PATIENCE)
        first = asyncio.ensure_future(answers.__anext__())
        for _ in range(10):
            await asyncio.sleep(0)
        assert not first.done()
        gate.open()
        return [await first, *[answer async for answer in answers]]

    bounded = kind.actor(actors.Do).options(mailbox_size=1).executor()
    with bounded as executor:
        executor.post((tasks.pause, gate))
        gate.reached()
        executor.post((tasks.echo, "others"))
        assert asyncio.run(main(executor)) == list(range(50))


def test_async_for_times_out(kind, imap, gate):
    async def main(executor):
        answers = getattr(executor, imap)([(tasks.pause, gate)], timeout=0.05)
        with pytest.raises(futures.TimeoutError):
            await answers.__anext__()
        gate.open()

    with kind.start(actors.Do) as executor:
        asyncio.run(main(executor))


def test_a_cancelled_wait_loses_no_answer_and_cancels_no_message(kind, imap, gate):
    async def main(executor):
        messages = [(tasks.echo, 0), (tasks.pause, gate), (tasks.echo, 2)]
        answers = getattr(executor, imap)(messages, timeout=PATIENCE)
        assert await answers.__anext__() == 0
        waiting = asyncio.ensure_future(answers.__anext__())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        gate.open()
        return [answer async for answer in answers]

    with kind.start(actors.Do) as executor:
        assert asyncio.run(main(executor)) == ["passed", 2]
        assert executor.stats().cancelled == 0
