"""Waits for an item that would never come: the actor that streams waits for the one that takes."""

import pytest

import actors
import tasks
from futures_actors import ActorDeadlock, current_actor
from gates import PATIENCE

pytestmark = pytest.mark.not_on_ray("a Ray actor can have no reference to another actor of ours")


def yields_one_and_asks(actor, other):
    """Yield once, and then wait for the answer of the actor that takes."""
    yield "first"
    yield other.post((tasks.echo, "answer")).result(PATIENCE)


def take_all(actor, streamer, how):
    """Take from the other actor, which asks this one, or its pool, for the second item."""
    me = current_actor()
    stream = streamer.stream((yields_one_and_asks, me.pool or me))
    if how == "next":
        return next(stream), next(stream)
    if how == "timeout":
        return stream.next(PATIENCE), stream.next(PATIENCE)
    return list(stream)


@pytest.mark.parametrize("how", ["next", "timeout", "for"])
def test_a_circle_through_a_stream_is_found(stream_kind, thread_kind, how):
    """Either of the two waits is refused: that for the item, or that of the generator."""
    with (
        stream_kind.start(actors.Do) as streamer,
        thread_kind.start(actors.Do) as taker,
    ):
        error = taker.post((take_all, streamer, how)).exception(PATIENCE)
        assert type(error) is ActorDeadlock
        assert sorted(error.circle) == sorted([streamer.name, taker.name])
        for executor in (streamer, taker):
            assert executor.post((tasks.echo, "lives on")).result(PATIENCE) == "lives on"


@pytest.mark.parametrize("size", [1, 2])
def test_a_circle_through_a_stream_and_a_pool_is_found(stream_kind, thread, size):
    """Every member of the pool waits for an item, and the actor that streams for the pool."""
    with (
        stream_kind.start(actors.Do) as streamer,
        thread.actor(actors.Do).pool(size).executor() as pool,
    ):
        taking = [pool.post((take_all, streamer, "next")) for _ in range(size)]
        errors = [one.exception(PATIENCE) for one in taking]
        found = [error for error in errors if error is not None]
        assert found
        for error in found:
            assert type(error) is ActorDeadlock
            assert streamer.name in error.circle
        assert pool.post((tasks.echo, "lives on")).result(PATIENCE) == "lives on"


def test_an_actor_that_takes_from_its_own_stream_is_told_at_once(thread_kind):
    with thread_kind.start(actors.Do) as executor:
        error = executor.post((take_from_itself,)).exception(PATIENCE)
        assert type(error) is ActorDeadlock
        assert error.circle == (executor.name,)


def take_from_itself(actor):
    with current_actor().stream((yields_one_and_asks, None)) as stream:
        return next(stream)
