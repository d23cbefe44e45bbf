"""Streams of async actors: generators that run on the event loop, beside other messages."""

import asyncio
import os
import signal
import threading
from concurrent.futures import CancelledError

import pytest

import actors
import futures_actors
import observe
import programs
import streaming
import tasks
from gates import PATIENCE


async def numbers(actor, count):
    for number in range(count):
        await asyncio.sleep(0)
        yield number


async def fails(actor):
    yield 1
    await asyncio.sleep(0)
    raise ValueError("at the end")


async def endless(actor, path):
    """Yield for ever; write down that it has ended, after an `await`."""
    number = 0
    try:
        while True:
            yield number
            number += 1
    finally:
        await asyncio.sleep(0)
        streaming.note(path, "ended")


async def waits(actor, gate, path):
    """Yield, and then wait in an `await` until the gate opens."""
    message = futures_actors.current_message()
    try:
        yield message.cancel_requested
        await asyncio.to_thread(gate.wait)
        streaming.note(path, message.cancel_requested)
        yield "second"
    except GeneratorExit:
        streaming.note(path, "closed")
        raise


async def sleeps(actor):
    yield 1
    await asyncio.Event().wait()


async def ignores_the_end(actor, path):
    while True:
        try:
            yield 1
        except GeneratorExit:
            streaming.note(path, "ignored")


async def with_a_lock(actor):
    try:
        yield threading.Lock()
    except TypeError as error:
        await asyncio.sleep(0)
        yield f"caught: {error}"
    yield "goes on"


async def dies(actor, count):
    for number in range(count):
        yield number
    os.kill(os.getpid(), tasks.KILL)


def start(kind, **options):
    return kind.actor(actors.Do).options(**options).executor()


def test_an_async_generator_streams(async_kind):
    with start(async_kind) as executor:
        assert list(executor.stream((numbers, 300), ahead=4)) == list(range(300))
        stream = executor.stream((fails,))
        assert next(stream) == 1
        with pytest.raises(ValueError, match="at the end"):
            next(stream)
        assert list(stream) == []
        with pytest.raises(ValueError, match="at the end"):
            stream.future.result(PATIENCE)
        stream = executor.stream((numbers, 0))
        assert list(stream) == []
        assert stream.future.result(PATIENCE) is None


class Yields:
    async def handle(self, count):
        for number in range(count):
            await asyncio.sleep(0)
            yield number

    async def squares(self, count):
        for number in range(count):
            yield number * number


@pytest.mark.parametrize("base", [futures_actors.ThreadActor, futures_actors.ProcessActor])
def test_a_handle_and_methods_that_yield_make_an_async_actor(base):
    cls = type("Yields", (Yields, base), {"__module__": "not_a_module"})
    with cls.executor() as executor:
        assert list(executor.stream(4)) == [0, 1, 2, 3]
        assert list(executor.stream_proxy(ahead=2).squares(4)) == [0, 1, 4, 9]
        with pytest.raises(TypeError, match=r"stream\(\)"):
            executor.post(4).result(PATIENCE)


def test_other_messages_run_while_streams_wait_for_takers(async_kind, tmp_path):
    with start(async_kind, max_concurrency=3) as executor:
        paths = [str(tmp_path / name) for name in "ab"]
        streams = [executor.stream((endless, path), ahead=2) for path in paths]
        assert [next(stream) for stream in streams] == [0, 0]
        for number in range(1, 20):
            assert executor.post((tasks.echo, number)).result(PATIENCE) == number
            assert [next(stream) for stream in streams] == [number, number]
        assert executor.stats().running == 2
        for stream, path in zip(streams, paths, strict=True):
            stream.close()
            with pytest.raises(CancelledError):
                stream.future.result(PATIENCE)
            assert (tmp_path / path).read_text() == "ended\n"


def test_streams_in_every_place_that_wait_for_the_same_thread_are_a_deadlock(async_kind, tmp_path):
    with start(async_kind, max_concurrency=2) as executor:
        streams = [executor.stream((endless, str(tmp_path / name)), ahead=1) for name in "ab"]
        assert [next(stream) for stream in streams] == [0, 0]
        behind = executor.post((tasks.echo, 1))
        with pytest.raises(futures_actors.ActorDeadlock):
            behind.result(PATIENCE)
        streams[0].close()
        assert behind.result(PATIENCE) == 1


@pytest.mark.parametrize("end", ["close", "request_cancel"])
def test_closing_ends_an_async_generator_at_its_next_yield(async_kind, gate, tmp_path, end):
    path = tmp_path / "log"
    with start(async_kind) as executor:
        stream = executor.stream((waits, gate, str(path)))
        assert next(stream) is False
        gate.reached()
        if end == "close":
            stream.close()
        else:
            assert stream.future.request_cancel()
        assert not stream.future.done()
        assert list(stream) == []
        gate.open()
        with pytest.raises(CancelledError):
            stream.future.result(PATIENCE)
        assert path.read_text().split() == ["True", "closed"]
        assert executor.post((tasks.echo, "lives on")).result(PATIENCE) == "lives on"


def test_an_async_generator_that_ignores_its_end_is_not_resumed_again(async_kind, tmp_path, caplog):
    path = tmp_path / "log"
    with start(async_kind) as executor:
        with executor.stream((ignores_the_end, str(path))) as stream:
            next(stream)
        with pytest.raises(CancelledError):
            stream.future.result(PATIENCE)
        programs.wait_until(lambda: "ignored GeneratorExit" in caplog.text, PATIENCE)
        said = path.read_text()
        assert executor.post((tasks.echo, 1)).result(PATIENCE) == 1
    assert path.read_text() == said


def test_shutdown_closes_the_streams_of_the_thread_that_waits(async_kind, tmp_path):
    path = tmp_path / "log"
    executor = start(async_kind)
    stream = executor.stream((endless, str(path)))
    next(stream)
    executor.shutdown()
    assert stream.future.cancelled()
    assert path.read_text() == "ended\n"


def test_terminate_ends_streams_of_an_async_thread_actor(thread):
    with actors.AsyncThreadDo.options(max_concurrency=2).executor() as executor:
        # One waits in an `await`, the other for a taker.
        streams = [executor.stream((sleeps,)), executor.stream((numbers, 99), ahead=1)]
        assert [next(stream) for stream in streams] == [1, 0]
        executor.terminate()
        for stream in streams:
            error = stream.future.exception(PATIENCE)
            assert isinstance(error, futures_actors.BrokenActor)


@observe.on_unix
def test_ctrl_c_in_the_child_ends_a_stream(process):
    with actors.AsyncProcessDo.executor() as executor:
        stream = executor.stream((sleeps,))
        assert next(stream) == 1
        os.kill(executor.stats().pid, signal.SIGINT)
        assert isinstance(stream.future.exception(PATIENCE), KeyboardInterrupt)
        assert executor.post((tasks.echo, "alive")).result(PATIENCE) == "alive"


def test_an_item_that_cannot_be_pickled_is_thrown_in_at_its_yield(process):
    with actors.AsyncProcessDo.executor() as executor:
        first, second = executor.stream((with_a_lock,))
        assert first.startswith("caught: ")
        assert second == "goes on"


def test_every_item_before_a_death_is_handed_out(process):
    with actors.AsyncProcessDo.options(max_concurrency=2).executor() as executor:
        stream = executor.stream((dies, 10))
        assert [next(stream) for _ in range(10)] == list(range(10))
        with pytest.raises(futures_actors.ActorDied) as caught:
            next(stream)
        assert caught.value.started


# What runs: `current_message()`.


async def looks(actor, gate):
    """Return what the current message says here, in a task and in a thread, before and after."""
    message = futures_actors.current_message()
    before = message.cancel_requested
    try:
        await asyncio.to_thread(gate.wait)
    except asyncio.CancelledError:
        gate.open()

    async def in_a_task():
        return futures_actors.current_message().cancel_requested

    async def raises():
        futures_actors.current_message().check_cancelled()

    after = futures_actors.current_message().cancel_requested
    with pytest.raises(CancelledError):
        await raises()
    in_a_thread = await asyncio.to_thread(lambda: futures_actors.current_message().cancel_requested)
    return before, after, await asyncio.ensure_future(in_a_task()), in_a_thread


async def asked(actor):
    await asyncio.sleep(0)
    return futures_actors.current_message().cancel_requested


class Looks:
    async def handle(self, message):
        function, *args = message
        return await function(self, *args)


@pytest.mark.parametrize("base", [futures_actors.ThreadActor, futures_actors.ProcessActor])
def test_each_message_is_the_current_one_in_its_tasks_and_threads(base, gate):
    cls = type("Looks", (Looks, base), {"__module__": "not_a_module"})
    with cls.options(max_concurrency=2).executor() as executor:
        future = executor.post((looks, gate))
        gate.reached()
        assert future.request_cancel()
        assert executor.post((asked,)).result(PATIENCE) is False
        assert future.result(PATIENCE) == (False, True, True, True)
        assert executor.submit(asked, None).result(PATIENCE) is False
    with pytest.raises(RuntimeError, match="no message"):
        futures_actors.current_message()


# Messages of other processes.


async def add(actor, number):
    await asyncio.sleep(0)
    return number + 1


async def divides(actor):
    return 1 / 0


async def passes_on(actor, other, message):
    return await other.post(message)


def test_an_async_actor_is_messaged_from_another_process(async_kind):
    base = futures_actors.ProcessActor if async_kind.is_process else futures_actors.ThreadActor
    cls = type("Target", (Looks, base), {})
    asker = type("Asker", (Looks, futures_actors.ProcessActor), {})
    with cls.options(max_concurrency=4).executor() as target, asker.executor() as executor:
        answers = [executor.post((passes_on, target, (add, n))) for n in range(20)]
        assert [each.result(PATIENCE) for each in answers] == list(range(1, 21))
        with pytest.raises(ZeroDivisionError):
            executor.post((passes_on, target, (divides,))).result(PATIENCE)


async def calls_back(actor, me, other):
    return await other.post((passes_on, me, (add, 1)))


def test_an_async_process_reads_its_messages_while_it_awaits_another_actor(process):
    """The thread that reads for the one that awaits also finds the messages of the loop."""
    one, other = (type(name, (Looks, futures_actors.ProcessActor), {}) for name in ("One", "Other"))
    with (
        one.options(max_concurrency=40).executor() as first,
        other.options(max_concurrency=40).executor() as second,
    ):
        answers = [first.post((calls_back, first, second)) for _ in range(20)]
        assert [each.result(PATIENCE) for each in answers] == [2] * 20
