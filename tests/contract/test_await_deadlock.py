"""Awaits in handlers of async actors that would never end."""

import asyncio
from concurrent import futures

import pytest

import asynchronous
import tasks
from futures_actors import ActorDeadlock, ThreadActor, current_actor
from gates import PATIENCE


def start(number, **options):
    actor = asynchronous.ThreadAwaits.options
    return [actor(name=f"P{n}", **options).executor() for n in range(number)]


def end(executors):
    for executor in executors:
        executor.shutdown()


async def pass_on(_actor, way):
    """Ask the first actor of the way to pass it on."""
    first, *rest = way
    return await first.post((pass_on, rest))


async def echo_of_itself(_actor):
    return await current_actor().post((tasks.echo, 1))


def test_a_handler_that_awaits_its_own_actor_is_told():
    (executor,) = start(1)
    error = executor.post((echo_of_itself,)).exception(PATIENCE)
    assert type(error) is ActorDeadlock
    assert error.circle == ("P0",)
    assert "would wait for itself" in str(error)
    assert executor.post((tasks.echo, "lives on")).result(PATIENCE) == "lives on"
    end([executor])


def test_a_handler_may_await_its_own_actor_while_that_has_a_free_place():
    (executor,) = start(1, max_concurrency=2)
    assert executor.post((echo_of_itself,)).result(PATIENCE) == 1
    end([executor])


async def nap_of_itself(_actor):
    return await current_actor().post((asyncio_nap, 0.4))


@pytest.mark.parametrize("actor", [asynchronous.ThreadAwaits, asynchronous.ProcessAwaits])
def test_a_long_await_of_its_own_actor_is_no_deadlock_while_that_has_a_free_place(actor):
    with actor.options(max_concurrency=2).executor() as executor:
        # It is looked at meanwhile.
        assert executor.post((nap_of_itself,)).result(PATIENCE) is None


def test_handlers_that_take_every_place_and_await_their_own_actor_are_told(gates):
    async def wait(actor, gate):
        await asynchronous.pause(actor, gate)
        return await current_actor().post((tasks.echo, "answered"))

    (executor,) = start(1, max_concurrency=3)
    held = [gates() for _ in range(3)]
    asked = [executor.post((wait, gate)) for gate in held]
    for gate in held:
        gate.reached()
    for gate in held:
        gate.open()
    ends = [one.exception(PATIENCE) for one in asked]
    # One was refused, which has freed a place: then the others get their answers.
    refused = [error for error in ends if error is not None]
    assert len(refused) == 1
    assert isinstance(refused[0], ActorDeadlock)
    assert {one.result() for one in asked if one.exception() is None} == {"answered"}
    end([executor])


@pytest.mark.parametrize("number", [2, 3, 5])
def test_a_circle_of_awaits_is_found_in_one_of_them(number):
    executors = start(number)
    way = [*executors[1:], executors[0], executors[1]]
    error = executors[0].post((pass_on, way)).exception(PATIENCE)
    assert type(error) is ActorDeadlock
    assert sorted(error.circle) == sorted(executor.name for executor in executors)
    end(executors)


def test_only_one_await_of_a_circle_fails_and_the_handler_that_it_waits_for_goes_on():
    async def wait(actor, other):
        try:
            return await other.post((wait, current_actor()))
        except ActorDeadlock as error:
            return sorted(error.circle)

    executors = start(2)
    assert executors[0].post((wait, executors[1])).result(PATIENCE) == ["P0", "P1"]
    assert [one.stats().failed for one in executors] == [0, 0]
    end(executors)


class Asks(ThreadActor):
    """A plain actor that waits for what it asks."""

    def handle(self, message):
        other, question = message
        return other.post(question).result()


def test_a_circle_of_an_await_and_a_wait_is_found():
    async def ask(actor, other):
        return await other.post((current_actor(), (tasks.echo, 1)))

    (awaits,) = start(1)
    with Asks.executor() as waits:
        error = awaits.post((ask, waits)).exception(PATIENCE)
        assert isinstance(error, ActorDeadlock)
        assert sorted(error.circle) == ["Asks", "P0"]
    end([awaits])


def test_awaits_of_other_tasks_take_no_place(gate):
    """A task beside the handlers awaits for long, and is no reason to refuse a wait."""

    async def begin(actor, slow):
        async def beside():
            return await slow.post((tasks.pause, gate))

        actor.beside = asyncio.ensure_future(beside())

    async def finish(actor):
        return await actor.beside

    async def wait_for_long(actor, asks):
        return await asks.post((current_actor(), (tasks.echo, "answered")))

    awaits, slow = start(2)
    with Asks.executor() as asks:
        awaits.post((begin, slow)).result(PATIENCE)
        gate.reached()
        # Longer than it takes to look at a wait; meanwhile nothing is refused.
        assert awaits.post((asyncio_nap, 0.3)).result(PATIENCE) is None
        assert asks.post((awaits, (tasks.echo, "asked"))).result(PATIENCE) == "asked"
        gate.open()
        assert awaits.post((finish,)).result(PATIENCE) == "passed"
    end([awaits, slow])


async def asyncio_nap(_actor, seconds):
    await asyncio.sleep(seconds)


def test_a_long_await_that_ends_is_no_deadlock(gate):
    async def ask(actor, other):
        return await other.post((tasks.pause, gate))

    one, other = start(2)
    asked = one.post((ask, other))
    gate.reached()
    one_more = one.post((tasks.echo, "behind"))
    # It is looked at meanwhile.
    assert futures.wait([one_more], timeout=0.4).not_done
    gate.open()
    assert asked.result(PATIENCE) == "passed"
    assert one_more.result(PATIENCE) == "behind"
    end([one, other])


def test_a_cancelled_await_still_asks_the_handler_to_stop(gate):
    async def ask(actor, other):
        return await other.post((asynchronous.wait_for_ever, gate))

    one, other = start(2, max_concurrency=2)
    asking = one.post((ask, other))
    gate.reached()
    assert asking.request_cancel()
    with pytest.raises(futures.CancelledError):
        asking.result(PATIENCE)
    assert asking.cancelled()
    assert other.post((tasks.echo, 1)).result(PATIENCE) == 1
    end([one, other])
