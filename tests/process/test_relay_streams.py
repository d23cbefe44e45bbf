"""Streams by a reference in another process: deaths, arrays, kills, circles and the exit."""

import os
import signal
import threading
import time

import pytest

import actors
import observe
import programs
import streaming
import tasks
from futures_actors import ActorDeadlock, ActorDied, BrokenActor, current_actor
from gates import PATIENCE

try:
    import numpy as np
except ImportError:
    np = None


def arrays(_actor, count, size):
    for number in range(count):
        yield np.full(size, number % 251, np.uint8)


def take_arrays(_actor, ref, count, size, ahead):
    return [
        (int(array[0]), len(array), array.flags.writeable)
        for array in ref.stream((arrays, count, size), ahead=ahead)
    ]


@observe.needs_numpy
@pytest.mark.parametrize("size", [1000, 100_000, 2 << 20])
def test_arrays_are_streamed_from_one_actor_to_another(asker, target, size):
    taken = asker.post((take_arrays, target, 40, size, 4)).result(PATIENCE)
    assert taken == [(number, size, True) for number in range(40)]


def fail_on_loading():
    raise LookupError("not here")


class Unloadable:
    def __reduce__(self):
        return fail_on_loading, ()


def with_bad_items(_actor, path):
    try:
        yield 1
        try:
            yield threading.Lock()  # it cannot be pickled
        except TypeError:
            yield "caught"
        while True:
            yield Unloadable()
    finally:
        streaming.note(path, "ended")


def take_bad_items(_actor, ref, path):
    stream = ref.stream((with_bad_items, path), ahead=1)
    taken = [next(stream), next(stream)]
    with pytest.raises(LookupError, match="not here"):
        next(stream)
    return [*taken, *stream]


def test_an_item_that_cannot_cross_is_raised_where_it_fails(asker, target, tmp_path):
    path = tmp_path / "log"
    asked = asker.post((take_bad_items, target, str(path)))
    assert asked.result(PATIENCE) == [1, "caught"]
    programs.wait_until(lambda: streaming.lines(path) == ["ended"])


def numbers_and_die(_actor, count):
    yield from range(count)
    os.kill(os.getpid(), tasks.KILL)


def ask_both(ref, gate, first, second):
    """Ask the other actor for both before it begins the first, of which it may die."""
    ref.post((tasks.pause, gate))
    asked = first(), second()
    # The parent has them when it has answered this.
    assert ref.is_alive()
    gate.open()
    return asked


def take_until_death(_actor, ref, gate, count):
    stream, behind = ask_both(
        ref,
        gate,
        lambda: ref.stream((numbers_and_die, count), ahead=1000),
        lambda: ref.stream((streaming.numbers, 3)),
    )
    taken = []
    with pytest.raises(ActorDied) as caught:
        for item in stream:
            taken.append(item)
    assert list(stream) == []
    with pytest.raises((ActorDied, BrokenActor)) as other:
        next(behind)
    return taken, caught.value.started, other.value.started


@pytest.mark.parametrize("count", [0, 1, 3, 200])
def test_all_that_was_yielded_before_a_death_is_handed_out(process, asker, gate, count):
    with process.start(actors.Do) as target:
        asked = asker.post((take_until_death, target, gate, count))
        taken, started, other_started = asked.result(PATIENCE)
    assert taken == list(range(count))
    assert started
    assert not other_started


def begin_and_end(actor, ref, path, how):
    streams = [ref.stream((streaming.endless, path), ahead=3) for _ in range(2)]
    assert [next(streams[0]), next(streams[0])] == [0, 1]
    if how == "killed":
        os.kill(os.getpid(), tasks.KILL)
    if how == "kept":
        actor.streams = streams


@pytest.mark.parametrize("how", ["killed", "kept", "dropped"])
def test_a_stream_ends_with_the_process_that_takes_from_it(process, target, tmp_path, how):
    path = tmp_path / "log"
    with process.start(actors.Do) as asker:
        asker.post((begin_and_end, target, str(path), how)).exception(PATIENCE)
    programs.wait_until(lambda: streaming.lines(path)[-1:] == ["ended"])
    assert target.post((tasks.echo, "lives on")).result(PATIENCE) == "lives on"
    # The second one may have begun when the first one ended, and has ended, too.
    lines = streaming.lines(path)
    assert lines.count("ended") == lines.count("0")
    stats = target.stats()
    assert (stats.depth, stats.age) == (0, None)


def yields_references(_actor):
    for _ in range(3):
        yield current_actor()


def take_references(_actor, ref):
    found = list(ref.stream((yields_references,)))
    return found, [one.post((tasks.echo, 1)).result(PATIENCE) for one in found]


def test_items_may_hold_references(asker, target):
    found, answers = asker.post((take_references, target)).result(PATIENCE)
    assert found == [target] * 3
    assert answers == [1] * 3


def asks_its_taker(_actor, ref):
    yield 1
    yield ref.post((tasks.echo, 2)).result()


def take_in_a_circle(_actor, ref):
    stream = ref.stream((asks_its_taker, current_actor()))
    assert next(stream) == 1
    try:
        next(stream)
    except ActorDeadlock as error:
        return sorted(error.circle)


def test_a_taker_whose_generator_waits_for_it_is_a_circle(process):
    with (
        process.actor(actors.Do).options(name="one").executor() as one,
        process.actor(actors.Do).options(name="two").executor() as two,
    ):
        asked = one.post((take_in_a_circle, two))
        assert asked.result(PATIENCE) == ["one", "two"]


def stream_itself(_actor):
    with pytest.raises(ActorDeadlock):
        next(current_actor().stream((streaming.numbers, 3)))


def test_a_stream_of_itself_is_a_deadlock(asker):
    asker.post((stream_itself,)).result(PATIENCE)


def ask_beside_a_stream(_actor, ref):
    """Wait for long while items of a stream wait to be taken."""
    with ref.stream((streaming.numbers, 100), ahead=2) as stream:
        assert next(stream) == 0
        return ref.post((tasks.nap, 1)).result()


def test_an_actor_that_has_a_free_place_is_not_said_to_wait_for_its_taker(asker, start_pool):
    with start_pool(2) as pool:
        assert asker.post((ask_beside_a_stream, pool)).result(PATIENCE) == 1


def take_by_proxy(_actor, ref):
    return list(ref.stream_proxy(ahead=2).handle((streaming.numbers, 20)))


def test_a_stream_proxy_works_elsewhere(asker, target):
    assert asker.post((take_by_proxy, target)).result(PATIENCE) == [*range(20)]


def take_from_members(_actor, pool):
    streams = [pool.stream((streaming.numbers, 100)) for _ in range(6)]
    keyed = pool.keyed("key").stream((streaming.numbers, 10))
    return [sum(stream) for stream in streams], sum(keyed)


def test_the_members_of_a_pool_stream_to_another_process(asker, start_pool):
    with start_pool(3) as pool:
        taken = asker.post((take_from_members, pool)).result(PATIENCE)
        assert taken == ([sum(range(100))] * 6, sum(range(10)))


@pytest.mark.parametrize("restarts", [0, 1])
def test_a_stream_that_has_not_begun_goes_to_the_next_process(process, asker, gate, restarts):
    actor = process.actor(actors.Do).options(max_restarts=restarts)
    with actor.executor() as target:
        found = asker.post((take_from_the_next, target, gate)).result(PATIENCE)
    assert found == ([0, 1, 2] if restarts else "died")


def take_from_the_next(_actor, ref, gate):
    _, stream = ask_both(
        ref,
        gate,
        lambda: ref.post((tasks.exit_at_once, 1)),
        lambda: ref.stream((streaming.numbers, 3)),
    )
    try:
        return list(stream)
    except ActorDied as error:
        assert not error.started
        return "died"


def stop_and_go_on(_actor, ref, pid, count):
    """Take while the other process is stopped now and then."""
    taken = []
    for item in ref.stream((streaming.numbers, count), ahead=4):
        taken.append(item)
        if item % 100 == 0:
            os.kill(pid, signal.SIGSTOP)
            time.sleep(0.001)
            os.kill(pid, signal.SIGCONT)
    return taken


@observe.on_unix
def test_a_generator_that_is_stopped_and_goes_on_loses_nothing(process, asker):
    with process.start(actors.Do) as target:
        asked = asker.post((stop_and_go_on, target, target.stats().pid, 1000))
        assert asked.result(PATIENCE) == [*range(1000)]


PROGRAM = """
import itertools, sys
from futures_actors import ProcessActor, ThreadActor

class Streams({base}):
    def handle(self, _message):
        try:
            yield from itertools.count()
        finally:
            print("ended", flush=True)

class Holds(ProcessActor):
    def handle(self, ref):
        self.stream = ref.stream(0)
        return [next(self.stream), next(self.stream)]

if __name__ == "__main__":
    streams, holds = Streams.executor(), Holds.executor()
    print(holds.post(streams).result(), flush=True)
"""


@pytest.mark.parametrize("base", ["ThreadActor", "ProcessActor"])
def test_the_interpreter_exits_although_an_actor_holds_a_stream(script, base):
    ended = script(PROGRAM.format(base=base))
    ended.check()
    assert ended.out.splitlines() == ["[0, 1]", "ended"]
