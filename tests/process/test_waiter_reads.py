"""Messages and answers that go to and fro one by one: then the thread that waits in `result()`
reads the answers, not the I/O thread.

Every other way to hear of an answer must work from that state as well, and end it.
"""

import asyncio
import logging
import os
import signal
import threading
import time
from concurrent import futures

import pytest

import actors
import futures_actors
import loggers
import observe
import programs
import tasks
from gates import PATIENCE

LOGGER = "tests.of.waiting"
#: Far more than the few that it takes.
TIMES = 50


@pytest.fixture
def executor():
    """A process actor whose answers are read by the thread that waits for them."""
    with actors.ProcessDo.executor() as executor:
        for number in range(TIMES):
            assert executor.post((tasks.echo, number)).result(PATIENCE) == number
        yield executor


def test_a_callback_is_called_soon(executor):
    for _ in range(5):
        called = threading.Event()
        executor.post((tasks.echo, 1)).add_done_callback(lambda _, called=called: called.set())
        assert called.wait(PATIENCE)
        for number in range(TIMES):
            assert executor.post((tasks.echo, number)).result(PATIENCE) == number


def test_an_answer_that_nobody_waits_for_is_seen_by_done(executor):
    future = executor.post((tasks.echo, 1))
    deadline = time.monotonic() + PATIENCE
    while not future.done():
        assert time.monotonic() < deadline
    assert future.result(0) == 1


def test_an_answer_that_nobody_asks_for_lets_the_next_ones_go(executor):
    executor.post((tasks.echo, 1))
    assert executor.post((tasks.echo, 2)).result(PATIENCE) == 2
    many = [executor.post((tasks.echo, number)) for number in range(2_000)]
    del many[:-1]
    assert many[0].result(PATIENCE) == 1_999


def test_wait_and_as_completed_are_told(executor):
    future = executor.post((tasks.echo, 1))
    assert futures.wait([future], PATIENCE).done == {future}
    for number in range(TIMES):
        assert executor.post((tasks.echo, number)).result(PATIENCE) == number
    posted = {executor.post((tasks.echo, number)) for number in range(3)}
    assert set(futures.as_completed(posted, PATIENCE)) == posted


def test_a_coroutine_is_told(executor):
    async def ask():
        return [await executor.post((tasks.echo, number)) for number in range(TIMES)]

    assert asyncio.run(asyncio.wait_for(ask(), PATIENCE)) == list(range(TIMES))


def test_threads_that_wait_at_once_are_all_answered(executor):
    def ask(first):
        for number in range(first, first + 500):
            assert executor.post((tasks.echo, number)).result(PATIENCE) == number
        return True

    with futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(0, 8_000, 1_000), timeout=60))


def test_a_wait_ends_with_its_timeout(executor, gate):
    future = executor.post((tasks.pause, gate))
    start = time.monotonic()
    with pytest.raises(futures.TimeoutError):
        future.result(0.1)
    assert time.monotonic() - start >= 0.09
    gate.open()
    assert future.result(PATIENCE) == "passed"


def test_death_ends_the_wait(executor):
    pid = executor.post((tasks.get_pid,)).result(PATIENCE)
    future = executor.post((tasks.nap, 3600))
    threading.Timer(0.1, os.kill, (pid, tasks.KILL)).start()
    with pytest.raises(futures_actors.ActorDied) as died:
        future.result(PATIENCE)
    assert died.value.exitcode == tasks.KILLED
    assert died.value.started


@observe.on_unix
def test_a_signal_ends_the_wait(executor, gate):
    class Alarm(Exception):
        pass

    def handler(*_):
        raise Alarm

    future = executor.post((tasks.pause, gate))

    def seconds_until_interrupted():
        start = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(Alarm):
            future.result(PATIENCE)
        return time.monotonic() - start

    before = signal.signal(signal.SIGALRM, handler)
    try:
        # Before the main thread's next look, a second after the wait began. On a busy machine that
        # may take several attempts.
        assert any(seconds_until_interrupted() < 1 for _ in range(20))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    gate.open()
    assert future.result(PATIENCE) == "passed"


def test_a_large_message_and_answer_cross(executor):
    data = os.urandom(3_000_000)
    for _ in range(3):
        assert executor.post((tasks.echo, data)).result(PATIENCE) == data


def test_a_message_cancelled_by_another_thread_wakes_its_waiters(executor, gate):
    running = executor.post((tasks.pause, gate))
    waiting = executor.post((tasks.echo, 1))
    threading.Timer(0.05, waiting.cancel).start()
    with pytest.raises(futures.CancelledError):
        waiting.result(PATIENCE)
    gate.open()
    assert running.result(PATIENCE) == "passed"


@observe.on_unix
@pytest.mark.parametrize("way", ["cancel", "set_result"])
def test_a_future_that_the_parent_itself_ends_wakes_its_waiters(executor, way):
    """The child is stopped and sends nothing."""
    pid = executor.post((tasks.get_pid,)).result(PATIENCE)
    os.kill(pid, signal.SIGSTOP)
    try:
        future = executor.post((tasks.echo, 1))
        end = future.cancel if way == "cancel" else lambda: future.set_result("by hand")
        threading.Timer(0.1, end).start()
        if way == "cancel":
            with pytest.raises(futures.CancelledError):
                future.result(PATIENCE)
        else:
            assert future.result(PATIENCE) == "by hand"
    finally:
        os.kill(pid, signal.SIGCONT)
    assert executor.post((tasks.echo, 2)).result(PATIENCE) == 2


# The waiting thread does no work for others that may take long.


class Waits(logging.Handler):
    """Waits until the test opens it, but not as long as answers wait for log records."""

    def __init__(self):
        super().__init__()
        self.came = threading.Event()
        self.over = threading.Event()
        self.was_over = []

    def emit(self, record):
        self.came.set()
        self.was_over.append(self.over.wait(1.5))


@pytest.fixture
def waits():
    logger = logging.getLogger(LOGGER)
    logger.setLevel(logging.INFO)
    handler = Waits()
    logger.addHandler(handler)
    yield handler
    handler.over.set()
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


#: Each of these proves it in one attempt; a busy machine may stop the thread for too long.
ATTEMPTS = range(20)


def test_a_slow_log_handler_does_not_delay_the_end_of_a_timeout(waits, executor, gates):
    def is_over_first():
        gate = gates()
        future = executor.post((loggers.log_and_pause, LOGGER, "paused", gate))
        with pytest.raises(futures.TimeoutError):
            future.result(0.1)
        return let_go(waits, future, gate)

    assert any(is_over_first() for _ in ATTEMPTS)


@observe.on_unix
def test_a_slow_log_handler_does_not_delay_a_signal(waits, executor, gates):
    class Alarm(Exception):
        pass

    def handler(*_):
        raise Alarm

    def ring():
        waits.came.wait(PATIENCE)
        os.kill(os.getpid(), signal.SIGALRM)

    def is_over_first():
        gate = gates()
        rings = threading.Thread(target=ring)
        rings.start()
        try:
            future = executor.post((loggers.log_and_pause, LOGGER, "paused", gate))
            with pytest.raises(Alarm):
                future.result(PATIENCE)
        finally:
            rings.join()
        return let_go(waits, future, gate)

    before = signal.signal(signal.SIGALRM, handler)
    try:
        assert any(is_over_first() for _ in ATTEMPTS)
    finally:
        signal.signal(signal.SIGALRM, before)


def let_go(waits, future, gate):
    """Let the handler and the actor go on; return whether the handler still waited."""
    waits.over.set()
    gate.open()
    assert future.result(PATIENCE) is None
    programs.wait_until(lambda: waits.was_over)
    waits.came.clear()
    waits.over.clear()
    return waits.was_over.pop()


def test_records_are_handled_before_the_answer_that_came_with_them(waits, executor):
    """Also when a waiting thread has read both."""
    for number in range(TIMES):
        waits.over.set()
        executor.post((loggers.log, LOGGER, "warning", "once")).result(PATIENCE)
        assert len(waits.was_over) == number + 1


def test_a_waiting_thread_runs_no_callbacks_of_other_futures(executor):
    me = threading.get_ident()
    elsewhere = []
    stop = threading.Event()

    def post_with_callbacks():
        while not stop.is_set():
            future = executor.post((tasks.echo, 1))
            future.add_done_callback(lambda _: elsewhere.append(threading.get_ident()))
            future.result(PATIENCE)

    posts = threading.Thread(target=post_with_callbacks)
    posts.start()
    for number in range(2_000):
        assert executor.post((tasks.echo, number)).result(PATIENCE) == number
    stop.set()
    posts.join()
    assert elsewhere
    assert me not in elsewhere
