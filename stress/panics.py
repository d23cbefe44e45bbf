"""Makes a thread of the core panic at its n-th step, for n = 1, 2, ..., in parent and child.

Every future must end, with its answer or with an error that names the panic. An actor whose
messages failed must be broken, its child must end, and nothing may be left behind.
"""

import contextlib
import os
from concurrent import futures

import actors
import loggers
import tasks
from faults import available, quiet
from futures_actors import BrokenActor, _core
from residents import PATIENCE, leaks_since, snapshot

__all__ = ["available", "run"]

#: Enough messages of each kind that each thread handles several at once.
MESSAGES = [
    *((tasks.echo, number) for number in range(6)),
    (loggers.log, "stress", "debug", "text"),
    *((tasks.echo, number) for number in range(6, 12)),
    (tasks.echo, bytearray(b"b" * 200_000)),
]
KINDS = {
    "thread": actors.ThreadDo,
    "process": actors.ProcessDo,
    "restarting": actors.ProcessDo.options(max_restarts=1),
}


class Figures:
    def __init__(self):
        self.runs = self.panics = self.answers = self.failed = 0

    def __str__(self):
        return (
            f"{self.panics} panics in {self.runs} runs: {self.answers} right answers, "
            f"{self.failed} clear errors; lost 0, leaks 0"
        )


def run(*, step=1):
    figures = Figures()
    with quiet():
        for kind in KINDS:
            walk(figures, kind, step, planned_here)
        for kind in ("process", "restarting"):
            walk(figures, kind, step, planned_for_child)
    return figures


def walk(figures, kind, step, planned):
    # The first actor of a program starts processes and threads that stay alive.
    live(figures, kind, "no panic")
    nth = 1
    while True:
        before = snapshot()
        with planned(nth) as plan:
            told = live(figures, kind, f"moment {nth} of {kind}, {planned.__name__}")
        figures.runs += 1
        assert not (left := leaks_since(before)), f"moment {nth} of {kind}: left {left}"
        # If the child cannot answer, the panic has ended it.
        _, struck = plan if plan is not None else told or (0, 1)
        figures.panics += struck
        if not struck:
            return
        nth += step


@contextlib.contextmanager
def planned_here(nth):
    plan = []
    _core.plan_fault(nth, _core.PLANNED_PANIC)
    try:
        yield plan
    finally:
        plan += _core.end_fault_plan()


@contextlib.contextmanager
def planned_for_child(nth):
    os.environ["FUTURES_ACTORS_FAULT"] = f"{nth}:{_core.PLANNED_PANIC}"
    try:
        yield None
    finally:
        del os.environ["FUTURES_ACTORS_FAULT"]


def live(figures, kind, what):
    """Start an actor, use it and end it. Return the child's plan, or None if it cannot answer."""
    executor = KINDS[kind].executor()
    posted, accepted = [], 0
    for message in MESSAGES:
        with contextlib.suppress(BrokenActor):
            posted.append((executor.post(message), message))
            executor.tell(message)
            accepted += 1
    # Messages that are sent one by one take another path.
    for number in range(12):
        with contextlib.suppress(BrokenActor):
            future = executor.post((tasks.echo, number))
            posted.append((future, (tasks.echo, number)))
            futures.wait([future], PATIENCE)
    broken = 0
    for future, message in posted:
        done, _ = futures.wait([future], PATIENCE)
        assert done, f"{what}: a future never ends"
        error = future.exception()
        assert error is None or isinstance(error, BrokenActor), f"{what}: {error!r}"
        if error is None:
            assert message[0] is not tasks.echo or future.result() == message[-1], what
            figures.answers += 1
        else:
            figures.failed += 1
            broken += 1
    told = None
    try:
        asked = executor.submit(int if kind == "thread" else _core.end_fault_plan)
        accepted += 1
        told = asked.result(PATIENCE)
        goes_on = kind == "restarting"
        assert goes_on or not broken, f"{what}: it goes on although messages have failed"
    except BrokenActor:
        pass
    executor.shutdown()
    stats = executor.stats()
    counted = stats.handled + stats.failed + stats.cancelled
    assert counted == accepted + len(posted), f"{what}: {stats} of {accepted + len(posted)}"
    return told
