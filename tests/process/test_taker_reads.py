"""A stream whose taker waits for one item after the other: then that thread reads the items, and
the I/O thread does not.

Every other way to hear of the actor must work from that state as well, and end it.
"""

import asyncio
import logging
import os
import threading

import pytest

import actors
import loggers
import observe
import programs
import streaming
import tasks
from futures_actors import ActorDied
from gates import PATIENCE

#: Far more than the few that it takes.
TIMES = 100
#: A busy machine may stop the thread that takes for so long that the I/O thread reads again.
ATTEMPTS = range(20)


@pytest.fixture
def executor():
    with actors.ProcessDo.executor() as executor:
        yield executor


def taken(executor, message, ahead=1):
    """A stream whose items the taker reads: of numbers, of which it has taken `TIMES`."""
    stream = executor.stream(message, ahead=ahead)
    for number in range(TIMES):
        assert next(stream) == number
    return stream


@pytest.mark.parametrize("ahead", [1, 2, 3, 16, 1000])
def test_items_come_in_their_order(executor, ahead):
    for count in (0, 1, TIMES, 5_000):
        stream = executor.stream((streaming.numbers, count, "end"), ahead=ahead)
        assert list(stream) == list(range(count))
        assert stream.future.result(PATIENCE) == "end"


@observe.on_linux
def test_the_io_thread_sleeps_while_the_taker_reads(executor):
    def switches(stream, count):
        me = threading.get_native_id()

        def of_others():
            tasks = observe.tasks_of(os.getpid()).items()
            return {task: sum(map(int, counts)) for task, (_, _, counts) in tasks if task != me}

        before = of_others()
        for _ in range(count):
            next(stream)
        return sum(now - before.get(task, 0) for task, now in of_others().items())

    with executor.stream((streaming.endless,), ahead=1) as stream:
        # If it read, it would wake for each item.
        assert any(switches(stream, 1_000) < 500 for _ in ATTEMPTS)


def test_a_post_behind_the_stream_is_answered_once_that_has_ended(executor):
    stream = taken(executor, (streaming.numbers, 2 * TIMES))
    called = threading.Event()
    future = executor.post((tasks.echo, 1))
    future.add_done_callback(lambda _: called.set())
    assert list(stream) == list(range(TIMES, 2 * TIMES))
    assert future.result(PATIENCE) == 1
    assert called.wait(PATIENCE)


def test_the_future_of_the_stream_hears_of_its_end(executor):
    for _ in range(5):
        stream = taken(executor, (streaming.numbers, TIMES, "end"), ahead=2)
        called = threading.Event()
        stream.future.add_done_callback(lambda _, called=called: called.set())
        assert called.wait(PATIENCE)
        assert stream.future.result(0) == "end"
        assert list(stream) == []


def test_a_closed_stream_ends_its_generator(executor, tmp_path):
    for number in range(5):
        log = tmp_path / str(number)
        taken(executor, (streaming.endless, str(log))).close()
        programs.wait_until(lambda log=log: streaming.lines(log)[-1] == "ended")
    assert executor.post((tasks.echo, 1)).result(PATIENCE) == 1


def test_the_generator_goes_on_while_the_taker_does_something_else(executor, tmp_path):
    log = tmp_path / "log"
    with taken(executor, (streaming.endless, str(log)), ahead=8):
        programs.wait_until(lambda: len(streaming.lines(log)) == TIMES + 8)


def test_async_for_goes_on_where_next_stopped(executor):
    async def take(stream):
        return [item async for item in stream]

    for _ in range(3):
        stream = taken(executor, (streaming.numbers, 3 * TIMES))
        items = asyncio.run(asyncio.wait_for(take(stream), PATIENCE))
        assert items == list(range(TIMES, 3 * TIMES))


def test_two_threads_share_the_items(executor):
    count = 4_000
    stream = taken(executor, (streaming.numbers, count), ahead=2)
    shares = [], []
    threads = [observe.in_thread(lambda share=share: share.extend(stream)) for share in shares]
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(shares[0] + shares[1]) == list(range(TIMES, count))
    for share in shares:
        assert share == sorted(share)


def test_a_wait_for_an_item_ends_with_its_timeout(executor, gate):
    stream = executor.stream((numbers_and_wait, gate), ahead=1)
    for number in range(TIMES):
        assert next(stream) == number
    with pytest.raises(TimeoutError):
        stream.next(0.05)
    gate.open()
    assert list(stream) == ["last"]


def numbers_and_wait(actor, gate):
    yield from range(TIMES)
    gate.wait()
    yield "last"


def test_death_ends_the_wait_after_all_that_was_yielded(executor):
    stream = executor.stream((numbers_and_die, TIMES), ahead=3)
    for number in range(TIMES):
        assert next(stream) == number
    with pytest.raises(ActorDied) as died:
        next(stream)
    assert died.value.exitcode == tasks.KILLED
    assert died.value.started


def numbers_and_die(actor, count):
    yield from range(count)
    os.kill(os.getpid(), tasks.KILL)
    yield "never"


def test_a_generator_that_asks_another_actor_is_answered_while_the_taker_does_not_read(tmp_path):
    log = tmp_path / "log"
    with actors.ProcessDo.executor() as other, actors.ProcessDo.executor() as executor:
        stream = taken(executor, (numbers_then_answers, other, str(log)), ahead=3)
        programs.wait_until(lambda: len(streaming.lines(log)) == 3)
        assert [next(stream) for _ in range(TIMES)] == list(range(TIMES))
        stream.close()


def numbers_then_answers(actor, other, path):
    yield from range(TIMES)
    for number in range(2 * TIMES):
        answer = other.post((tasks.echo, number)).result(PATIENCE)
        streaming.note(path, answer)
        yield answer


def test_a_log_record_is_handled_before_the_item_that_came_after_it(executor):
    name = "tests.of.takers"
    logger, records = logging.getLogger(name), []

    class Keeps(logging.Handler):
        def emit(self, record):
            records.append(record.getMessage())

    handler = Keeps()
    logger.addHandler(handler)
    try:
        stream = taken(executor, (numbers_and_records, name), ahead=1)
        for number in range(TIMES):
            assert next(stream) == number
            assert len(records) >= number + 1
    finally:
        logger.removeHandler(handler)


def numbers_and_records(actor, name):
    yield from range(TIMES)
    for number in range(TIMES):
        loggers.log(actor, name, "warning", "record %d", number)
        yield number


def test_streams_that_are_left_in_the_middle_do_not_hold_up_the_next_one(executor):
    """One stream after the other, each left in the middle."""
    for number in range(20):
        with taken(executor, (streaming.endless,), ahead=1 + number % 4):
            pass
    assert list(executor.stream((streaming.numbers, 3))) == [0, 1, 2]
