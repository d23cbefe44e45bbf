"""What holds for an executor holds for a reference in another process.

Tests of the contract run here in an actor, which knows another actor of the program by a reference.
"""

import asyncio
import contextlib
import inspect
import os
import threading
from concurrent import futures

import pytest
import test_request_cancel as requests
import test_stream_closing as closing
import test_stream_takers as takers
import test_streams as contract

import actors
import programs
import streaming
import tasks
from futures_actors import ActorDied, ProcessActor, ThreadActor, current_message
from gates import PATIENCE


class Elsewhere:
    """Stands for the kinds in a test that runs in an actor."""

    #: The actor is not in this process.
    is_process = True

    def __init__(self, ref):
        self.ref = ref
        self.prefix = ref.name.removesuffix("Do")

    def start(self, _body):
        return contextlib.nullcontext(self.ref)


def run_here(_actor, test, ref, *args):
    # pytest's exceptions cannot cross.
    try:
        test(Elsewhere(ref), *args)
    except pytest.fail.Exception as error:
        raise AssertionError(str(error)) from error


@pytest.fixture
def elsewhere(process):
    """Run a test in an actor: `elsewhere(test, target, ...)`."""
    with process.start(actors.Do) as asker:
        # It first imports pytest there.
        patience = programs.PATIENCE
        yield lambda test, *args: asker.post((run_here, test, *args)).result(patience)


@pytest.fixture
def target(local_kind):
    with local_kind.start(actors.Do) as executor:
        yield executor


@pytest.fixture
def streams(stream_kind):
    with stream_kind.start(actors.Do) as executor:
        yield executor


# Asking a message to stop.


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
    os.kill(os.getpid(), tasks.KILL)


# Streams.


@pytest.mark.parametrize(
    "test",
    [
        contract.test_items_arrive_in_order_each_once_and_then_the_end,
        contract.test_any_iterator_streams,
        contract.test_a_generator_that_was_posted_is_refused_and_the_error_names_stream,
        closing.test_dropping_a_stream_ends_the_generator,
        closing.test_what_a_closed_generator_returns_or_raises_is_its_outcome,
        closing.test_a_stream_that_has_ended_keeps_its_items_until_it_is_closed,
        takers.test_two_consumers_share_the_items,
        takers.test_waiting_behind_a_stream_that_waits_for_the_same_thread_is_a_deadlock,
        takers.test_waiting_behind_a_stream_that_another_thread_takes_is_no_deadlock,
    ],
)
def test_streams(elsewhere, streams, test, tmp_path):
    paths = [tmp_path] if "tmp_path" in inspect.signature(test).parameters else []
    elsewhere(test, streams, *paths)


@pytest.mark.parametrize(
    "test",
    [
        closing.test_a_stream_whose_message_was_cancelled_raises_that_once,
        closing.test_closing_wakes_a_thread_that_waits_for_an_item,
        closing.test_a_handler_sees_that_its_stream_was_closed,
        contract.test_next_waits_as_long_as_it_is_told,
        takers.test_async_for_takes_every_item_and_does_not_block_the_loop,
        takers.test_a_cancelled_anext_loses_no_item,
    ],
)
def test_streams_at_a_gate(elsewhere, streams, test, gate):
    elsewhere(test, streams, gate)


@pytest.mark.parametrize("count", [0, 1, 100])
def test_an_exception_comes_once_after_the_items(elsewhere, streams, count):
    elsewhere(contract.test_an_exception_comes_once_after_the_items, streams, count)


@pytest.mark.parametrize("ahead", [1, 2, 16])
def test_a_generator_is_never_further_ahead_than_it_may(elsewhere, streams, tmp_path, ahead):
    test = contract.test_a_generator_is_never_further_ahead_than_it_may
    elsewhere(test, streams, tmp_path, ahead)


@pytest.mark.parametrize("function", [streaming.a_list, tasks.echo])
def test_a_handler_that_answers_with_no_iterator_is_refused(elsewhere, streams, function):
    test = contract.test_a_handler_that_answers_with_no_iterator_is_refused
    elsewhere(test, streams, function)


@pytest.mark.parametrize("end", [closing.close, closing.leave, closing.ask, closing.leave_async])
def test_closing_ends_the_generator_at_its_next_yield(elsewhere, streams, tmp_path, end):
    test = closing.test_closing_ends_the_generator_at_its_next_yield
    elsewhere(test, streams, tmp_path, end)


@pytest.mark.parametrize("end", [closing.close, closing.leave, closing.ask])
def test_a_stream_that_was_closed_before_its_turn_never_begins(
    elsewhere, streams, gate, tmp_path, end
):
    elsewhere(closed_before_its_turn, streams, gate, tmp_path / "log", end)


def closed_before_its_turn(kind, gate, log, end):
    """As in the contract, but `close` does not wait for the other process."""
    with kind.start(actors.Do) as ref:
        ref.post((tasks.pause, gate))
        gate.reached()
        stream = ref.stream((streaming.endless, str(log)))
        end(stream)
        assert list(stream) == []
        programs.wait_until(stream.future.cancelled)
        gate.open()
        assert ref.post((tasks.echo, 1)).result(PATIENCE) == 1
        assert not log.exists()


def yields_when_asked(_actor):
    yield "first"
    requests.wait_for_request(current_message())
    yield "second"


def closed_at_its_next_yield(kind):
    with kind.start(actors.Do) as ref:
        stream = ref.stream((yields_when_asked,))
        assert next(stream) == "first"
        stream.close()
        assert list(stream) == []
        with pytest.raises(futures.CancelledError):
            stream.future.result(PATIENCE)


def test_a_generator_that_runs_is_closed_at_its_next_yield(elsewhere, target):
    elsewhere(closed_at_its_next_yield, target)


@pytest.mark.parametrize("seed", range(4))
def test_random_histories_of_takes_and_ends_agree_with_a_list(elsewhere, streams, seed):
    test = contract.test_random_histories_of_takes_and_ends_agree_with_a_list
    elsewhere(test, streams, seed)
