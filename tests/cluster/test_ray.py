"""What only actors on a Ray cluster do: where they live, how they are lost, what their
options are. Each test
has a real cluster (`make test-ray`), whose nodes are processes of this machine."""

import logging
import math
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import ray
from ray.exceptions import ActorUnavailableError, ObjectStoreFullError, RayTaskError

import actors
import futures_actors.ray
import programs
import tasks
from futures_actors import ActorDied, ActorInitError, BrokenActor
from futures_actors.ray import RayActorExecutor
from gates import PATIENCE
from ray_actors import RayCounter, RayDiesAtBirth, RayDo, RayEcho

MIB = 1 << 20


def node_id(actor):
    return ray.get_runtime_context().get_node_id()


@pytest.fixture
def node(cluster):
    """A second node, or more; each is killed at the end, if it still lives."""
    added = []

    def add(name):
        added.append(cluster.add(name))
        return added[-1]

    yield add
    for one in added:
        if one.any_processes_alive():
            cluster.kill(one)
    # Until Ray has noticed, it may place an actor there.
    programs.wait_until(lambda: sum(one["Alive"] for one in ray.nodes()) == 1, 40)


def test_the_executor_is_of_the_named_class(ray_kind):
    with ray_kind.start(actors.Echo) as executor:
        assert type(executor) is RayActorExecutor
        pid = executor.post(None).result(PATIENCE) or executor.stats().pid
        assert repr(executor) == f"<RayActorExecutor of RayEcho pid={pid} running>"
        assert pid != os.getpid()


def test_actors_live_where_their_options_say_and_die_with_their_node(cluster, node):
    left, right = node("left"), node("right")
    options = {"left": RayDo.options(resources={"left": 1})}
    options["right"] = RayDo.options(resources={"right": 1})
    with options["left"].executor() as stays:
        executor = options["right"].executor()
        here = ray.get_runtime_context().get_node_id()
        places = [one.post((node_id,)).result(PATIENCE) for one in (stays, executor)]
        assert places == [left.node_id, right.node_id]
        assert here not in places
        array = np.arange(MIB)
        assert (executor.post((tasks.echo, array)).result(PATIENCE) == array).all()
        running = executor.post((tasks.nap, 1000))
        waiting = executor.post((tasks.echo, 1))
        programs.wait_until(running.running, PATIENCE)
        cluster.kill(right)
        assert isinstance(running.exception(50), ActorDied)
        assert isinstance(waiting.exception(1), ActorDied)
        assert (running.exception().started, waiting.exception().started) == (True, False)
        with pytest.raises(ActorDied, match="terminated abruptly"):
            executor.post(None)
        executor.shutdown()
        assert stays.post((tasks.echo, "here")).result(PATIENCE) == "here"


def test_a_killed_actor_fails_what_it_had_and_what_it_was_to_have():
    executor = RayDo.executor()
    pid = executor.post((tasks.get_pid,)).result(PATIENCE)
    running = executor.post((tasks.nap, 1000))
    waiting = [executor.post((tasks.echo, number)) for number in range(3)]
    programs.wait_until(running.running, PATIENCE)
    os.kill(pid, signal.SIGKILL)
    errors = [future.exception(PATIENCE) for future in (running, *waiting)]
    assert [type(error) for error in errors] == [ActorDied] * 4
    assert [error.started for error in errors] == [True, False, False, False]
    assert {error.pid for error in errors} == {pid}
    assert len(set(map(id, errors))) == 4
    with pytest.raises(ActorDied):
        executor.post(None)
    executor.shutdown()
    assert executor.stats().state == "broken"


def test_an_idle_actor_that_was_killed_is_found_dead_by_the_next_message():
    executor = RayDo.executor()
    pid = executor.post((tasks.get_pid,)).result(PATIENCE)
    os.kill(pid, signal.SIGKILL)
    assert isinstance(executor.post((tasks.get_pid,)).exception(PATIENCE), ActorDied)
    executor.shutdown()


def test_an_actor_that_dies_in_its_constructor_is_dead():
    with RayDiesAtBirth.executor(3) as executor:
        future = executor.submit(len, ())
        assert isinstance(future.exception(PATIENCE), BrokenActor)


@pytest.mark.parametrize("method", ["kill", "terminate"])
def test_kill_and_terminate_end_it_at_once(method):
    executor = RayDo.executor()
    pid = executor.post((tasks.get_pid,)).result(PATIENCE)
    running = executor.post((tasks.nap, 1000))
    waiting = executor.post((tasks.echo, 1))
    programs.wait_until(running.running, PATIENCE)
    getattr(executor, method)()
    executor.shutdown()
    for future in (running, waiting):
        assert isinstance(future.exception(PATIENCE), ActorDied)
        assert f"{method}() was called" in str(future.exception())
    programs.wait_until(lambda: programs.is_gone(pid), PATIENCE)
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.post(None)


def test_an_actor_that_finds_no_place_fails_its_futures():
    executor = RayDo.options(resources={"nowhere": 1}, start_timeout=0.5).executor()
    future = executor.post((tasks.echo, 1))
    executor.shutdown()
    error = future.exception(0)
    assert isinstance(error, BrokenActor)
    assert "no place in the cluster within 0.5 s" in str(error)


def test_an_actor_without_a_place_can_be_killed():
    executor = RayDo.options(resources={"nowhere": 1}, start_timeout=math.inf).executor()
    future = executor.post((tasks.echo, 1))
    executor.kill()
    executor.shutdown()
    assert isinstance(future.exception(PATIENCE), BrokenActor)


def test_a_shut_down_actor_leaves_no_process_and_the_users_ray():
    with RayDo.executor() as executor:
        pid = executor.post((tasks.get_pid,)).result(PATIENCE)
    programs.wait_until(lambda: programs.is_gone(pid), PATIENCE)
    assert ray.is_initialized()


def test_what_a_window_has_sent_runs_and_cannot_be_cancelled(gate):
    with RayDo.options(window=3).executor() as executor:
        futures = [executor.post((tasks.pause_and_remember, gate, n)) for n in range(5)]
        gate.reached()
        programs.wait_until(futures[2].running, PATIENCE)
        assert [future.running() for future in futures] == [True] * 3 + [False] * 2
        assert [future.cancel() for future in futures] == [False] * 3 + [True] * 2
        gate.open(3)
        assert [future.result(PATIENCE) for future in futures[:3]] == [1, 2, 3]
        assert executor.post((tasks.recall,)).result(PATIENCE) == [0, 1, 2]


def test_a_window_keeps_order_and_gives_each_its_own_answer():
    with RayDo.options(window=8).executor() as executor:
        sizes = [1, MIB, 1, 1, 2 * MIB, 1] * 5
        futures = [executor.post((tasks.echo, b"x" * size)) for size in sizes]
        assert [len(future.result(PATIENCE)) for future in futures] == sizes


@pytest.fixture
def carrier(monkeypatch):
    """What carries the messages of the actor that a test starts."""
    made = []

    class Known(futures_actors.ray.Carrier):
        def __init__(self, *args):
            super().__init__(*args)
            made.append(self)

    monkeypatch.setattr(futures_actors.ray, "Carrier", Known)
    return lambda: made[0]


def test_an_actor_that_ray_calls_unavailable_is_dead(carrier, gate):
    """It is not known whether the message was handled, and it must not be handled twice."""
    executor = RayDo.executor()
    pid = executor.post((tasks.get_pid,)).result(PATIENCE)
    running = executor.post((tasks.pause, gate))
    gate.reached()
    (number,) = carrier()._refs
    carrier()._events.put((number, "reply", ActorUnavailableError("for a moment", None)))
    error = running.exception(PATIENCE)
    assert (type(error), error.started) == (ActorDied, True)
    assert "Ray says ActorUnavailableError: " in str(error)
    executor.shutdown()
    programs.wait_until(lambda: programs.is_gone(pid), PATIENCE)


def test_what_ray_cannot_do_for_a_message_is_only_that_messages_error(carrier, gate):
    with RayDo.executor() as executor:
        running = executor.post((tasks.pause, gate))
        gate.reached()
        (number,) = carrier()._refs
        error = RayTaskError("receive", "no traceback", ObjectStoreFullError("no room"))
        carrier()._events.put((number, "reply", error))
        assert running.exception(PATIENCE) is error
        gate.open()
        assert executor.post((tasks.echo, 1)).result(PATIENCE) == 1


def test_a_client_of_a_cluster_is_refused(monkeypatch):
    monkeypatch.setattr(ray.util.client.ray, "is_connected", lambda: True)
    with pytest.raises(RuntimeError, match="on a node of the cluster, not ray://"):
        RayDo.executor()


def test_options_that_ray_has_go_to_ray():
    env = {"env_vars": {"FUTURES_ACTORS_TEST": "seen"}}
    with RayDo.options(runtime_env=env, num_cpus=0, name="anna").executor() as executor:
        assert "anna" in repr(executor)
        future = executor.submit(os.getenv, "FUTURES_ACTORS_TEST")
        assert future.result(50) == "seen"


def test_ray_refuses_an_option_that_it_does_not_know():
    with pytest.raises(ValueError, match="no_such_option"):
        RayDo.options(no_such_option=1).executor()


@pytest.mark.parametrize(
    "option", ["max_restarts", "max_task_retries", "max_concurrency", "lifetime"]
)
def test_options_that_would_break_promises_are_refused_with_the_reason(option):
    with pytest.raises(TypeError, match=f"has no option '{option}': .* "):
        RayDo.options(**{option: 1})


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"window": 0}, ValueError, "window must be at least 1, not 0"),
        ({"window": 1.5}, TypeError, "window must be an int, not float"),
        ({"start_timeout": -1}, ValueError, "start_timeout must be more than 0 seconds, not -1"),
        ({"start_timeout": "1"}, TypeError, "start_timeout must be a number of seconds, not str"),
        ({"zero_copy": 1}, TypeError, "zero_copy must be a bool, not int"),
        ({"start_method": "spawn"}, TypeError, "is for process actors"),
    ],
    ids=str,
)
def test_a_bad_option_names_itself(given, error, text):
    with pytest.raises(error, match=text):
        RayDo.options(**given)


def test_an_error_of_the_constructor_is_a_broken_pools_too():
    fails = actors.actor_class(actors.Fails, "Ray")
    with fails.executor(KeyError("no")) as executor, pytest.raises(ActorInitError) as caught:
        executor.submit(len, ()).result(PATIENCE)
    assert isinstance(caught.value.__cause__, KeyError)


def test_on_stop_runs_in_the_actor_and_its_error_is_logged(caplog, tmp_path):
    path = tmp_path / "stopped"
    with Stops.executor(str(path)) as executor:
        executor.post(None).result(PATIENCE)
    assert int(path.read_text()) != os.getpid()
    with caplog.at_level(logging.ERROR), Stops.executor(None) as executor:
        executor.post(None).result(PATIENCE)
    assert "on_stop raised an exception" in caplog.text


class Stops(RayEcho):
    def __init__(self, path):
        self.path = path

    def on_stop(self):
        Path(self.path).write_text(str(os.getpid()))


def test_what_was_told_is_counted_and_handled_in_order():
    with RayCounter.executor() as executor:
        for _ in range(10):
            executor.tell(1)
        assert executor.post(0).result(PATIENCE) == 10
        stats = executor.stats()
        assert (stats.told, stats.handled, stats.depth) == (10, 11, 0)


def test_a_pool_is_refused_and_the_error_says_what_to_do_instead():
    with pytest.raises(NotImplementedError, match="start several executors"):
        RayEcho.pool(2).executor()
