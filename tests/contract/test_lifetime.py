"""Executors that are dropped, and that nothing is kept alive longer than it is of use."""

import gc
import threading
import weakref

import pytest

import actors
import futures_actors
import observe
import programs
import tasks
from gates import PATIENCE

# Dropped executors.

pytestmark = pytest.mark.not_on_ray("they are about the end of this process and of objects in it")


def test_a_dropped_executor_still_handles_what_it_got(any_kind, gate):
    executor = any_kind.start(actors.Do)
    waiting = executor.post((tasks.pause, gate))
    posted = [executor.post((tasks.remember, number)) for number in range(20)]
    del executor
    gc.collect()
    assert not waiting.done()
    gate.open()
    assert posted[-1].result(PATIENCE) == 20


def test_a_dropped_executor_finishes_its_constructor(kind, gate):
    executor = kind.start(actors.Waits, gate)
    posted = executor.post("early")
    del executor
    gc.collect()
    gate.open()
    assert posted.result(PATIENCE) == "early"


def test_a_dropped_executor_whose_futures_are_dropped_too_still_handles(kind, gate, tmp_path):
    path = tmp_path / "handled"
    executor = kind.start(actors.Do)
    executor.post((tasks.pause, gate))
    executor.post((tasks.append_to, path, "yes"))
    del executor
    gc.collect()
    gate.open()
    programs.wait_until(path.exists, PATIENCE)


def test_dropping_an_executor_ends_its_process(process):
    executor = process.start(actors.Do)
    pid = executor.post((tasks.get_pid,)).result(PATIENCE)
    del executor
    programs.wait_until(lambda: programs.is_gone(pid))


def test_dropping_an_executor_does_not_wait(kind, gate):
    """`del` returns although the actor still has messages to handle."""
    executor = kind.start(actors.Do)
    future = executor.post((tasks.pause, gate))
    gate.reached()
    del executor
    assert not future.done()
    gate.open()
    assert future.result(PATIENCE) == "passed"


def test_an_executor_in_a_cycle_is_dropped(kind):
    holder = [kind.start(actors.Do)]
    holder.append(holder)
    seen = weakref.ref(holder[0])
    holder[0].post((tasks.echo, 1)).result(PATIENCE)
    del holder
    gc.collect()
    assert seen() is None


def test_an_executor_that_its_actors_class_holds_is_dropped_with_it(kind):
    """A class that keeps the executor of an actor of its own, as singletons do."""
    observe.need_mortal_classes()

    def start():
        class Shared(kind.actor(actors.Echo)):
            pass

        Shared.executor_of_all = Shared.executor()
        assert Shared.executor_of_all.post(1).result(PATIENCE) == 1
        if not kind.is_process:
            # Its thread has an object of the class, while it runs.
            Shared.executor_of_all.shutdown()
        return weakref.ref(Shared)

    seen = [start() for _ in range(3)]
    gc.collect()
    assert [one() for one in seen] == [None] * 3


class KeepsArgument(futures_actors.ThreadActor):
    def __init__(self, argument, posted):
        self.argument = argument
        posted.wait(PATIENCE)
        raise KeyError("no actor")


@pytest.mark.parametrize("held", ["executor", "future", "opened future"])
def test_what_a_constructor_that_raised_refers_to_is_dropped(held):
    """Its exception has a traceback, which refers to the constructor's arguments."""

    class Holder:
        pass

    def start():
        holder = Holder()
        posted = threading.Event()
        executor = KeepsArgument.executor(holder, posted)
        future = executor.post(1)
        posted.set()
        executor.shutdown()
        holder.held = executor if held == "executor" else future
        if held == "opened future":
            assert isinstance(future.exception(), futures_actors.ActorInitError)
        return weakref.ref(holder)

    seen = start()
    gc.collect()
    assert seen() is None


def test_a_future_outlives_its_executor(kind):
    executor = kind.start(actors.Do)
    future = executor.post((tasks.echo, "kept"))
    executor.shutdown()
    del executor
    gc.collect()
    assert future.result(0) == "kept"


def test_an_executor_dropped_by_its_own_actor(thread):
    """The last reference goes away in the actor's own thread."""
    box = [thread.start(actors.Do)]
    future = box[0].post((tasks.drop_contents, box))
    assert future.result(PATIENCE) == "dropped"
