"""Streams of pools: one occupies its member only."""

import concurrent.futures
import itertools

import pytest

import actors
import futures_actors
import tasks
from gates import PATIENCE


def test_a_stream_occupies_its_member_only(start_pool, gate):
    counts = (tasks.call, itertools.count)
    with start_pool(2) as pool, pool.stream(counts, ahead=1) as stream:
        assert next(stream) == 0
        waiting = pool.post((tasks.pause, gate))
        gate.reached()
        # Longer than it takes to find out that a thread waits for itself.
        try:
            waiting.result(0.8)
        except futures_actors.ActorDeadlock:
            raise AssertionError("another member handles the message") from None
        except concurrent.futures.TimeoutError:
            pass
        gate.open()
        assert waiting.result(PATIENCE) == "passed"


def test_the_end_of_a_pool_closes_the_streams_of_the_thread_that_waits():
    with actors.ThreadDo.pool(2).executor() as pool:
        streams = [pool.stream((tasks.call, itertools.count))]
        # It must begin before those for one member, which could occupy both.
        assert next(streams[0]) == 0
        streams += [
            pool.members[0].stream((tasks.call, itertools.count)),
            pool.keyed("key").stream((tasks.call, itertools.count)),
        ]
    assert all(stream.future.done() for stream in streams)
    assert streams[0].future.cancelled()


def ask_behind(how):
    """Start a pool of two and have this thread hold streams as `how` says; wait for a message."""
    with actors.ThreadDo.pool(2).executor() as pool:
        first, second = pool.members
        streams = [first.stream((tasks.call, itertools.count), ahead=1)]
        assert next(streams[0]) == 0
        if how == "both":
            streams.append(second.stream((tasks.call, itertools.count), ahead=1))
            assert next(streams[1]) == 0
        target = first if how == "own" else pool
        try:
            target.post((tasks.echo, 1)).result(PATIENCE)
        except futures_actors.ActorDeadlock:
            return "refused"
        finally:
            for stream in streams:
                stream.close()
        return "answered"


@pytest.mark.parametrize("how", ["own", "both"])
def test_a_message_behind_streams_of_members_that_this_thread_takes_is_refused(how):
    assert ask_behind(how) == "refused"


def test_a_message_that_a_free_member_handles_is_not_behind_a_stream():
    assert ask_behind("one") == "answered"
