"""Streams: who takes the items, who waits for whom, and the end of the interpreter."""

import asyncio
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

import actors
import futures_actors
import gates
import observe
import programs
import streaming
import tasks
from futures_actors import ActorDeadlock
from gates import PATIENCE

# Several takers, and event loops.


def test_two_consumers_share_the_items(stream_kind):
    with stream_kind.start(actors.Do) as executor:
        stream = executor.stream((streaming.numbers, 3000), ahead=4)
        shares = [], []
        threads = [threading.Thread(target=share.extend, args=(stream,)) for share in shares]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert sorted(shares[0] + shares[1]) == list(range(3000))
        assert all(share == sorted(share) for share in shares)


def test_async_for_takes_every_item_and_does_not_block_the_loop(stream_kind, gate):
    async def main(executor):
        turns = 0

        async def turn():
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        other = asyncio.ensure_future(turn())
        async with executor.stream((streaming.waits, gate)) as stream:
            assert await anext(stream) == "first"
            await asyncio.to_thread(gate.reached)
            before = turns
            asyncio.get_running_loop().call_later(0.05, gate.open)
            assert await anext(stream) == "second"
            assert turns > before
            with pytest.raises(StopAsyncIteration):
                await anext(stream)
        items = [item async for item in executor.stream((streaming.numbers, 200), ahead=3)]
        assert items == list(range(200))
        with pytest.raises(ValueError, match="at the end"):
            async for _ in executor.stream((streaming.fails, 2)):
                pass
        other.cancel()

    with stream_kind.start(actors.Do) as executor:
        asyncio.run(main(executor))


def test_a_cancelled_anext_loses_no_item(stream_kind, gate):
    async def main(stream):
        assert await anext(stream) == "first"
        await asyncio.to_thread(gate.reached)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(anext(stream), 0.02)
        waiting = asyncio.ensure_future(anext(stream))
        given_up = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0.01)
        given_up.cancel()
        gate.open()
        assert await waiting == "second"

    with stream_kind.start(actors.Do) as executor:
        asyncio.run(main(executor.stream((streaming.waits, gate))))


# What waits for what.


def test_shutdown_closes_the_streams_of_the_thread_that_waits(stream_kind, tmp_path):
    logs = [tmp_path / "one", tmp_path / "two"]
    executor = stream_kind.start(actors.Do)
    stream = executor.stream((streaming.endless, str(logs[0])))
    next(stream)
    late = executor.stream((streaming.endless, str(logs[1])))
    executor.shutdown(wait=True)
    assert stream.future.cancelled()
    assert late.future.cancelled()
    assert streaming.lines(logs[0])[-1] == "ended"
    assert list(stream) == list(late) == []


def test_shutdown_lets_another_thread_take_its_stream_to_the_end(stream_kind):
    executor = stream_kind.start(actors.Do)
    stream = executor.stream((streaming.numbers, 200), ahead=2)
    taken = []
    first = threading.Event()

    def take():
        for item in stream:
            taken.append(item)
            first.set()
            time.sleep(0.001)

    thread = threading.Thread(target=take)
    thread.start()
    first.wait(PATIENCE)
    executor.shutdown(wait=True)
    thread.join(PATIENCE)
    assert taken == list(range(200))


def test_waiting_behind_a_stream_that_waits_for_the_same_thread_is_a_deadlock(stream_kind):
    with stream_kind.start(actors.Do) as executor:
        with executor.stream((streaming.endless,), ahead=2) as stream:
            next(stream)
            behind = executor.post((tasks.echo, 1))
            for wait in (behind.result, behind.exception, lambda: behind.result(PATIENCE)):
                with pytest.raises(ActorDeadlock) as caught:
                    wait()
                assert caught.value.circle == (f"{stream_kind.prefix}Do",)
            second = executor.stream((streaming.numbers, 2))
            with pytest.raises(ActorDeadlock):
                next(second)
        assert behind.result(PATIENCE) == 1
        assert list(second) == [0, 1]


def test_waiting_for_room_behind_a_stream_is_a_deadlock(stream_kind):
    cls = stream_kind.actor(actors.Do)
    executor = cls.options(mailbox_size=1).executor()
    with executor, executor.stream((streaming.endless,), ahead=1) as stream:
        next(stream)
        executor.post((tasks.echo, 1))
        with pytest.raises(ActorDeadlock):
            executor.post((tasks.echo, 2))


def test_waiting_behind_a_stream_that_another_thread_takes_is_no_deadlock(stream_kind):
    with stream_kind.start(actors.Do) as executor:
        stream = executor.stream((streaming.numbers, 200), ahead=1)
        taken = []

        def take():
            for item in stream:
                taken.append(item)
                time.sleep(0.003)

        thread = threading.Thread(target=take)
        next(stream)
        thread.start()
        programs.wait_until(lambda: taken)
        assert executor.post((tasks.echo, 1)).result(PATIENCE) == 1
        thread.join(PATIENCE)


def test_a_stream_into_a_full_mailbox_waits_and_gives_up(stream_kind, gate):
    cls = stream_kind.actor(actors.Do)
    with cls.options(mailbox_size=1).executor() as executor:
        executor.post((tasks.pause, gate))
        gate.reached()
        executor.post((tasks.echo, 1))
        with pytest.raises(futures_actors.MailboxFull):
            executor.stream((streaming.numbers, 3), timeout=0.01)
        gate.open()
        assert list(executor.stream((streaming.numbers, 3), timeout=PATIENCE)) == [0, 1, 2]


def test_after_shutdown_no_stream_begins(stream_kind):
    executor = stream_kind.start(actors.Do)
    executor.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.stream((streaming.numbers, 3))


# The end of the interpreter.

PROGRAM = """
import itertools, sys, threading, time
from futures_actors import {base} as Base

class Streams(Base):
    def handle(self, message):
        try:
            for number in itertools.count():
                yield number
        finally:
            print("ended", flush=True)

if __name__ == "__main__":
    executor = Streams.executor()
    stream = executor.stream(0)
    print(next(stream), flush=True)
    {more}
"""


@pytest.mark.not_on_ray("what it prints is on its node: see test_ray_streams")
@pytest.mark.parametrize(
    "more", ["pass", "executor.shutdown(wait=False)", "del executor", "sys.exit(0)"]
)
def test_the_interpreter_exits_although_a_stream_waits_for_a_taker(stream_kind, script, more):
    source = PROGRAM.format(base=f"{stream_kind.base}Actor", more=more)
    ended = script(source).check()
    assert ended.out.split() == ["0", "ended"]


#: Takes from a stream that stands still, after `body`, until a Ctrl-C comes.
INTERRUPTED = """
import signal, sys, threading
sys.path.insert(0, {support!r})
import gates
from futures_actors import {base}Actor as Base

class Streams(Base):
    def handle(self, gate):
        yield 1
        gate.wait()

def interrupt(gate):
    gate.reached()
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)

if __name__ == "__main__":
    with Streams.executor() as executor:
        gate = gates.Gate({path!r})
        stream = executor.stream(gate)
        try:
            {body}
            next(stream)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        gate.open()
"""


def interrupted(kind, gate, body):
    support = str(Path(gates.__file__).parent)
    return INTERRUPTED.format(support=support, base=kind.base, path=gate.path, body=body)


@observe.on_unix
@pytest.mark.not_on_ray("Ray has a handler of its own in the program")
def test_next_lets_ctrl_c_through(stream_kind, program, gate):
    running = program(interrupted(stream_kind, gate, "print(next(stream), flush=True)"))
    assert running.line() == "1"
    gate.reached()
    running.signal(signal.SIGINT)
    assert running.line() == "interrupted"


@pytest.mark.not_on_ray("Ray has a handler of its own in the program")
@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal to a thread")
def test_next_lets_ctrl_c_through_that_another_thread_got(stream_kind, script, gate):
    begin = "threading.Thread(target=interrupt, args=(gate,)).start(); next(stream)"
    assert script(interrupted(stream_kind, gate, begin)).check().out == "interrupted\n"
