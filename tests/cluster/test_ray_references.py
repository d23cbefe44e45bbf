"""References of Ray actors in actors of this machine: threads, processes, and their event loops."""

import os
import signal

import numpy as np
import pytest

import actors
import futures_actors
import programs
import relays
import streaming
import tasks
from futures_actors import ActorDied
from gates import PATIENCE
from ray_actors import RayDo


@pytest.fixture(params=["Thread", "Process"])
def asker(request):
    """An actor of this machine, which a test has ask a Ray actor."""
    with actors.actor_class(actors.Do, request.param).executor() as executor:
        yield executor


@pytest.fixture
def target():
    with RayDo.executor() as executor:
        yield executor


def test_every_kind_of_message_gets_to_a_ray_actor(asker, target, tmp_path):
    path = tmp_path / "told"
    for reference in (target, target.ref()):
        answers = asker.post((relays.every_kind, reference, path)).result(PATIENCE)
        assert answers == [(3, 1), "method"]
        assert path.read_text() == "told"
        path.unlink()


def where(_actor, ref):
    home = ref.submit(os.getpid).result(PATIENCE)
    return ref.name, ref.is_alive(), home


def test_a_reference_knows_its_name_and_whether_the_actor_lives(asker, target):
    name, is_alive, pid = asker.post((where, target)).result(PATIENCE)
    assert (name, is_alive, pid) == (target.name, True, target.stats().pid)
    target.shutdown()
    assert asker.post((is_alive_there, target.ref())).result(PATIENCE) is False


def is_alive_there(_actor, ref):
    return ref.is_alive()


def test_messages_of_one_actor_to_a_ray_actor_keep_their_order(asker, target):
    asked = asker.post((relays.all_in_order, target, 100))
    assert asked.result(PATIENCE) == [*range(100)]


@pytest.mark.parametrize("count", [100, 1_000_000])
def test_arrays_cross_to_a_ray_actor_and_back(asker, target, count):
    array = np.arange(count, dtype=np.float64)
    doubled = asker.post((relays.ask, target, (relays.double, array))).result(PATIENCE)
    assert np.array_equal(doubled, array * 2)


def test_an_exception_of_a_ray_actor_crosses_with_its_traceback(asker, target):
    asked = asker.post((relays.error_of, target, (tasks.fail, KeyError("reason"))))
    kind, text, cause = asked.result(PATIENCE)
    assert (kind, text) == (KeyError, "'reason'")
    assert "in fail" in cause


def test_cancel_and_running_of_a_ray_actors_message_are_exact_elsewhere(asker, target, gate):
    cancelled = asker.post((relays.cancel_around, target, gate)).result(PATIENCE)
    assert cancelled == ((True, False, True, False, True, True, False), "passed")
    assert target.post((tasks.recall,)).result(PATIENCE) == []


def take(_actor, ref, count, ahead):
    stream = ref.stream((streaming.numbers, count, "answer"), ahead=ahead)
    return [*stream], stream.future.result(PATIENCE)


@pytest.mark.parametrize("ahead", [1, 16])
def test_an_actor_takes_from_the_stream_of_a_ray_actor(asker, target, ahead):
    items, answer = asker.post((take, target, 50, ahead)).result(PATIENCE)
    assert (items, answer) == ([*range(50)], "answer")


def begin_and_close(_actor, ref, path):
    with ref.stream((streaming.endless, path), ahead=2) as stream:
        taken = next(stream), next(stream)
    return taken, [*stream]


def test_an_actor_closes_the_stream_of_a_ray_actor(asker, target, tmp_path):
    log = tmp_path / "log"
    asked = asker.post((begin_and_close, target, str(log)))
    assert asked.result(PATIENCE) == ((0, 1), [])
    programs.wait_until(lambda: streaming.lines(log)[-1:] == ["ended"])
    assert target.post((tasks.echo, "lives on")).result(PATIENCE) == "lives on"


def dies(_actor, ref):
    running = ref.post((tasks.kill, signal.SIGKILL))
    behind = ref.post((tasks.echo, 1))
    errors = running.exception(PATIENCE), behind.exception(PATIENCE)
    return [(type(error), error.started) for error in errors]


def test_the_death_of_a_ray_actor_ends_each_message_that_another_actor_sent(asker, target):
    found = asker.post((dies, target)).result(PATIENCE)
    assert found[0] == (ActorDied, True)
    assert found[1][0] is ActorDied


def send_itself(_actor, ref):
    error = ref.post((tasks.echo, futures_actors.current_actor())).exception(PATIENCE)
    return type(error), str(error)


def test_an_actor_cannot_send_its_own_reference_to_a_ray_actor(asker, target):
    kind, text = asker.post((send_itself, target)).result(PATIENCE)
    assert kind is TypeError
    assert "handles of Ray's own actors" in text


def stop(_actor, ref, gate):
    """Ask a plain handler of a Ray actor to stop, which cannot be."""
    running = ref.post((tasks.pause, gate))
    gate.reached()
    waiting = ref.post((tasks.echo, 1))
    try:
        said = running.request_cancel()
    except NotImplementedError:
        said = False
    cancelled = waiting.request_cancel()
    gate.open()
    return said, cancelled, running.result(PATIENCE)


def test_only_what_a_ray_actor_has_not_begun_is_stopped(asker, target, gate):
    assert asker.post((stop, target, gate)).result(PATIENCE) == (False, True, "passed")


def test_a_ray_actor_is_a_constructor_argument(process, target):
    with process.start(actors.Holder, target) as holder:
        asked = holder.post((relays.ask_held, (tasks.echo, 7)))
        assert asked.result(PATIENCE) == 7
