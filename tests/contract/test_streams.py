"""Streams: `executor.stream(message)` gives what `handle` yields, item by item."""

import asyncio
import contextlib
import gc
import itertools
import os
import random
import signal
import threading
import time
from concurrent import futures
from concurrent.futures import CancelledError
from pathlib import Path

import pytest

import actors
import futures_actors
import gates
import tasks
from futures_actors import ActorDeadlock, ActorStream
from gates import PATIENCE

# Messages to `actors.Do` whose functions yield.


def numbers(actor, count, answer=None):
    yield from range(count)
    return answer


def endless(actor, path=None):
    """Yield for ever; write down how far it has come, and that it has ended."""
    try:
        for number in itertools.count():
            if path is not None:
                note(path, number)
            yield number
    finally:
        if path is not None:
            note(path, "ended")


def note(path, what):
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, f"{what}\n".encode())
    os.close(descriptor)


def lines(path):
    return path.read_text().split() if path.exists() else []


def fails(actor, count):
    yield from range(count)
    raise ValueError("at the end")


def waits(actor, gate):
    yield "first"
    gate.wait()
    yield "second"


def where(actor):
    yield threading.get_ident(), os.getpid()


def ignores_the_end(actor, path):
    while True:
        try:
            yield 1
        except GeneratorExit:
            note(path, "ignored")


def returns_when_closed(actor):
    try:
        yield 1
        yield 2
    except GeneratorExit:
        return "partial"


def raises_when_closed(actor):
    try:
        while True:
            yield 1
    finally:
        raise ValueError("cleaning up failed")


def asks(actor, gate):
    message = futures_actors.current_message()
    yield message.cancel_requested
    gate.wait()
    yield message.cancel_requested


def a_list(actor):
    return [1, 2]


def an_iterator(actor):
    return iter([1, 2, 3])


async def a_coroutine(actor):
    return 1


async def an_async_generator(actor):
    yield 1


def until(found, timeout=PATIENCE):
    deadline = time.monotonic() + timeout
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def settled(read):
    """Return what `read` returns once it has not changed for a while."""
    before = None
    deadline = time.monotonic() + PATIENCE
    while (now := read()) != before:
        assert time.monotonic() < deadline
        before = now
        time.sleep(0.2)
    return now


# Items, the end, and exceptions.


def test_items_arrive_in_order_each_once_and_then_the_end(stream_kind):
    with stream_kind.start(actors.Do) as executor:
        stream = executor.stream((numbers, 1000, "answer"))
        assert isinstance(stream, ActorStream)
        assert iter(stream) is stream
        assert list(stream) == list(range(1000))
        assert list(stream) == []
        with pytest.raises(StopIteration):
            stream.next()
        assert stream.future.result(PATIENCE) == "answer"


@pytest.mark.parametrize("count", [0, 1, 5, 100])
def test_an_exception_comes_once_after_the_items(stream_kind, count):
    with stream_kind.start(actors.Do) as executor:
        stream = executor.stream((fails, count))
        assert [next(stream) for _ in range(count)] == list(range(count))
        with pytest.raises(ValueError, match="at the end"):
            next(stream)
        assert list(stream) == []
        with pytest.raises(ValueError, match="at the end"):
            stream.future.result(PATIENCE)
        assert executor.post((tasks.echo, "lives on")).result(PATIENCE) == "lives on"


def test_a_generator_runs_where_handle_runs_and_begins_without_a_taker(stream_kind, tmp_path):
    log = tmp_path / "log"
    with stream_kind.start(actors.Do) as executor:
        home = executor.post((tasks.call, threading.get_ident)).result(PATIENCE)
        with executor.stream((where,)) as stream:
            ident, pid = next(stream)
            assert ident == home
            assert (pid == os.getpid()) is not stream_kind.is_process
        with executor.stream((endless, str(log)), ahead=3):
            until(lambda: len(lines(log)) == 3)


@pytest.mark.parametrize("ahead", [1, 2, 16])
def test_a_generator_is_never_further_ahead_than_it_may(stream_kind, tmp_path, ahead):
    log = tmp_path / "log"
    with stream_kind.start(actors.Do) as executor:
        with executor.stream((endless, str(log)), ahead=ahead) as stream:
            for taken in range(1, 5):
                assert next(stream) == taken - 1
                until(lambda taken=taken: len(lines(log)) >= taken + ahead)
                assert len(lines(log)) == taken + ahead
            assert settled(lambda: len(lines(log))) == 4 + ahead
        until(lambda: lines(log)[-1] == "ended")


def test_a_stream_waits_for_its_turn(stream_kind, gate, tmp_path):
    log = tmp_path / "log"
    with stream_kind.start(actors.Do) as executor:
        executor.post((tasks.pause, gate))
        gate.reached()
        stream = executor.stream((endless, str(log)))
        after = executor.post((tasks.echo, "after"))
        with pytest.raises(futures.TimeoutError):
            stream.next(0.05)
        assert not lines(log)
        assert not stream.future.running()
        gate.open()
        assert stream.next(PATIENCE) == 0
        assert stream.future.running()
        assert not after.done()
        stream.close()
        assert after.result(PATIENCE) == "after"


def test_next_waits_as_long_as_it_is_told(stream_kind, gate):
    with stream_kind.start(actors.Do) as executor, executor.stream((waits, gate)) as stream:
        assert stream.next(timeout=PATIENCE) == "first"
        gate.reached()
        for timeout in (0, 0.01, -1):
            with pytest.raises(futures.TimeoutError):
                stream.next(timeout)
        gate.open()
        assert stream.next(PATIENCE) == "second"
        with pytest.raises(StopIteration):
            stream.next(PATIENCE)


def test_any_iterator_streams(stream_kind):
    with stream_kind.start(actors.Do) as executor:
        assert list(executor.stream((an_iterator,))) == [1, 2, 3]


def test_stats_show_a_stream_as_one_message_that_runs(stream_kind):
    with stream_kind.start(actors.Do) as executor:
        with executor.stream((endless,)) as stream:
            next(stream)
            executor.post((tasks.echo, 1))
            stats = executor.stats()
            assert stats.age > 0
            assert (stats.depth, stats.handled) == (1, 0)
        until(lambda: executor.stats().handled == 1)
        assert executor.stats().cancelled == 1
        assert list(executor.stream((numbers, 3))) == [0, 1, 2]
        assert executor.stats().handled == 2


# Closing.


def close(stream):
    stream.close()


def leave(stream):
    with stream:
        pass


def ask(stream):
    assert stream.future.request_cancel()


def leave_async(stream):
    async def main():
        async with stream:
            pass

    asyncio.run(main())


@pytest.mark.parametrize("end", [close, leave, ask, leave_async])
def test_closing_ends_the_generator_at_its_next_yield(stream_kind, tmp_path, end):
    log = tmp_path / "log"
    with stream_kind.start(actors.Do) as executor:
        stream = executor.stream((endless, str(log)))
        assert next(stream) == 0
        end(stream)
        assert list(stream) == []
        until(stream.future.done)
        assert stream.future.cancelled()
        assert lines(log)[-1] == "ended"
        stream.close()
        assert executor.post((tasks.echo, "lives on")).result(PATIENCE) == "lives on"


def test_dropping_a_stream_ends_the_generator(stream_kind, tmp_path):
    log = tmp_path / "log"
    with stream_kind.start(actors.Do) as executor:
        future = executor.stream((endless, str(log))).future
        gc.collect()
        with pytest.raises(CancelledError):
            future.result(PATIENCE)
        for number in executor.stream((endless, str(log))):
            if number == 5:
                break
        until(lambda: lines(log)[-1:] == ["ended"])
        assert executor.post((tasks.echo, "lives on")).result(PATIENCE) == "lives on"


def test_a_generator_that_waits_elsewhere_is_closed_at_its_next_yield(stream_kind, gate):
    with stream_kind.start(actors.Do) as executor:
        stream = executor.stream((waits, gate))
        assert next(stream) == "first"
        gate.reached()
        stream.close()
        assert not stream.future.done()
        assert list(stream) == []
        gate.open()
        with pytest.raises(CancelledError):
            stream.future.result(PATIENCE)


@pytest.mark.parametrize("end", [close, leave, ask])
def test_a_stream_that_was_closed_before_its_turn_never_begins(stream_kind, gate, tmp_path, end):
    log = tmp_path / "log"
    with stream_kind.start(actors.Do) as executor:
        executor.post((tasks.pause, gate))
        gate.reached()
        stream = executor.stream((endless, str(log)))
        end(stream)
        assert stream.future.cancelled()
        assert list(stream) == []
        gate.open()
        assert executor.post((tasks.echo, 1)).result(PATIENCE) == 1
        assert not log.exists()


def test_a_stream_whose_message_was_cancelled_raises_that_once(stream_kind, gate):
    with stream_kind.start(actors.Do) as executor:
        executor.post((tasks.pause, gate))
        gate.reached()
        stream = executor.stream((endless,))
        assert stream.future.cancel()
        with pytest.raises(CancelledError):
            next(stream)
        assert list(stream) == []
        gate.open()


def test_closing_wakes_a_thread_that_waits_for_an_item(stream_kind, gate):
    with stream_kind.start(actors.Do) as executor:
        stream = executor.stream((waits, gate))
        assert next(stream) == "first"
        gate.reached()
        ended = []
        thread = threading.Thread(target=lambda: ended.append(list(stream)))
        thread.start()
        stream.close()
        thread.join(PATIENCE)
        assert ended == [[]]
        gate.open()


def test_what_a_closed_generator_returns_or_raises_is_its_outcome(stream_kind):
    with stream_kind.start(actors.Do) as executor:
        stream = executor.stream((returns_when_closed,), ahead=1)
        assert next(stream) == 1
        stream.close()
        assert stream.future.result(PATIENCE) == "partial"
        stream = executor.stream((raises_when_closed,), ahead=1)
        assert next(stream) == 1
        stream.close()
        with pytest.raises(ValueError, match="cleaning up failed"):
            stream.future.result(PATIENCE)
        assert list(stream) == []


def test_a_generator_that_ignores_its_end_is_ended_for_good_and_logged(
    stream_kind, tmp_path, caplog
):
    log = tmp_path / "log"
    with stream_kind.start(actors.Do) as executor:
        with executor.stream((ignores_the_end, str(log))) as stream:
            next(stream)
        with pytest.raises(CancelledError):
            stream.future.result(PATIENCE)
        until(lambda: "ignored GeneratorExit" in caplog.text)
        said = len(lines(log))
        assert executor.post((tasks.echo, "lives on")).result(PATIENCE) == "lives on"
        assert len(lines(log)) == said


def test_a_stream_that_has_ended_keeps_its_items_until_it_is_closed(stream_kind):
    with stream_kind.start(actors.Do) as executor:
        stream = executor.stream((numbers, 5, "answer"))
        assert stream.future.result(PATIENCE) == "answer"
        assert next(stream) == 0
        stream.close()
        assert list(stream) == []
        assert stream.future.result() == "answer"


def test_a_handler_sees_that_its_stream_was_closed(stream_kind, gate):
    with stream_kind.start(actors.Do) as executor:
        stream = executor.stream((asks, gate), ahead=1)
        assert next(stream) is False
        gate.reached()
        assert stream.future.request_cancel()
        assert stream.future.request_cancel()
        gate.open()
        until(stream.future.done)
        assert stream.future.cancelled()
        assert not stream.future.request_cancel()


# Several takers, and event loops.


def test_two_consumers_share_the_items(stream_kind):
    with stream_kind.start(actors.Do) as executor:
        stream = executor.stream((numbers, 3000), ahead=4)
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
        async with executor.stream((waits, gate)) as stream:
            assert await anext(stream) == "first"
            await asyncio.to_thread(gate.reached)
            before = turns
            asyncio.get_running_loop().call_later(0.05, gate.open)
            assert await anext(stream) == "second"
            assert turns > before
            with pytest.raises(StopAsyncIteration):
                await anext(stream)
        items = [item async for item in executor.stream((numbers, 200), ahead=3)]
        assert items == list(range(200))
        with pytest.raises(ValueError, match="at the end"):
            async for _ in executor.stream((fails, 2)):
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
        asyncio.run(main(executor.stream((waits, gate))))


# What waits for what.


def test_shutdown_closes_the_streams_of_the_thread_that_waits(stream_kind, tmp_path):
    logs = [tmp_path / "one", tmp_path / "two"]
    executor = stream_kind.start(actors.Do)
    stream = executor.stream((endless, str(logs[0])))
    next(stream)
    late = executor.stream((endless, str(logs[1])))
    executor.shutdown(wait=True)
    assert stream.future.cancelled()
    assert late.future.cancelled()
    assert lines(logs[0])[-1] == "ended"
    assert list(stream) == list(late) == []


def test_shutdown_lets_another_thread_take_its_stream_to_the_end(stream_kind):
    executor = stream_kind.start(actors.Do)
    stream = executor.stream((numbers, 200), ahead=2)
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
        with executor.stream((endless,), ahead=2) as stream:
            next(stream)
            behind = executor.post((tasks.echo, 1))
            for wait in (behind.result, behind.exception, lambda: behind.result(PATIENCE)):
                with pytest.raises(ActorDeadlock) as caught:
                    wait()
                assert caught.value.circle == (
                    "ThreadDo" if not stream_kind.is_process else "ProcessDo",
                )
            second = executor.stream((numbers, 2))
            with pytest.raises(ActorDeadlock):
                next(second)
        assert behind.result(PATIENCE) == 1
        assert list(second) == [0, 1]


def test_waiting_for_room_behind_a_stream_is_a_deadlock(stream_kind):
    cls = stream_kind.actor(actors.Do)
    executor = cls.options(mailbox_size=1).executor()
    with executor, executor.stream((endless,), ahead=1) as stream:
        next(stream)
        executor.post((tasks.echo, 1))
        with pytest.raises(ActorDeadlock):
            executor.post((tasks.echo, 2))


def test_waiting_behind_a_stream_that_another_thread_takes_is_no_deadlock(stream_kind):
    with stream_kind.start(actors.Do) as executor:
        stream = executor.stream((numbers, 200), ahead=1)
        taken = []

        def take():
            for item in stream:
                taken.append(item)
                time.sleep(0.003)

        thread = threading.Thread(target=take)
        next(stream)
        thread.start()
        until(lambda: taken)
        assert executor.post((tasks.echo, 1)).result(PATIENCE) == 1
        thread.join(PATIENCE)


def test_a_stream_into_a_full_mailbox_waits_and_gives_up(stream_kind, gate):
    cls = stream_kind.actor(actors.Do)
    with cls.options(mailbox_size=1).executor() as executor:
        executor.post((tasks.pause, gate))
        gate.reached()
        executor.post((tasks.echo, 1))
        with pytest.raises(futures_actors.MailboxFull):
            executor.stream((numbers, 3), timeout=0.01)
        gate.open()
        assert list(executor.stream((numbers, 3), timeout=PATIENCE)) == [0, 1, 2]


def test_after_shutdown_no_stream_begins(stream_kind):
    executor = stream_kind.start(actors.Do)
    executor.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.stream((numbers, 3))


# Methods, functions, references.


class Series:
    def __init__(self):
        self.made = 0

    def squares(self, count, *, offset=0):
        for number in range(count):
            self.made += 1
            yield number * number + offset

    def total(self):
        return self.made


class ThreadSeries(Series, futures_actors.ThreadActor):
    pass


class ProcessSeries(Series, futures_actors.ProcessActor):
    pass


def test_methods_stream_by_a_proxy_of_their_own(stream_kind):
    cls = ThreadSeries if not stream_kind.is_process else ProcessSeries
    with cls.executor() as executor:
        for reference in (executor, executor.ref()):
            stream = reference.stream_proxy(ahead=2).squares(4, offset=1)
            assert list(stream) == [1, 2, 5, 10]
        assert executor.proxy().total().result(PATIENCE) == 8
        assert "squares" in dir(executor.stream_proxy())
        with pytest.raises(AttributeError, match="no method 'cubes'"):
            executor.stream_proxy().cubes  # noqa: B018
        with pytest.raises(TypeError, match=r"no iterator.*proxy"):
            next(executor.stream_proxy().total())


# Bad input.


@pytest.mark.parametrize("ahead", [0, -1, -(10**30)])
def test_ahead_must_be_positive(stream_kind, ahead):
    with stream_kind.start(actors.Do) as executor:
        for make in (
            lambda: executor.stream((numbers, 1), ahead=ahead),
            lambda: executor.stream_proxy(ahead),
        ):
            with pytest.raises(ValueError, match="ahead must be at least 1"):
                make()
        assert list(executor.stream((numbers, 2), ahead=10**30)) == [0, 1]


@pytest.mark.parametrize("ahead", [None, 1.0, "16", True])
def test_ahead_must_be_an_int(stream_kind, ahead):
    with stream_kind.start(actors.Do) as executor:
        for make in (
            lambda: executor.stream((numbers, 1), ahead=ahead),
            lambda: executor.stream_proxy(ahead),
        ):
            with pytest.raises(TypeError, match="ahead must be an int"):
                make()


@pytest.mark.parametrize("function", [a_list, tasks.echo])
def test_a_handler_that_answers_with_no_iterator_is_refused(stream_kind, function):
    message = (function,) if function is a_list else (function, 5)
    with stream_kind.start(actors.Do) as executor:
        stream = executor.stream(message)
        with pytest.raises(TypeError, match=r"no iterator.*post"):
            next(stream)
        assert list(stream) == []
        with pytest.raises(TypeError, match=r"no iterator.*post"):
            stream.future.result(PATIENCE)


def test_a_generator_that_was_posted_is_refused_and_the_error_names_stream(stream_kind):
    with stream_kind.start(actors.Do) as executor:
        for future in (
            executor.post((numbers, 3)),
            executor.submit(numbers, None, 3),
        ):
            with pytest.raises(TypeError, match=r"stream\(\)"):
                future.result(PATIENCE)


@pytest.mark.parametrize("function", [a_coroutine, an_async_generator])
def test_a_sync_actor_does_not_stream_what_only_a_loop_could_run(stream_kind, function):
    with stream_kind.start(actors.Do) as executor:
        stream = executor.stream((function,))
        with pytest.raises(TypeError, match="async def"):
            next(stream)


def test_a_stream_of_no_actor_says_so():
    stream = ActorStream()
    for use in (stream.next, stream.close, lambda: next(stream), lambda: stream.future):
        with pytest.raises(RuntimeError, match="of no actor"):
            use()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_stream_cannot_be_taken_from_in_a_forked_process(stream_kind, gate):
    with stream_kind.start(actors.Do) as executor:
        stream = executor.stream((waits, gate))
        assert next(stream) == "first"
        pid = os.fork()
        if pid == 0:
            status = 1
            with contextlib.suppress(BaseException):
                try:
                    next(stream)
                except futures_actors.BrokenActor:
                    status = 0
            os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        gate.open()
        assert list(stream) == ["second"]


# Histories against a list.


@pytest.mark.parametrize("seed", range(12))
def test_random_histories_of_takes_and_ends_agree_with_a_list(stream_kind, seed):
    rng = random.Random(seed)
    with stream_kind.start(actors.Do) as executor:
        for _ in range(15):
            count, ahead = rng.randrange(12), rng.randrange(1, 6)
            raises = rng.random() < 0.3
            stream = executor.stream((fails if raises else numbers, count), ahead=ahead)
            wanted, closed = list(range(count)), False
            for _ in range(rng.randrange(16)):
                if rng.random() < 0.06:
                    stream.close()
                    wanted, closed = [], True
                elif wanted:
                    assert next(stream) == wanted.pop(0)
                elif raises and not closed:
                    raises = False
                    with pytest.raises(ValueError, match="at the end"):
                        next(stream)
                else:
                    with pytest.raises(StopIteration):
                        next(stream)
            stream.close()
            until(stream.future.done)
        assert executor.post((tasks.echo, 1)).result(PATIENCE) == 1


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


@pytest.mark.parametrize(
    "more", ["pass", "executor.shutdown(wait=False)", "del executor", "sys.exit(0)"]
)
def test_the_interpreter_exits_although_a_stream_waits_for_a_taker(stream_kind, script, more):
    source = PROGRAM.format(base=f"{stream_kind.base}Actor", more=more)
    ended = script(source).check()
    assert ended.out.split() == ["0", "ended"]


def test_next_lets_ctrl_c_through(stream_kind, program, gate):
    support = str(Path(gates.__file__).parent)
    source = f"""
import sys
sys.path.insert(0, {support!r})
import gates
from futures_actors import {stream_kind.base}Actor as Base

class Streams(Base):
    def handle(self, gate):
        yield 1
        gate.wait()

if __name__ == "__main__":
    with Streams.executor() as executor:
        gate = gates.Gate({gate.path!r})
        stream = executor.stream(gate)
        try:
            print(next(stream), flush=True)
            next(stream)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        gate.open()
"""
    running = program(source)
    assert running.line() == "1"
    gate.reached()
    running.signal(signal.SIGINT)
    assert running.line() == "interrupted"
