"""Futures of actors together with those of the standard library: one call waits for both, a
cancelled one wakes its waiters, and those of actors cannot be copied."""

import asyncio
import copy
import functools
import os
import pickle
import re
import threading
import weakref
from concurrent import futures

import pytest

import actors
import programs
import tasks
from futures_actors import ActorFuture
from gates import PATIENCE
from observe import Thing, in_thread, on_linux, wait_until_asleep

# With the standard library's futures.


@pytest.fixture
def standard():
    """A future of the standard library that runs."""
    future = futures.Future()
    future.set_running_or_notify_cancel()
    return future


def test_wait_for_all_of_ours_and_of_the_standard_library(kind, gate, standard):
    with kind.start(actors.Do) as executor:
        future = executor.post((tasks.pause, gate))
        done, not_done = futures.wait([future, standard], 0.05)
        assert (done, not_done) == (set(), {future, standard})
        gate.open()
        threading.Timer(0.05, standard.set_result, ["standard"]).start()
        done, not_done = futures.wait([standard, future], PATIENCE)
        assert (done, not_done) == ({future, standard}, set())


@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_wait_for_the_first_of_ours_and_of_the_standard_library(kind, gate, standard, first):
    with kind.start(actors.Do) as executor:
        future = executor.post((tasks.pause, gate))
        gate.reached()
        end = gate.open if first == "ours" else lambda: standard.set_result(None)
        threading.Timer(0.05, end).start()
        done = futures.wait([standard, future], PATIENCE, futures.FIRST_COMPLETED).done
        assert done == {future if first == "ours" else standard}
        gate.open()


@pytest.mark.parametrize("failing", ["ours", "theirs"])
def test_wait_for_the_first_failure_of_ours_and_of_the_standard_library(
    kind, gates, standard, failing
):
    other, gate = gates(), gates()
    with kind.start(actors.Do) as executor, kind.start(actors.Do) as second:
        answered = executor.post((tasks.echo, 1))
        assert answered.result(PATIENCE) == 1
        error = ValueError("expected")
        held = executor.post((tasks.pause, gate))
        future = executor.post((tasks.fail, error)) if failing == "ours" else held
        unfinished = second.post((tasks.pause, other))
        gate.reached()
        end = gate.open if failing == "ours" else lambda: standard.set_exception(error)
        threading.Timer(0.05, end).start()
        everything = [answered, future, standard, unfinished]
        done = futures.wait(everything, PATIENCE, futures.FIRST_EXCEPTION).done
        assert done == {answered, future if failing == "ours" else standard}
        gate.open()
        other.open()


def test_as_completed_takes_ours_and_the_standard_library_s(kind, gates, standard):
    first, second = gates(), gates()
    with kind.start(actors.Do) as executor:
        early = executor.post((tasks.pause, first))
        late = executor.post((tasks.pause, second))
        completed = futures.as_completed([standard, late, early], PATIENCE)
        first.open()
        assert next(completed) is early
        standard.set_result(1)
        assert next(completed) is standard
        second.open()
        assert next(completed) is late
        assert list(completed) == []


def test_wait_takes_futures_of_a_thread_a_process_and_a_pool(thread, process):
    with (
        thread.start(actors.Echo) as one,
        process.start(actors.Echo) as two,
        futures.ThreadPoolExecutor(1) as pool,
    ):
        posted = {one.post(1), two.post(2), pool.submit(int, 3)}
        assert futures.wait(posted, PATIENCE).done == posted
        assert {future.result() for future in futures.as_completed(posted)} == {1, 2, 3}


def test_wait_misses_no_end(kind):
    """A message ends at every point of the registration of a waiter."""
    with kind.start(actors.Echo) as executor:
        for number in range(1000):
            future = executor.post(number)
            for _ in range(number % 50):
                future.done()
            assert futures.wait([future], PATIENCE).done
            assert future.result(0) == number


def give_up(future, seconds):
    with pytest.raises(futures.TimeoutError):
        future.result(seconds)


@pytest.mark.parametrize("how", ["result", "wait", "callback", "await"])
def test_a_waiter_that_gives_up_leaves_the_others_their_answer(kind, gates, how):
    answers = []

    async def wait():
        answers.append(await future)

    ways = {
        "result": lambda: answers.append(future.result(PATIENCE)),
        "wait": lambda: answers.extend(f.result() for f in futures.wait([future], PATIENCE).done),
        "callback": lambda: future.add_done_callback(lambda done: answers.append(done.result())),
        "await": lambda: asyncio.run(wait()),
    }
    with kind.start(actors.Do) as executor:
        for _ in range(3):
            gate = gates()
            future = executor.post((tasks.pause, gate))
            gate.reached()
            impatient = in_thread(functools.partial(give_up, future, 0.05))
            patient = in_thread(ways[how])
            give_up(future, 0.02)
            impatient.join(PATIENCE)
            gate.open()
            patient.join(PATIENCE)
            assert future.result(PATIENCE) == "passed"
        assert executor.post((tasks.echo, 1)).result(PATIENCE) == 1
    assert answers == ["passed"] * 3


def test_threads_that_wait_for_different_messages_each_get_theirs(kind, gates):
    """In the order of the messages, and against it."""
    with kind.start(actors.Do) as executor:
        for order in (range(8), reversed(range(8))):
            gate = gates()
            executor.post((tasks.pause, gate))
            posted = [executor.post((tasks.echo, number)) for number in range(8)]
            answers = {}

            def ask(number, posted=posted, answers=answers):
                answers[number] = posted[number].result(PATIENCE)

            waiting = [in_thread(functools.partial(ask, number)) for number in order]
            gate.open()
            for one in waiting:
                one.join(PATIENCE)
            assert answers == {number: number for number in range(8)}


# A cancelled future.


@pytest.fixture(params=["wait", "as_completed", "result", "exception"])
def ask(request):
    """One of the ways to wait for a future."""
    ways = {
        "wait": lambda future: futures.wait([future], PATIENCE).done == {future},
        "as_completed": lambda future: list(futures.as_completed([future], PATIENCE)) == [future],
        "result": lambda future: future.result(PATIENCE),
        "exception": lambda future: future.exception(PATIENCE),
    }
    return ways[request.param]


@on_linux
@pytest.mark.parametrize("how", ["cancel", "shutdown"])
def test_a_cancelled_future_wakes_its_waiters_while_the_actor_is_held(kind, gate, ask, how):
    woken = []

    def wait():
        try:
            woken.append(ask(future))
        except futures.CancelledError:
            woken.append(True)

    with kind.start(actors.Do) as executor:
        running = executor.post((tasks.pause, gate))
        gate.reached()
        future = executor.post((tasks.echo, 1))
        waiter = in_thread(wait)
        wait_until_asleep(os.getpid(), waiter.native_id)
        if how == "cancel":
            assert future.cancel()
        else:
            executor.shutdown(wait=False, cancel_futures=True)
        waiter.join(PATIENCE / 2)
        assert woken == [True]
        assert not running.done()
        gate.open()


@pytest.mark.parametrize("watched", [False, True])
def test_a_cancelled_message_is_released_while_the_actor_is_held(thread, gate, watched):
    with thread.start(actors.Do) as executor:
        running = executor.post((tasks.pause, gate))
        gate.reached()
        message, argument = Thing(), Thing()
        seen = weakref.ref(message), weakref.ref(argument)
        posted = [executor.post((tasks.echo, message)), executor.submit(id, argument)]
        if watched:
            assert not futures.wait(posted, 0.01).done
        del message, argument
        assert all(future.cancel() for future in posted)
        assert [one() for one in seen] == [None, None]
        assert not running.done()
        gate.open()


@on_linux
def test_the_bytes_of_a_cancelled_message_are_released_while_the_actor_is_held(process, gate):
    size = 40 << 20  # malloc gives this much back to the system at once; Python may keep one or two
    with process.start(actors.Do) as executor:
        executor.post((tasks.pause, gate))
        gate.reached()
        before = programs.resident_bytes()
        posted = [executor.post((tasks.echo, b"x" * size)) for _ in range(8)]
        assert programs.resident_bytes() - before > 7.5 * size
        assert all(future.cancel() for future in posted)
        # What has begun to go to the child goes on.
        assert programs.resident_bytes() - before < 4.5 * size
        gate.open()


# What it is called.


def test_a_future_prints_as_the_standard_one_does(kind):
    """A doctest, which compares what is printed, sees no other name."""

    def shown(future):
        return re.sub("0x[0-9a-f]+", "0x", repr(future))

    for state in ("pending", "running", "returned", "raised", "cancelled"):
        pair = ActorFuture(), futures.Future()
        for future in pair:
            if state == "cancelled":
                future.cancel()
            elif state != "pending":
                future.set_running_or_notify_cancel()
            if state == "returned":
                future.set_result(1)
            if state == "raised":
                future.set_exception(KeyError())
        assert shown(pair[0]) == shown(pair[1])
    with kind.start(actors.Echo) as executor:
        future = executor.post(1)
        future.result(PATIENCE)
        assert shown(future) == "<Future at 0x state=finished returned int>"


def test_the_class_of_futures_can_be_sent_and_copied(kind):
    assert (ActorFuture.__name__, ActorFuture.__qualname__) == ("Future", "Future")
    for protocol in range(6):
        assert pickle.loads(pickle.dumps(ActorFuture, protocol)) is ActorFuture
    assert copy.deepcopy(ActorFuture) is ActorFuture
    with kind.start(actors.Echo) as executor:
        assert executor.post(ActorFuture).result(PATIENCE) is ActorFuture


# Where a future cannot go.


@pytest.mark.parametrize("finished", [False, True])
@pytest.mark.parametrize(
    "duplicate",
    [copy.copy, copy.deepcopy, *(lambda f, n=n: pickle.dumps(f, n) for n in range(6))],
    ids=["copy", "deepcopy", *(f"pickle{n}" for n in range(6))],
)
def test_copying_a_future_is_an_error_that_says_what_to_do(duplicate, finished):
    future = ActorFuture()
    if finished:
        future.set_result(1)
    with pytest.raises(TypeError, match=r"cannot pickle or copy <Future at .*post its result"):
        duplicate(future)


def test_a_future_as_a_message_to_a_process_fails_only_that_message(process):
    with process.start(actors.Echo) as executor:
        first = executor.post(1)
        second = executor.post([first])
        with pytest.raises(TypeError, match="cannot pickle or copy <Future"):
            second.result(PATIENCE)
        assert executor.post(3).result(PATIENCE) == 3


def test_a_future_as_a_message_to_a_thread_is_that_future(thread):
    with thread.start(actors.Echo) as executor:
        first = executor.post(1)
        assert executor.post(first).result(PATIENCE) is first
