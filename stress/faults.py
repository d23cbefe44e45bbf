"""The n-th system call fails, for n from 1 on, in the parent and in the child, with each error that
such a call can have: every future ends, with its answer or a clear error, and nothing is left."""

import contextlib
import os
import time
from concurrent import futures

import actors
import loggers
from futures_actors import BrokenActor, _core
from residents import leaks_since, snapshot

PATIENCE = 30
#: What an executor that cannot be started raises, and what a future may end with.
START_FAULTS = (OSError, RuntimeError, MemoryError)
#: NotImplementedError: there was no descriptor of the child to be had, for tracebacks.
FAULTS = (BrokenActor, OSError, MemoryError, NotImplementedError, futures.CancelledError)
#: Why a log record may not arrive is not looked into.
MESSAGES = [
    *((actors.echo, number) for number in range(12)),
    (actors.echo, "x" * 300_000),
    (loggers.log, "stress", "debug", "text"),
    *((actors.echo, number) for number in range(12)),
]
EXPECTED = [*range(12), "x" * 300_000, None, *range(12)]


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
    """Walk through the calls of the parent, then of the child; every `step`-th call."""
    figures = Figures()
    for start_method in start_methods:
        walk_parent(figures, start_method, step)
    walk_child(figures, step)
    return figures


def walk_parent(figures, start_method, step):
    _core.plan_fault(0, 0)
    scenario(figures, start_method)
    calls, _ = _core.end_fault_plan()
    print(f"  parent, {start_method}: {calls} calls")
    if start_method == "spawn":
        step *= 5  # the calls are the same
    for nth in range(1, calls + 1, step):
        for which in range(8):
            _core.plan_fault(nth, which)
            held(figures, start_method, f"call {nth} of the parent, error {which}")
            _, struck = _core.end_fault_plan()
            figures.injected += struck
            if not struck:
                break


def walk_child(figures, step, most=60):
    print(f"  child: {most} calls")
    for nth in range(1, most + 1, step):
        for which in range(4):
            os.environ["FUTURES_ACTORS_FAULT"] = f"{nth}:{which}"
            try:
                with quiet():
                    held(figures, "forkserver", f"call {nth} of the child, error {which}")
            finally:
                del os.environ["FUTURES_ACTORS_FAULT"]
            figures.injected += 1


@contextlib.contextmanager
def quiet():
    """Have what a child says of its end go nowhere."""
    mine, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(mine, 2)
        os.close(mine)
        os.close(nowhere)


def held(figures, start_method, what):
    """Run the scenario, and hold it to what it promises."""
    before = snapshot()
    failed = figures.failed
    start = time.monotonic()
    try:
        scenario(figures, start_method)
    except BaseException as error:
        raise AssertionError(f"{what}: {error!r}") from error
    took = time.monotonic() - start
    assert took < PATIENCE / 2, f"{what}: took {took:.1f} s"
    left = leaks_since(before)
    assert not left, f"{what}: left {left}"
    figures.runs += 1
    figures.survived += figures.failed == failed


def scenario(figures, start_method):
    """Start an actor, use it, end it."""
    try:
        executor = actors.ProcessDo.options(start_method=start_method).executor()
    except START_FAULTS:
        figures.failed += 1
        return
    posted = []
    try:
        for message in MESSAGES:
            posted.append(executor.post(message))
        # One by one, which goes another way.
        for number in range(12):
            future = executor.post((actors.echo, number))
            posted.append(future)
            futures.wait([future], PATIENCE)
            note(figures, future, number)
        posted.append(executor.post((actors.echo, "cancelled")))
        posted[-1].cancel()
        executor.dump_traceback(timeout=PATIENCE)
    except FAULTS:
        figures.failed += 1
    for future, expected in zip(posted, EXPECTED, strict=False):
        note(figures, future, expected)
    executor.shutdown()
    assert all(future.done() for future in posted)


def note(figures, future, expected):
    error = None
    try:
        error = future.exception(PATIENCE)
    except futures.CancelledError:
        error = futures.CancelledError()
    if error is None:
        assert future.result() == expected, (future.result(), expected)
        figures.answers += 1
    elif isinstance(error, FAULTS):
        figures.failed += 1
    else:
        raise error
