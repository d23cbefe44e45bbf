"""Makes the n-th system call fail, for n = 1, 2, ..., in the parent and in the child.

Each call fails with every error that it can have. Every future must end, with its answer or a clear
error, and nothing may be left behind.
"""

import contextlib
import os
from concurrent import futures

import actors
import loggers
import tasks
from deeds import View
from futures_actors import BrokenActor, _core
from residents import PATIENCE, leaks_since, snapshot

#: Errors that may be raised if an actor cannot be started, and errors that a future may end with.
START_FAULTS = (OSError, RuntimeError, MemoryError)
#: `dump_traceback` raises NotImplementedError if no descriptor of the child could be opened.
FAULTS = (BrokenActor, OSError, MemoryError, NotImplementedError, futures.CancelledError)
#: The suite does not check whether the log records arrive.
MESSAGES = [
    *((tasks.echo, number) for number in range(12)),
    (tasks.echo, "x" * 300_000),
    (tasks.echo, bytearray(b"y" * 100_000)),
    (tasks.echo, [bytearray(b"z" * 20_000)] * 3),
    # Both of them go back in the block in which they came.
    (tasks.echo, View(b"v" * 50_000)),
    (tasks.echo, View(b"w" * 2_000_000)),
    (loggers.log, "stress", "debug", "text"),
    *((tasks.echo, number) for number in range(12)),
]
#: `AGAIN` is sent to an actor that is started again: its process ends at `DEATH`.
DEATH = (tasks.exit_at_once, 3)
AGAIN = [
    *((tasks.echo, number) for number in range(5)),
    (tasks.echo, View(b"v" * 50_000)),
    DEATH,
    (tasks.echo, View(b"w" * 50_000)),
    *((tasks.echo, number) for number in range(5)),
]
EXPECTED = [message[-1] if message[0] is tasks.echo else None for message in MESSAGES]


class Figures:
    def __init__(self):
        self.runs = self.injected = self.survived = self.answers = self.failed = 0

    def __str__(self):
        return (
            f"{self.injected} system calls failed in {self.runs} runs: "
            f"{self.answers} right answers, {self.failed} clear errors, "
            f"{self.survived} runs without a trace; lost 0, leaks 0"
        )


def available():
    return hasattr(_core, "plan_fault")


def run(*, step=1, start_methods=("forkserver", "spawn")):
    """Make every `step`-th call of the parent fail, and then every `step`-th call of the child."""
    figures = Figures()
    for start_method in start_methods:
        # The other start methods make nearly the same calls and are slow, so try fewer of them.
        factor = 1 if start_method == start_methods[0] else 5
        for life in (one_life, two_lives):
            walk_parent(figures, life, start_method, step * factor)
    for life in (one_life, two_lives):
        walk_child(figures, life, start_methods[0], step)
    return figures


def walk_parent(figures, life, start_method, step):
    _core.plan_fault(0, 0)
    life(figures, start_method)
    calls, _ = _core.end_fault_plan()
    print(f"  parent, {life.__name__}, {start_method}: {calls} calls")
    for nth in range(1, calls + 1, step):
        for which in range(8):
            _core.plan_fault(nth, which)
            what = f"call {nth} of the parent in {life.__name__}, error {which}"
            held(figures, life, start_method, what)
            _, struck = _core.end_fault_plan()
            figures.injected += struck
            if not struck:
                break


def walk_child(figures, life, start_method, step):
    with planned_for_child(0, 0):
        calls, _ = held(figures, life, start_method, "no fault")
    print(f"  child, {life.__name__}: {calls} calls")
    for nth in range(1, calls + 1, step):
        for which in range(8):
            what = f"call {nth} of the child in {life.__name__}, error {which}"
            with planned_for_child(nth, which), quiet():
                told = held(figures, life, start_method, what)
            # If the child cannot answer, the fault has killed it.
            _, struck = told or (calls, 1)
            figures.injected += struck
            if not struck:
                break


@contextlib.contextmanager
def planned_for_child(nth, which):
    os.environ["FUTURES_ACTORS_FAULT"] = f"{nth}:{which}"
    try:
        yield
    finally:
        del os.environ["FUTURES_ACTORS_FAULT"]


@contextlib.contextmanager
def quiet():
    """Discard what a child prints when it ends."""
    mine, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(mine, 2)
        os.close(mine)
        os.close(nowhere)


def held(figures, life, start_method, what):
    """Run an actor through `life`, check its promises, and return what `life` returns."""
    before = snapshot()
    failed = figures.failed
    try:
        told = life(figures, start_method)
    except BaseException as error:
        raise AssertionError(f"{what}: {error!r}") from error
    left = leaks_since(before)
    assert not left, f"{what}: left {left}"
    figures.runs += 1
    figures.survived += figures.failed == failed
    return told


def one_life(figures, start_method):
    """Start an actor, use it and end it. Return the child's plan, or None if it cannot answer."""
    try:
        executor = actors.ProcessDo.options(start_method=start_method).executor()
    except START_FAULTS:
        figures.failed += 1
        return None
    posted = []
    try:
        for message in MESSAGES:
            posted.append(executor.post(message))
        # Messages that are sent one by one take another path.
        for number in range(12):
            future = executor.post((tasks.echo, number))
            posted.append(future)
            note(figures, future, number)
        posted.append(executor.post((tasks.echo, "cancelled")))
        posted[-1].cancel()
        executor.dump_traceback(timeout=PATIENCE)
    except TimeoutError as error:  # an OSError too
        raise AssertionError(error) from error
    except FAULTS:
        figures.failed += 1
    for future, expected in zip(posted, EXPECTED, strict=False):
        note(figures, future, expected)
    told = ask(executor)
    executor.shutdown()
    assert all(future.done() for future in posted)
    return told


def two_lives(figures, start_method):
    """Like `one_life`, but the actor dies and is restarted. Return the plan of the second child."""
    options = {"start_method": start_method, "max_restarts": 3}
    try:
        executor = actors.ProcessDo.options(**options).executor()
    except START_FAULTS:
        figures.failed += 1
        return None
    posted = []
    try:
        for message in AGAIN:
            posted.append(executor.post(message))
    except FAULTS:
        figures.failed += 1
    for future, message in zip(posted, AGAIN, strict=False):
        if message is DEATH:
            futures.wait([future], PATIENCE)
            assert isinstance(future.exception(0), FAULTS), future
        else:
            note(figures, future, message[-1])
    told = ask(executor)
    executor.shutdown()
    return told


def ask(executor):
    try:
        future = executor.submit(_core.end_fault_plan)
        futures.wait([future], PATIENCE)
        return future.result(0)
    except TimeoutError as error:  # an OSError too
        raise AssertionError(error) from error
    except FAULTS:
        return None


def note(figures, future, expected):
    done, _ = futures.wait([future], PATIENCE)
    assert done, "a future never ends"
    error = futures.CancelledError() if future.cancelled() else future.exception()
    if error is None:
        assert future.result() == expected, (future.result(), expected)
        figures.answers += 1
    elif isinstance(error, FAULTS):
        figures.failed += 1
    else:
        raise error
