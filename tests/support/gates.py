"""Gates: an actor waits at one until the test opens it, so that no test needs to sleep."""

import os
import select
import time

#: Seconds that anything may wait before it counts as hung.
PATIENCE = 20


class Gate:
    """A door that an actor knocks at and a test opens, for threads and processes (two FIFOs)."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return Gate, (self.path,)

    def wait(self):
        """Knock, and return when the test has opened: what an actor calls."""
        self._write("knock", 1)
        self._read("open", PATIENCE)

    def reached(self, timeout=PATIENCE):
        """Return when an actor has knocked: what a test calls."""
        self._read("knock", timeout)

    def open(self, times=1):
        """Let the next `times` waiters through."""
        self._write("open", times)

    def _write(self, door, times):
        descriptor = os.open(f"{self.path}.{door}", os.O_RDWR)
        try:
            os.write(descriptor, b"." * times)
        finally:
            os.close(descriptor)

    def _read(self, door, timeout):
        deadline = time.monotonic() + timeout
        descriptor = os.open(f"{self.path}.{door}", os.O_RDWR | os.O_NONBLOCK)
        try:
            while select.select([descriptor], [], [], max(0, deadline - time.monotonic()))[0]:
                try:
                    os.read(descriptor, 1)
                except BlockingIOError:  # another waiter was quicker
                    continue
                return
            raise TimeoutError(f"nobody came to the door {door} of {self.path} in {timeout} s")
        finally:
            os.close(descriptor)
