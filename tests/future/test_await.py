"""Futures in asyncio: awaited from any loop and by any number of tasks, and cancelled by them."""

import asyncio
import os
import threading

import pytest

import actors
import tasks
from gates import PATIENCE
from observe import in_thread


def run(coroutine_function):
    asyncio.run(asyncio.wait_for(coroutine_function(), PATIENCE))


def test_a_future_can_be_awaited(kind):
    async def main():
        assert await executor.post(7) == 7
        assert await executor.submit(pow, 2, 5) == 32

    with kind.start(actors.Echo) as executor:
        run(main)


def test_a_finished_future_can_be_awaited(kind):
    async def main():
        future = executor.post(7)
        assert future.result(PATIENCE) == 7
        assert await future == 7
        assert await future == 7

    with kind.start(actors.Echo) as executor:
        run(main)


def test_awaiting_raises_what_handle_raised(kind):
    async def main():
        with pytest.raises(ValueError, match=r"^expected$"):
            await executor.post((tasks.fail, ValueError("expected")))

    with kind.start(actors.Do) as executor:
        run(main)


def test_a_future_can_be_awaited_many_times_at_once(kind, gate):
    async def wait(future):
        return await future

    async def main():
        future = executor.post((tasks.pause, gate))
        awaits = [asyncio.create_task(wait(future)) for _ in range(20)]
        await asyncio.sleep(0)
        gate.open()
        assert await asyncio.gather(*awaits) == ["passed"] * 20

    with kind.start(actors.Do) as executor:
        run(main)


def test_a_future_can_be_awaited_from_several_loops(kind, gate):
    answers = []
    ready = threading.Barrier(4)

    async def main():
        ready.wait(PATIENCE)
        answers.append(await future)

    with kind.start(actors.Do) as executor:
        future = executor.post((tasks.pause, gate))
        threads = [in_thread(lambda: run(main)) for _ in range(3)]
        ready.wait(PATIENCE)
        gate.open()
        for one in threads:
            one.join(PATIENCE)
    assert answers == ["passed"] * 3


def test_awaiting_does_not_block_the_loop(kind, gate):
    async def main():
        task = asyncio.ensure_future(wait())
        for _ in range(100):  # each is a turn of the loop
            await asyncio.sleep(0)
            assert not task.done()
        gate.open()
        assert await task == "passed"

    async def wait():
        return await executor.post((tasks.pause, gate))

    with kind.start(actors.Do) as executor:
        run(main)


def test_a_thousand_messages_are_awaited_together(kind):
    async def main():
        assert await asyncio.gather(*map(executor.post, range(1000))) == list(range(1000))

    with kind.start(actors.Echo) as executor:
        run(main)


def test_awaiting_misses_no_end(kind):
    async def main():
        for number in range(500):
            assert await executor.post(number) == number

    with kind.start(actors.Echo) as executor:
        run(main)


@pytest.mark.parametrize("how", ["await", "wrap_future"])
def test_cancelling_the_awaiting_task_cancels_a_message_not_begun(kind, gate, how):
    async def wait(future):
        return await (future if how == "await" else asyncio.wrap_future(future))

    async def main():
        running = executor.post((tasks.pause, gate))
        gate.reached()
        future = executor.post((tasks.remember, "never"))
        task = asyncio.create_task(wait(future))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert future.cancelled()
        assert not running.done()
        gate.open()
        assert await executor.post((tasks.recall,)) == []

    with kind.start(actors.Do) as executor:
        run(main)


def test_cancelling_the_awaiting_task_leaves_a_message_that_has_begun(kind, gate):
    async def wait(future):
        return await future

    async def main():
        future = executor.post((tasks.pause_and_remember, gate, "done"))
        gate.reached()
        task = asyncio.create_task(wait(future))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert future.running()
        gate.open()
        assert await future == 1
        assert await executor.post((tasks.recall,)) == ["done"]

    with kind.start(actors.Do) as executor:
        run(main)


def test_a_message_cancelled_elsewhere_ends_the_awaiting_task(kind, gate):
    async def main():
        executor.post((tasks.pause, gate))
        gate.reached()
        future = executor.post((tasks.echo, 1))
        asyncio.get_running_loop().call_soon(future.cancel)
        with pytest.raises(asyncio.CancelledError):
            await future
        gate.open()

    with kind.start(actors.Do) as executor:
        run(main)


def test_a_timeout_of_asyncio_cancels_a_message_not_begun(kind, gate):
    async def wait(future):
        return await future

    async def main():
        executor.post((tasks.pause, gate))
        gate.reached()
        future = executor.post((tasks.remember, "never"))
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(wait(future), 0.05)
        assert future.cancelled()
        gate.open()
        assert await executor.post((tasks.recall,)) == []

    with kind.start(actors.Do) as executor:
        run(main)


def test_a_loop_runs_functions_in_an_actor(kind):
    async def main():
        loop = asyncio.get_running_loop()
        assert await loop.run_in_executor(executor, pow, 2, 8) == 256
        with pytest.raises(ZeroDivisionError):
            await loop.run_in_executor(executor, divmod, 1, 0)
        pid = await loop.run_in_executor(executor, os.getpid)
        assert (pid == os.getpid()) is (not kind.is_process)

    with kind.start(actors.Echo) as executor:
        run(main)
