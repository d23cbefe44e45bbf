"""`apost`: it waits for room in a bounded mailbox without blocking the event loop."""

import asyncio

import pytest

import actors
import futures_actors
import tasks
from bounded import fill, start
from futures_actors import MailboxFull
from gates import PATIENCE


def test_apost_returns_the_future_of_the_answer(kind):
    async def main():
        with start(kind, 1) as executor:
            future = await executor.apost((tasks.echo, 1))
            assert type(future) is futures_actors.ActorFuture
            return await future

    assert asyncio.run(main()) == 1


def test_apost_waits_without_blocking_the_loop(kind, gate):
    async def main():
        with start(kind, 1) as executor:
            fill(executor, gate, 1)
            awaits = [asyncio.create_task(ask(executor, number)) for number in range(20)]
            for _ in range(10):
                await asyncio.sleep(0.01)
            assert not any(task.done() for task in awaits)
            gate.open()
            return await asyncio.gather(*awaits)

    async def ask(executor, number):
        return await (await executor.apost((tasks.echo, number)))

    assert asyncio.run(main()) == list(range(20))


def test_a_cancelled_apost_posts_nothing_and_keeps_no_room(kind, gate):
    async def main():
        with start(kind, 1) as executor:
            fill(executor, gate, 1)
            awaits = [
                asyncio.create_task(executor.apost((tasks.remember, number))) for number in range(9)
            ]
            await asyncio.sleep(0.05)
            for task in awaits[::2]:
                task.cancel()
            gate.open()
            await asyncio.gather(*awaits, return_exceptions=True)
            return await executor.post((tasks.recall,))

    assert asyncio.run(main()) == [1, 3, 5, 7]


def test_aposts_cancelled_while_room_is_made_keep_no_room(kind):
    async def main():
        with start(kind, 1, actors.Echo) as executor:
            for turn in range(60):
                awaits = [asyncio.create_task(executor.apost(n)) for n in range(4)]
                await asyncio.sleep(0.001 * (turn % 3))
                for task in awaits[turn % 2 :: 2]:
                    task.cancel()
                await asyncio.gather(*awaits, return_exceptions=True)
            return await asyncio.to_thread(
                lambda: executor.post("end", timeout=PATIENCE).result(PATIENCE)
            )

    assert asyncio.run(main()) == "end"


def test_shutdown_refuses_an_apost_that_waits(kind, gate):
    async def main():
        with start(kind, 1) as executor:
            fill(executor, gate, 1)
            task = asyncio.create_task(executor.apost(1))
            await asyncio.sleep(0.05)
            executor.shutdown(wait=False)
            with pytest.raises(RuntimeError, match="after shutdown"):
                await task
            gate.open()

    asyncio.run(main())


def test_apost_in_the_actors_own_thread_does_not_wait_for_it(thread):
    with start(thread, 1) as executor:
        future = executor.post((run_aposts, [executor]))
        assert "its own thread cannot wait" in future.result(PATIENCE)


def run_aposts(actor, box):
    async def main():
        await box[0].apost((tasks.echo, 1))
        await box[0].apost((tasks.echo, 2))

    try:
        asyncio.run(main())
    except MailboxFull as error:
        return str(error)
    return "posted"
