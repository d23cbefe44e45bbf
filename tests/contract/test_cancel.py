"""Cancelling: every message but the one that `handle` has, however they were posted."""

import random
import threading
import time
from concurrent import futures

import pytest

import actors
import tasks
from gates import PATIENCE


def test_cancelled_message_is_never_handled(kind, gate):
    with kind.start(actors.Do) as executor:
        executor.post((tasks.pause, gate))
        cancelled = executor.post((tasks.remember, "cancelled"))
        kept = executor.post((tasks.remember, "kept"))
        assert cancelled.cancel()
        gate.open()
        assert kept.result(PATIENCE) == 1
        assert executor.post((tasks.recall,)).result(PATIENCE) == ["kept"]


def test_a_cancelled_future_tells_its_state(any_kind, gate):
    with any_kind.start(actors.Do) as executor:
        executor.post((tasks.pause, gate))
        future = [executor.post((tasks.echo, number)) for number in range(5)][-1]
        assert future.cancel()
        assert future.cancelled()
        assert future.done()
        assert not future.running()
        assert future.cancel()
        for ask in (future.result, future.exception):
            with pytest.raises(futures.CancelledError):
                ask(PATIENCE)
        gate.open()


def test_the_running_message_cannot_be_cancelled(any_kind, gate):
    with any_kind.start(actors.Do) as executor:
        future = executor.post((tasks.pause, gate))
        gate.reached()
        assert not future.cancel()
        gate.open()
        assert future.result(PATIENCE) == "passed"


@pytest.mark.parametrize("slowly", [False, True], ids=["quickly", "slowly"])
def test_every_message_but_the_running_one_can_be_cancelled(kind, gate, slowly):
    with kind.start(actors.Do) as executor:
        running = executor.post((tasks.pause, gate))
        gate.reached()
        waiting = []
        for number in range(10):
            waiting.append(executor.post((tasks.remember, number)))
            if slowly:  # gives an executor that sends ahead the time to do so
                time.sleep(0.03)
        assert [future.running() for future in [running, *waiting]] == [True] + [False] * 10
        assert all(future.cancel() for future in waiting)
        assert not running.cancel()
        gate.open()
        assert running.result(PATIENCE) == "passed"
        assert executor.post((tasks.recall,)).result(PATIENCE) == []


def test_the_only_message_can_be_cancelled_while_the_constructor_runs(kind, gate):
    with kind.start(actors.Waits, gate) as executor:
        first, second = executor.post("first"), executor.post("second")
        gate.reached()
        assert first.cancel()
        gate.open()
        assert second.result(PATIENCE) == "second"
        assert first.cancelled()


def test_a_waiter_wakes_when_its_future_is_cancelled(any_kind, gate):
    woken = []
    asking = threading.Event()

    def ask(future):
        asking.set()
        try:
            future.result(PATIENCE)
        except futures.CancelledError as error:
            woken.append(type(error))

    with any_kind.start(actors.Do) as executor:
        executor.post((tasks.pause, gate))
        future = [executor.post((tasks.echo, number)) for number in range(5)][-1]
        waiter = threading.Thread(target=ask, args=(future,))
        waiter.start()
        asking.wait(PATIENCE)
        assert future.cancel()
        waiter.join(PATIENCE)
        assert woken == [futures.CancelledError]
        gate.open()


def test_wait_and_as_completed_give_a_cancelled_future(any_kind, gate):
    with any_kind.start(actors.Do) as executor:
        executor.post((tasks.pause, gate))
        posted = [executor.post((tasks.echo, number)) for number in range(5)]
        assert posted[-1].cancel()
        gate.open()
        assert futures.wait(posted, PATIENCE).done == set(posted)
        assert set(futures.as_completed(posted, PATIENCE)) == set(posted)


@pytest.mark.parametrize("way", ["wait", "as_completed"])
def test_wait_wakes_at_once_when_a_message_is_cancelled(kind, gate, way):
    """While `handle` still has another one."""
    with kind.start(actors.Do) as executor:
        executor.post((tasks.pause, gate))
        gate.reached()
        future = executor.post((tasks.echo, 1))
        threading.Timer(0.05, future.cancel).start()
        if way == "wait":
            assert futures.wait([future], PATIENCE / 2).done == {future}
        else:
            assert list(futures.as_completed([future], PATIENCE / 2)) == [future]
        gate.open()


def test_cancelling_from_inside_handle(thread):
    """The actor itself cancels what waits for it."""
    with thread.start(actors.Do) as executor:
        ready = threading.Event()
        later = []

        def cancel_the_next():
            ready.wait(PATIENCE)
            return later[0].cancel()

        answer = executor.post((tasks.call, cancel_the_next))
        later.append(executor.post((tasks.remember, "later")))
        ready.set()
        assert answer.result(PATIENCE) is True
        assert executor.post((tasks.recall,)).result(PATIENCE) == []


def test_cancel_tells_the_truth_in_a_race(kind):
    """`cancel()` returns True exactly when `handle` never sees the message."""
    with kind.start(actors.Do) as executor:
        posted = [executor.post((tasks.remember, number)) for number in range(1500)]
        chosen = random.Random(7).sample(range(1500), 700)
        halves = chosen[::2], chosen[1::2]
        said = [False] * 1500

        def cancel(numbers):
            for number in numbers:
                said[number] = posted[number].cancel()

        threads = [threading.Thread(target=cancel, args=(half,)) for half in halves]
        for one in threads:
            one.start()
        for one in threads:
            one.join(PATIENCE)
        log = executor.post((tasks.recall,)).result(PATIENCE)
    assert log == [number for number in range(1500) if not said[number]]
    assert [future.cancelled() for future in posted] == said


def test_a_thousand_cancelled_messages_are_skipped(kind, gate):
    with kind.start(actors.Do) as executor:
        executor.post((tasks.pause, gate))
        gate.reached()
        waiting = [executor.post((tasks.remember, number)) for number in range(1000)]
        last = executor.post((tasks.recall,))
        assert all(future.cancel() for future in waiting)
        gate.open()
        assert last.result(PATIENCE) == []
