"""What asks another actor, thread or process, in one of the `patterns.py`, and what answers it.

Children import it, so it may add nothing else.
"""

import operator

import patterns
from system_actors import ProcessAdder, ThreadAdder

from actors import ProcessReader
from futures_actors import ProcessActor, ThreadActor

take = operator.methodcaller("result")


class Asker:
    """Asks an actor to which it has an executor or a reference."""

    def __init__(self, other):
        self.other = other
        self.array = None

    def ask(self, pattern, size):
        return getattr(patterns, pattern)(self.other.post, take, range(size))

    def send(self, length_bytes, size):
        import numpy as np

        if self.array is None or self.array.nbytes != length_bytes:
            self.array = np.arange(length_bytes // 8, dtype=np.int64)
        return patterns.one_at_a_time(self.other.post, take, [self.array] * size)


class ThreadAsker(Asker, ThreadActor):
    pass


class ProcessAsker(Asker, ProcessActor):
    pass


ACTORS = {
    actor.__name__: actor
    for actor in (ThreadAsker, ProcessAsker, ThreadAdder, ProcessAdder, ProcessReader)
}


def ask_by_pipe(orders, other):
    """For each pattern and size that come, send so many integers to the other process."""
    try:
        while True:
            pattern, size = orders.recv()
            pattern = getattr(patterns, pattern)
            orders.send(pattern(other.send, lambda _ticket: other.recv(), range(size)))
    except EOFError:
        return


def answer_by_pipe(other):
    try:
        while True:
            other.send(other.recv() + 1)
    except EOFError:
        return
