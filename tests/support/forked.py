"""A process made by `os.fork`, and arrays of an actor that it may have."""

import os
import signal

import numpy as np

import programs
import tasks
from gates import PATIENCE

LENGTH = 100_000


class Forked:
    """A process made by `os.fork`, which looks at what it has when the test asks it to."""

    def __init__(self, check):
        gate, self._key = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            status = 2
            try:
                signal.alarm(PATIENCE)
                os.read(gate, 1)
                status = 0 if check() else 1
            finally:
                os._exit(status)
        os.close(gate)

    def go(self):
        """Let it look."""
        os.write(self._key, b"x")
        os.close(self._key)
        self._key = None

    def holds(self):
        """Let it look, wait for its end, and return what it has found."""
        if self._key is not None:
            self.go()
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]) == 0


def full(number, length=LENGTH):
    return np.full(length, number)


def ask(executor, number, length=LENGTH):
    """Return the future of a new array."""
    return executor.post((tasks.call, np.full, length, number))


def reuse_slots(executor, count=5):
    """Have the actor write to every slot that it may write to."""
    for number in range(100, 100 + count):
        array = ask(executor, number).result(PATIENCE)
        array += 1


def until_done(future):
    programs.wait_until(future.done, PATIENCE)
