"""An actor does not keep other threads from running: also in long runs of C code it gives up the
GIL now and then.

Each test has another thread look at a state that the actor changes while it has the GIL. A thread
that nobody lets run sees the first value and the last. A third value proves that it ran in between,
however quick the machine is.
"""

import threading
import time

import pytest

import actors
import tasks
from gates import PATIENCE

#: A range whose every number takes a while in C, which never looks whether another thread waits.
LONG = 1_000_000
TIMES = 24
#: To look for something here takes a while in C, too.
ZEROS = [0] * LONG
FIRST_AND_LAST = 2


def states_seen(state, is_over):
    """Return how many values of `state()` this thread sees until `is_over()`."""
    seen = set()
    while not is_over():
        seen.add(state())
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


def test_other_threads_run_between_messages_that_run_in_c(thread):
    with thread.start(actors.Echo) as executor:
        executor.stats()  # the first call imports, and lets other threads run meanwhile
        every = [executor.submit(sum, range(LONG)) for _ in range(TIMES)]
        seen = states_seen(lambda: executor.stats().handled, every[-1].done)
        assert seen > FIRST_AND_LAST


def test_other_threads_of_the_actor_run_between_messages_that_are_told(kind):
    with kind.start(actors.WatchesItself) as executor:
        proxy = executor.proxy()
        proxy.start().result(PATIENCE)
        for number in range(TIMES):
            executor.tell(range(number * LONG, (number + 1) * LONG))
        assert proxy.stop().result(PATIENCE) > FIRST_AND_LAST


def test_other_threads_run_between_the_callbacks_of_many_futures(kind, gate):
    with kind.start(actors.Do) as executor:
        executor.post((tasks.pause, gate))
        gate.reached()
        every = [executor.post((tasks.echo, number)) for number in range(TIMES)]
        for future in every:
            future.add_done_callback(ZEROS.count)
        ends = started(lambda: executor.shutdown(wait=False, cancel_futures=True))
        # The latest is cancelled first.
        seen = states_seen(lambda: sum(future.done() for future in every), every[0].done)
        ends.join()
        gate.open()
        assert seen > FIRST_AND_LAST


def test_other_threads_run_between_the_callbacks_of_one_future(kind, gate):
    with kind.start(actors.Do) as executor:
        future = executor.post((tasks.pause, gate))
        called = []
        for _ in range(TIMES):
            future.add_done_callback(ZEROS.count)
            future.add_done_callback(called.append)
        gate.reached()
        gate.open()
        seen = states_seen(lambda: len(called), lambda: len(called) == TIMES)
        assert seen > FIRST_AND_LAST


#: An end that takes so long has several turns, after each of which other threads may run.
SEVERAL_TURNS = 0.1


def cancel_all(executor):
    executor.shutdown(wait=False, cancel_futures=True)


def fail_all(executor):
    executor.terminate()


@pytest.mark.parametrize(("end_all", "count"), [(cancel_all, "cancelled"), (fail_all, "failed")])
def test_other_threads_run_while_many_messages_end(thread, gates, end_all, count):
    messages, seen, took = 100_000, 0, 0
    while seen <= FIRST_AND_LAST:
        assert took < SEVERAL_TURNS, f"no other thread ran for {took:.3f} s"
        messages *= 2
        seen, took = watch_the_end(thread.start(actors.Do), gates(), messages, end_all, count)


def watch_the_end(executor, gate, messages, end_all, count):
    """End an actor that has many messages.

    Return how many states this thread sees meanwhile, and how long the other thread computed.
    """
    took = []

    def measured():
        begun = time.thread_time()
        end_all(executor)
        took.append(time.thread_time() - begun)

    with executor:
        executor.post((tasks.pause, gate))
        gate.reached()
        futures = [executor.post(None) for _ in range(messages)]
        executor.stats()  # the first call imports, and lets other threads run meanwhile
        ends = started(measured)
        seen = states_seen(
            lambda: getattr(executor.stats(), count),
            lambda: futures[0].done() and futures[-1].done(),
        )
        ends.join()
        gate.open()
    return seen, took[0]
