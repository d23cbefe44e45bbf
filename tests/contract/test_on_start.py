"""`on_start`: where and when it runs, and what it does if it raises."""

import threading

import pytest

import actors
import futures_actors
import tasks
from gates import PATIENCE


def place(_actor):
    import os

    return os.getpid(), threading.get_ident()


def starting(kind):
    class Starts(kind.actor(actors.Do)):
        def __init__(self, error=None):
            super().__init__()
            self.places = [place(self)]
            self.error = error

        def on_start(self):
            self.places.append(place(self))
            if self.error is not None:
                raise self.error

    return Starts


def places(actor):
    return [*actor.places, place(actor)]


def test_on_start_runs_between_constructor_and_first_message(kind):
    with starting(kind).executor() as executor:
        found = executor.post((places,)).result(PATIENCE)
    assert len(found) == 3
    if kind.base != "Ray":  # whose actors have several threads
        assert len(set(found)) == 1


@pytest.mark.parametrize("error", [KeyError("k"), SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_what_on_start_raises_is_an_init_error(kind, error):
    if kind.base == "Ray" and not isinstance(error, Exception):
        pytest.skip("Ray itself ends a process by these")
    with starting(kind).executor(error) as executor:
        name = type(error).__name__
        text = rf"on_start of actor Starts raised {name}: .*; this actor handles no messages"
        with pytest.raises(futures_actors.ActorInitError, match=text) as caught:
            executor.post((tasks.echo, 1)).result(PATIENCE)
        assert type(caught.value.__cause__) is type(error)
        executor.shutdown()
        with pytest.raises(futures_actors.ActorInitError, match="on_start of actor"):
            executor.post((tasks.echo, 1))


def test_on_stop_is_not_called_if_on_start_raised(kind, tmp_path, caplog):
    class Stops(starting(kind)):
        def on_stop(self):
            raise AssertionError("it never started")

    with Stops.executor(KeyError("k")) as executor:
        executor.shutdown()
    assert "never started" not in caplog.text


def test_on_start_runs_after_each_restart(process):
    cls = starting(process)
    with cls.options(max_restarts=1).executor() as executor:
        first = executor.post((places,)).result(PATIENCE)
        with pytest.raises(futures_actors.ActorDied):
            executor.post((tasks.exit_at_once, 3)).result(PATIENCE)
        second = executor.post((places,)).result(PATIENCE)
    assert len(second) == 3
    assert not set(first) & set(second)


def test_a_proxy_does_not_reach_on_start(kind):
    with starting(kind).executor() as executor:
        proxy = executor.proxy()
        with pytest.raises(AttributeError, match="no method 'on_start'"):
            proxy.on_start()
        assert "on_start" not in dir(proxy)


def test_super_has_an_on_start_that_does_nothing(kind):
    class Starts(kind.actor(actors.Do)):
        def on_start(self):
            self.log.append(super().on_start())

    with Starts.executor() as executor:
        assert executor.post((tasks.recall,)).result(PATIENCE) == [None]
