"""What holds for an executor holds for a reference in another process.

Tests of the contract run here in an actor, which knows another actor of the program by a reference.
"""

import asyncio
import contextlib
import os
import signal
import threading
from concurrent import futures

import pytest
import test_request_cancel as requests

import actors
import tasks
from futures_actors import ActorDied, ProcessActor, ThreadActor, current_message
from gates import PATIENCE


class Elsewhere:
    """Stands for the kinds in a test that runs in an actor."""

    def __init__(self, ref):
        self.ref = ref

    def start(self, _body):
        return contextlib.nullcontext(self.ref)


def run_here(_actor, test, ref, *args):
    test(Elsewhere(ref), *args)


@pytest.fixture
def elsewhere(process):
    """Run a test in an actor: `elsewhere(test, target, ...)`."""
    with process.start(actors.Do) as asker:
        yield lambda test, *args: asker.post((run_here, test, *args)).result(PATIENCE)


@pytest.fixture(params=["thread", "process"])
def target(request):
    with request.getfixturevalue(request.param).start(actors.Do) as executor:
        yield executor


@pytest.mark.parametrize(
    "test",
    [
        requests.test_a_running_handler_sees_that_it_was_asked,
        requests.test_what_has_not_begun_is_cancelled_exactly,
        requests.test_waiters_hear_of_a_handler_that_stops_as_asked,
        requests.test_a_coroutine_that_awaits_is_cancelled_by_a_handler_that_stops_as_asked,
        requests.test_another_exception_of_a_handler_that_was_asked_is_its_outcome,
        requests.test_the_message_may_be_handed_to_other_threads,
    ],
)
def test_request_cancel(elsewhere, target, gate, test):
    elsewhere(test, target, gate)


@pytest.mark.parametrize("task", [requests.until_cancelled, requests.raise_asyncio])
def test_a_handler_that_stops_as_asked_makes_its_future_cancelled(elsewhere, target, gate, task):
    elsewhere(stops_as_asked, target, gate, task)
    stats = target.stats()
    assert (stats.handled, stats.failed, stats.cancelled) == (1, 0, 1)


def stops_as_asked(kind, gate, task):
    with kind.start(actors.Do) as ref:
        told = threading.Event()
        future = ref.post((task, gate))
        gate.reached()
        future.add_done_callback(lambda _: told.set())
        assert future.running()
        assert future.request_cancel() is True
        gate.open()
        with pytest.raises(futures.CancelledError):
            future.result(PATIENCE)
        assert future.cancelled()
        assert told.wait(PATIENCE)
        # Its True says that `handle` never began.
        assert future.cancel() is False
        assert future.request_cancel() is False
        assert ref.post((tasks.echo, "lives on")).result(PATIENCE) == "lives on"


def test_request_cancel_tells_the_truth_in_a_race(elsewhere, target):
    elsewhere(requests.test_request_cancel_tells_the_truth_in_a_race, target)


class Awaits:
    async def handle(self, gate):
        gate.knock()
        await asyncio.Event().wait()


class ThreadAwaits(Awaits, ThreadActor):
    pass


class ProcessAwaits(Awaits, ProcessActor):
    pass


@pytest.mark.parametrize("cls", [ThreadAwaits, ProcessAwaits])
def test_a_coroutine_of_an_async_actor_is_cancelled(elsewhere, gate, cls):
    with cls.executor() as target:
        elsewhere(cancels_a_coroutine, target, gate)


def cancels_a_coroutine(kind, gate):
    with kind.start(Awaits) as ref:
        future = ref.post(gate)
        gate.reached()
        assert future.request_cancel() is True
        with pytest.raises(futures.CancelledError):
            future.result(PATIENCE)
        assert future.cancel() is False


def test_a_target_that_dies_after_it_was_asked_fails_the_message(elsewhere, process, gate):
    with process.start(actors.Do) as target:
        elsewhere(dies_when_asked, target, gate)


def dies_when_asked(kind, gate):
    with kind.start(actors.Do) as ref:
        future = ref.post((die_when_asked, gate))
        gate.reached()
        assert future.request_cancel() is True
        gate.open()
        with pytest.raises(ActorDied) as caught:
            future.result(PATIENCE)
        assert caught.value.started
        assert future.request_cancel() is False


def die_when_asked(_actor, gate):
    gate.wait()
    requests.wait_for_request(current_message())
    os.kill(os.getpid(), signal.SIGKILL)
