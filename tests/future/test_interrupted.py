"""A signal handler raises while a message is being ended: the message ends, all its waiters are
told, and the interrupted thread gets the exception.

Handlers run on the main thread, between any two steps of Python code. Here a condition, a callback
or an unpickling raises what such a handler would, at the very moment.
"""

import _thread
import logging
import os
import sys
import threading
from concurrent import futures

import pytest

import actors
import futures_actors
import tasks
from gates import PATIENCE


class Interrupts:
    """Stands for a function, and is interrupted the first times that it is called."""

    def __init__(self, function, times=1):
        self.function = function
        self.times = times

    def __call__(self, *args):
        if self.times > 0:
            self.times -= 1
            raise KeyboardInterrupt
        return self.function(*args)


def interrupt_acquire(future, times=1):
    condition = future._condition
    condition.acquire = Interrupts(condition.acquire, times)


class Waiter(threading.Thread):
    """Waits for the futures by `concurrent.futures.wait`, which uses their conditions."""

    def __init__(self, *waited):
        super().__init__()
        self.waited = waited
        self.done = None
        self.start()
        while not all(future._waiters for future in waited):
            pass

    def run(self):
        self.done = futures.wait(self.waited, PATIENCE).done

    def told(self):
        self.join()
        return self.done


@pytest.fixture
def busy(kind, gate):
    """An actor that has begun on a message, and three that wait."""
    with kind.start(actors.Do) as executor:
        first = executor.post((tasks.pause, gate))
        gate.reached()
        yield executor, [executor.post((tasks.echo, number)) for number in range(3)]
        gate.open()
        if not first.cancelled():
            futures.wait([first], PATIENCE)


def test_ctrl_c_ends_the_wait_for_an_answer(busy):
    """The handler runs while the main thread waits, also where a signal ends no wait."""
    executor, _ = busy
    with pytest.raises(KeyboardInterrupt):
        threading.Timer(0.1, _thread.interrupt_main).start()
        executor.post((tasks.echo, 1)).result(PATIENCE)


def test_cancel_that_is_interrupted_has_cancelled(busy):
    _, (future, *_) = busy
    called = []
    future.add_done_callback(called.append)
    waiter = Waiter(future)
    interrupt_acquire(future, times=2)
    with pytest.raises(KeyboardInterrupt):
        future.cancel()
    assert future.cancelled()
    assert called == [future]
    assert waiter.told() == {future}
    with future._condition:  # it can be acquired: it was released
        pass


def test_shutdown_that_is_interrupted_has_cancelled_all(busy):
    executor, pending = busy
    waiter = Waiter(*pending)
    interrupt_acquire(pending[1])
    with pytest.raises(KeyboardInterrupt):
        executor.shutdown(wait=False, cancel_futures=True)
    assert all(future.cancelled() for future in pending)
    assert waiter.told() == set(pending)


def test_kill_that_is_interrupted_has_ended_all(thread, gate):
    """A thread actor's messages fail in the thread that kills it."""
    with thread.start(actors.Do) as executor:
        executor.post((tasks.pause, gate))
        gate.reached()
        pending = [executor.post((tasks.echo, number)) for number in range(3)]
        waiter = Waiter(*pending)
        interrupt_acquire(pending[1])
        with pytest.raises(KeyboardInterrupt):
            executor.kill()
        assert waiter.told() == set(pending)
        assert all(
            isinstance(future.exception(0), futures_actors.BrokenActor) for future in pending
        )
        gate.open()


def test_callback_that_is_interrupted_by_a_kill_leaves_the_others(thread, gate):
    with thread.start(actors.Do) as executor:
        executor.post((tasks.pause, gate))
        gate.reached()
        pending = [executor.post((tasks.echo, number)) for number in range(2)]
        called = []
        for future in pending:
            future.add_done_callback(Interrupts(called.append))
            future.add_done_callback(called.append)
        with pytest.raises(KeyboardInterrupt):
            executor.kill()
        assert called == pending
        gate.open()


def test_set_result_that_is_interrupted_has_set_it():
    future = futures_actors.ActorFuture()
    called = []
    future.add_done_callback(Interrupts(called.append))
    future.add_done_callback(called.append)
    waiter = Waiter(future)
    interrupt_acquire(future)
    with pytest.raises(KeyboardInterrupt):
        future.set_result(7)
    assert future.result(0) == 7
    assert called == [future]
    assert waiter.told() == {future}


def test_a_condition_that_is_broken_for_good_keeps_no_outcome_back():
    future = futures_actors.ActorFuture()
    interrupt_acquire(future, times=sys.maxsize)
    with pytest.raises(KeyboardInterrupt):
        future.set_result(7)
    assert future._state == "FINISHED"
    assert future._result == 7


def test_waiter_that_is_interrupted_leaves_the_others():
    future = futures_actors.ActorFuture()
    waiters = [Waiter(future), Waiter(future)]
    while len(future._waiters) < 2:
        pass
    told = future._waiters[0]
    told.add_result = Interrupts(told.add_result)
    with pytest.raises(KeyboardInterrupt):
        future.set_result(7)
    with future._condition:
        told.add_result(future)
    assert [waiter.told() for waiter in waiters] == [{future}, {future}]


def test_what_an_engine_cannot_raise_is_shown(kind, gate, monkeypatch):
    """A thread other than the main one ends the message, so no signal handler can interrupt it."""
    shown = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: shown.append(what.exc_type))
    with kind.start(actors.Do) as executor:
        future = executor.post((tasks.pause, gate))
        gate.reached()
        waiter = Waiter(future)
        interrupt_acquire(future)
        gate.open()
        assert waiter.told() == {future}
        assert future.result(PATIENCE) == "passed"
    assert shown == [KeyboardInterrupt]


def test_what_a_callback_raises_in_an_engine_is_logged(kind, gate, caplog):
    called = threading.Event()
    with kind.start(actors.Do) as executor:
        future = executor.post((tasks.pause, gate))
        future.add_done_callback(Interrupts(print))
        future.add_done_callback(lambda _: called.set())
        gate.open()
        assert called.wait(PATIENCE)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("concurrent.futures", logging.ERROR)
    assert record.exc_info[0] is KeyboardInterrupt


# Opening an answer.


class Opens:
    """An answer whose unpickling is interrupted so many times, in the process that made it."""

    times = 0
    home = os.getpid()

    def __reduce__(self):
        return reopen, (self.home,)


def reopen(home):
    if os.getpid() == home and Opens.times > 0:
        Opens.times -= 1
        raise KeyboardInterrupt
    return "opened"


def answer_what_opens(actor, home):
    answer = Opens()
    answer.home = home
    return answer


@pytest.mark.parametrize("ask", ["result", "exception"])
def test_an_answer_whose_opening_is_interrupted_can_be_opened_again(process, monkeypatch, ask):
    with process.start(actors.Do) as executor:
        future = executor.post((answer_what_opens, os.getpid()))
        monkeypatch.setattr(Opens, "times", 1)
        with pytest.raises(KeyboardInterrupt):
            getattr(future, ask)(PATIENCE)
        assert future.done()
        assert future.result(0) == "opened"
