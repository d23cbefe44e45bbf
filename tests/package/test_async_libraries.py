"""uvloop, trio and anyio, where they are installed: what works with actors, and the error if not.

`make test-examples` installs them. It also runs the contract of async actors over uvloop.
"""

import asyncio
import importlib.util
import re
import threading
from concurrent.futures import CancelledError
from pathlib import Path

import pytest

import actors
import asynchronous
import futures_actors
import observe
import programs
import tasks
from gates import PATIENCE

GUIDE = Path(__file__).parents[2] / "docs/guides/asyncio.md"


# uvloop.


@pytest.fixture
def uvloop():
    observe.need("uvloop")
    import uvloop

    return uvloop


@pytest.fixture(scope="module", autouse=True)
def _uvloop_is_warm():
    """Have uvloop open what it opens once, before a test counts it as left behind."""
    if importlib.util.find_spec("uvloop") is not None:
        asynchronous.warm_uvloop()


def module_of_loop(actor):
    return type(asyncio.get_running_loop()).__module__


def test_a_loop_of_uvloops_awaits_answers_streams_and_the_end(stream_kind, uvloop):
    async def main():
        async with stream_kind.start(actors.Do) as executor:
            messages = [(tasks.echo, number) for number in range(300)]
            assert await asyncio.gather(*map(executor.post, messages)) == list(range(300))
            assert [answer async for answer in executor.imap(messages)] == list(range(300))
            async with executor.stream((count, 50), ahead=2) as stream:
                assert [item async for item in stream] == list(range(50))
            running = asyncio.get_running_loop()
            assert await running.run_in_executor(executor, pow, 2, 8) == 256

    loop = uvloop.new_event_loop()
    loop.run_until_complete(asyncio.wait_for(main(), PATIENCE))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def count(actor, number):
    yield from range(number)


def test_an_actor_runs_on_the_loop_that_uvloop_makes(async_kind, uvloop):
    cls = async_kind.actor(actors.Do)
    with cls.options(loop_factory=uvloop.new_event_loop).executor() as executor:
        assert executor.post((module_of_loop,)).result(PATIENCE) == "uvloop"


# trio, and anyio over it.

UNDER_TRIO = """
import sys
import trio
import actors, gates, streaming, tasks

async def by_thread(future):
    return await trio.to_thread.run_sync(future.result, abandon_on_cancel=True)

async def by_callback(future):
    ended, token = trio.Event(), trio.lowlevel.current_trio_token()
    future.add_done_callback(lambda _: token.run_sync_soon(ended.set))
    await ended.wait()
    return future.result()

async def by_await(future):
    return await future

async def take(iterator):
    async for item in iterator:
        raise AssertionError(item)

async def enter(manager):
    async with manager:
        raise AssertionError(manager)

async def check(executor, gate):
    for wait in by_thread, by_callback:
        assert await wait(executor.post((tasks.echo, 1))) == 1
        try:
            await wait(executor.post((tasks.fail, ValueError("expected"))))
        except ValueError as error:
            assert str(error) == "expected"
        running = executor.post((tasks.pause, gate))
        await trio.to_thread.run_sync(gate.reached)
        late = executor.post((tasks.echo, 2))
        with trio.move_on_after(0.02) as scope:
            await wait(late)
        assert scope.cancelled_caught and not late.done()
        assert late.cancel()
        gate.open()
        assert await wait(running) == "passed"

async def check_refusals(executor):
    done = executor.post((tasks.echo, 1))
    done.result(20)
    stream = executor.stream((streaming.numbers, 3))
    awaited = [
        by_await(done), by_await(executor.post((tasks.echo, 1))), executor.apost((tasks.echo, 1)),
        executor.atell((tasks.echo, 1)), executor.ashutdown(), enter(executor), take(stream),
        enter(stream), take(executor.imap([(tasks.echo, 1)])),
    ]
    for number, coroutine in enumerate(awaited):
        try:
            await coroutine
        except RuntimeError as error:
            assert "no asyncio event loop runs" in str(error), error
            assert "await trio.to_thread.run_sync(future.result)" in str(error), error
        else:
            raise AssertionError(number)
    assert await trio.to_thread.run_sync(list, stream) == [0, 1, 2]
    assert executor.post((tasks.echo, "lives on")).result(20) == "lives on"

async def main(kind, path):
    with actors.actor_class(actors.Do, kind).executor() as executor:
        await check(executor, gates.Gate(path))
        await check_refusals(executor)

if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
"""


def test_under_trio_a_thread_or_a_callback_waits_and_an_await_is_refused(stream_kind, gate, script):
    observe.need("trio")
    script(UNDER_TRIO, args=[stream_kind.prefix, gate.path]).check()


UNDER_ANYIO = """
import sys
import anyio
import actors, gates, streaming, tasks

async def everywhere(executor):
    answers = []

    async def ask(number):
        future = executor.post((tasks.echo, number))
        answers.append(await anyio.to_thread.run_sync(future.result))

    async with anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(ask, number)
    assert sorted(answers) == list(range(20))

async def over_asyncio(executor, gate):
    assert await executor.post((tasks.echo, 1)) == 1
    running = executor.post((tasks.pause, gate))
    await anyio.to_thread.run_sync(gate.reached)
    late = executor.post((tasks.echo, 2))
    with anyio.move_on_after(0.02) as scope:
        await late
    assert scope.cancelled_caught and late.cancelled()
    gate.open()
    assert await running == "passed"
    async with executor.stream((streaming.numbers, 30), ahead=2) as stream:
        assert [item async for item in stream] == list(range(30))
    async with anyio.create_task_group() as group:
        group.start_soon(executor.atell, (tasks.remember, "told"))
        group.start_soon(executor.apost, (tasks.remember, "posted"))
    assert await executor.post((tasks.recall,)) == ["told", "posted"]
    await executor.ashutdown()

async def main(kind, path, backend):
    with actors.actor_class(actors.Do, kind).executor() as executor:
        await everywhere(executor)
        if backend == "asyncio":
            await over_asyncio(executor, gates.Gate(path))
            return
        try:
            await executor.post((tasks.echo, 1))
        except RuntimeError as error:
            assert "no asyncio event loop runs" in str(error), error

if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:], backend=sys.argv[3])
"""


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_anyio_waits_in_threads_and_over_asyncio_awaits_too(stream_kind, gate, script, backend):
    observe.need("anyio", backend)
    script(UNDER_ANYIO, args=[stream_kind.prefix, gate.path, backend]).check()


# Inside actors.


async def in_a_task_group(actor, numbers):
    """Return what tasks and a thread of anyio's have added up."""
    import anyio.lowlevel

    message = futures_actors.current_message()
    added = []

    async def add(number):
        await anyio.lowlevel.checkpoint()
        asked = await anyio.to_thread.run_sync(
            lambda: futures_actors.current_message().cancel_requested
        )
        added.append(number + asked)

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as group:
            for number in numbers:
                group.start_soon(add, number)
    return sum(added), message.cancel_requested


async def wait_in_a_task_group(actor):
    import anyio

    try:
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep_forever)
            group.start_soon(anyio.sleep_forever)
    finally:
        actor.log.append("group ended")


def test_handlers_of_an_async_actor_use_anyio(async_kind):
    observe.need("anyio")
    with async_kind.actor(actors.Do).options(max_concurrency=4).executor() as executor:
        futures = [executor.submit(in_a_task_group, None, range(n)) for n in range(5)]
        assert [each.result(PATIENCE) for each in futures] == [
            (sum(range(n)), False) for n in range(5)
        ]
        future = executor.submit(wait_in_a_task_group, Log)
        programs.wait_until(future.running)
        assert future.request_cancel()
        with pytest.raises(CancelledError):
            future.result(PATIENCE)


class Log:
    log = []  # noqa: RUF012 - it is only written to


def in_trio(actor, numbers):
    import trio

    async def main():
        added = []

        async def add(number):
            await trio.lowlevel.checkpoint()
            added.append(number)

        async with trio.open_nursery() as nursery:
            for number in numbers:
                nursery.start_soon(add, number)
        return sum(added), threading.get_ident()

    return trio.run(main)


def test_a_plain_handler_runs_trio(local_kind):
    observe.need("trio")
    with local_kind.start(actors.Do) as executor:
        home = executor.post((tasks.call, threading.get_ident)).result(PATIENCE)
        for count in range(3):
            answer = executor.post((in_trio, range(count))).result(PATIENCE)
            assert answer == (sum(range(count)), home)


# The guide.


def test_the_guides_programs_for_these_libraries_print_what_they_say(script):
    observe.need("uvloop", "trio")
    blocks = re.findall(r"^```py\n(.*?)^```$", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 2
    for block in blocks:
        wanted = re.findall(r"#> (.*)", block)
        assert script(block).check().out.splitlines() == wanted
