"""Big constructor arguments, which cross in shared memory as big messages do: what arrives, how
much memory they take in the parent, and that it goes back."""

import gc
import os
import signal
import threading

import numpy as np
import pytest

import actors
import programs
import tasks
from arrays import MIB, numbers
from futures_actors import ActorInitError, ProcessActor
from gates import PATIENCE
from observe import memory_files, on_linux, only_memory

Sums = actors.ProcessSums


class Holds(ProcessActor):
    """Does what it is sent to what its constructor got."""

    def __init__(self, *args, **kw):
        self.args, self.kw = args, kw

    handle = actors.Do.handle


class Refuses(ProcessActor):
    def __init__(self, array):
        raise ValueError(array.nbytes)


def describe(actor):
    """Say what the actor has, and change it."""
    first, readonly, *rest = actor.args
    said = [
        bool((first == numbers()).all()),
        bool((readonly == numbers()).all()),
        first.flags.writeable,
        readonly.flags.writeable,
        [(type(one).__name__, len(one), bytes(one[:3])) for one in rest],
        bool((actor.kw["named"] == 7).all()),
    ]
    first[:] = 0
    actor.kw["named"][:] = 0
    return said


OPTIONS = {
    "plain": {},
    "restarts": {"max_restarts": 9},
    "no shared memory": {"shared_memory": 0},
    "restarts, no shared memory": {"max_restarts": 9, "shared_memory": 0},
    "little shared memory": {"shared_memory": MIB},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_big_arguments_arrive_as_they_were_when_the_actor_was_started(options):
    first, readonly, named = numbers(), numbers(), np.full(300_000, 7)
    readonly.flags.writeable = False
    rest = b"abc" * MIB, bytearray(b"xyz" * MIB), b"small"
    executor = Holds.options(**options).executor(first, readonly, *rest, named=named)
    first[:] = named[:] = 1
    expected = [
        True,
        True,
        True,
        False,
        [("bytes", 3 * MIB, b"abc"), ("bytearray", 3 * MIB, b"xyz"), ("bytes", 5, b"sma")],
        True,
    ]
    with executor:
        for _ in range(3 if "max_restarts" in options else 1):
            assert executor.post((describe,)).result(PATIENCE) == expected
            if "max_restarts" in options:
                assert executor.post((tasks.exit_at_once, 3)).exception(PATIENCE).started


@on_linux
@pytest.mark.parametrize(
    ("options", "copies"),
    [
        # What is shared with the child counts in both processes.
        ({}, 1),
        # One is kept for the next child.
        ({"max_restarts": 2}, 2),
        # It waits here until the child has read it.
        ({"shared_memory": 0}, 1),
        ({"max_restarts": 2, "shared_memory": 0}, 1),
    ],
    ids=str,
)
def test_a_big_argument_is_copied_as_seldom_as_a_big_message(script, options, copies):
    ended = script(
        f"""if True:
        import logging, os, resource, signal
        import numpy as np
        import actors
        logging.disable()

        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

        actor = actors.ProcessSums.options(**{options})
        with actor.executor(np.ones(3)) as sums:
            assert sums.post(1).result(30) == 3
        array = np.ones(96 << 20, dtype=np.uint8)
        before = peak()
        with actor.executor(array) as sums:
            for turn in range(1 + 2 * ("max_restarts" in {options})):
                assert sums.post(1).result(30) == array.nbytes
                if "max_restarts" in {options} and turn < 2:
                    os.kill(sums.stats().pid, signal.SIGKILL)
        print((peak() - before) / array.nbytes)
        """
    ).check()
    assert float(ended.out) < copies + 0.5


@on_linux
def test_what_the_constructor_has_not_kept_is_memory_for_messages():
    with Sums.executor(numbers(16 * MIB), other=numbers(16 * MIB)) as sums:
        assert sums.post(1).result(PATIENCE)
        before = only_memory()
        for _ in range(5):
            sums.post([numbers(16 * MIB), numbers(16 * MIB)]).result(PATIENCE)
        assert only_memory() - before < MIB


@on_linux
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_nothing_of_a_big_argument_is_left_here(options):
    before = programs.resident_bytes()
    argument = numbers(64 * MIB)
    with Sums.options(**options).executor(argument) as sums:
        assert sums.post(1).result(PATIENCE) == argument.sum()
    del argument, sums
    gc.collect()
    assert memory_files() == []
    assert programs.resident_bytes() - before < 16 * MIB


@on_linux
@pytest.mark.parametrize("restarts", [0, 1])
def test_a_start_that_fails_leaves_no_memory(restarts):
    options = {"max_restarts": restarts}
    descriptors = programs.descriptors_of_this_process()
    for _ in range(3):
        with pytest.raises(TypeError, match="constructor arguments of actor ProcessSums"):
            Sums.options(**options).executor(numbers(16 * MIB), other=threading.Lock())
        refuses = Refuses.options(**options).executor(numbers(16 * MIB))
        refuses.shutdown()
        with pytest.raises(ActorInitError):
            refuses.post(1)
        del refuses
    gc.collect()
    assert memory_files() == []
    assert programs.descriptors_of_this_process() <= descriptors


@on_linux
def test_a_child_that_is_killed_while_it_starts_leaves_no_memory():
    for _ in range(5):
        sums = Sums.executor(numbers(16 * MIB))
        os.kill(sums.stats().pid, signal.SIGKILL)
        sums.shutdown()
        del sums
    gc.collect()
    assert memory_files() == []


def test_an_argument_for_which_there_is_no_room_goes_by_the_pipe_with_one_warning(caplog):
    with Sums.options(shared_memory=MIB).executor(numbers(3 * MIB), other=numbers(3 * MIB)) as sums:
        assert sums.post(1).result(PATIENCE) == 2 * numbers(3 * MIB).sum()
    (warning,) = [one.getMessage() for one in caplog.records if one.name == "futures_actors"]
    assert "constructor arguments of actor ProcessSums" in warning
    assert "through its pipe" in warning
