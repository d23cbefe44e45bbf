"""An actor does not keep other threads from running: also in long runs of C code it gives up the
GIL now and then. Each test counts what another thread sees meanwhile."""

import threading

import pytest

import actors
import tasks
from gates import PATIENCE

#: A range whose every number takes a while in C, which never looks whether another thread waits.
LONG = 1_000_000
TIMES = 24
#: A thread that may run after each of `TIMES` sees about as many states, and one that nobody lets
#: run sees the first and the last.
OFTEN = TIMES // 4


def states_seen(state, is_over):
    """Return how many values of `state()` this thread sees until `is_over()`."""
    seen = set()
    while not is_over():
        seen.add(state())
    return len(seen)


def started(function):
    """Return a thread that calls `function`. The caller runs on until that asks for the GIL."""
    goes = threading.Event()

    def wait_and_call():
        goes.wait()
        function()

    thread = threading.Thread(target=wait_and_call)
    thread.start()
    goes.set()
    return thread


def long_in_c(future):
    """Return a callback that runs in C."""
    return ([0] * 300_000 + [future]).count


def test_other_threads_run_between_messages_that_run_in_c(thread):
    with thread.start(actors.Echo) as executor:
        every = [executor.submit(sum, range(LONG)) for _ in range(TIMES)]
        assert states_seen(lambda: executor.stats().handled, every[-1].done) > OFTEN


def test_other_threads_of_the_actor_run_between_messages_that_are_told(kind):
    with kind.start(actors.WatchesItself) as executor:
        proxy = executor.proxy()
        proxy.start().result(PATIENCE)
        for number in range(TIMES):
            executor.tell(range(number * LONG, (number + 1) * LONG))
        assert proxy.stop().result(PATIENCE) > OFTEN


def test_other_threads_run_between_the_callbacks_of_many_futures(kind, gate):
    with kind.start(actors.Do) as executor:
        executor.post((tasks.pause, gate))
        gate.reached()
        every = [executor.post((tasks.echo, number)) for number in range(TIMES)]
        for future in every:
            future.add_done_callback(long_in_c(future))
        ends = started(lambda: executor.shutdown(wait=False, cancel_futures=True))
        # The latest is cancelled first.
        seen = states_seen(lambda: sum(future.done() for future in every), every[0].done)
        ends.join()
        gate.open()
        assert seen > OFTEN


def test_other_threads_run_between_the_callbacks_of_one_future(kind, gate):
    with kind.start(actors.Do) as executor:
        future = executor.post((tasks.pause, gate))
        called = []
        for _ in range(TIMES):
            future.add_done_callback(long_in_c(future))
            future.add_done_callback(called.append)
        gate.reached()
        gate.open()
        assert states_seen(lambda: len(called), lambda: len(called) == TIMES) > OFTEN


@pytest.mark.parametrize(("end", "count"), [("shutdown", "cancelled"), ("terminate", "failed")])
def test_other_threads_run_while_many_messages_end(thread, gate, end, count):
    with thread.start(actors.Do) as executor:
        executor.post((tasks.pause, gate))
        gate.reached()
        messages = 400_000
        futures = [executor.post(None) for _ in range(messages)]
        kwargs = {"wait": False, "cancel_futures": True} if end == "shutdown" else {}
        ends = started(lambda: getattr(executor, end)(**kwargs))
        seen = states_seen(
            lambda: getattr(executor.stats(), count),
            lambda: futures[0].done() and futures[-1].done(),
        )
        ends.join()
        gate.open()
        # The first, the last, and one for each turn of 5 ms.
        assert seen > 3
