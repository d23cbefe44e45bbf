"""A process made by `os.fork`."""

import os
import signal

from gates import PATIENCE


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
