"""Gates: an actor waits at one until the test opens it, so that no test needs to sleep."""

import os
import select
import sys
import time

#: Seconds that anything may wait before it counts as hung. Under wine an interpreter starts slowly.
PATIENCE = 50 if sys.platform == "win32" else 20


class Gate:
    """A gate that an actor knocks at and a test opens, for threads and processes."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return Gate, (self.path,)

    def wait(self):
        """Knock, and return when the test has opened: what an actor calls."""
        self.knock()
        self._door("open").read(PATIENCE)

    def knock(self):
        """Let `reached` return."""
        self._door("knock").write(1)

    def reached(self, timeout=PATIENCE):
        """Return when an actor has knocked: what a test calls."""
        self._door("knock").read(timeout)

    def open(self, times=1):
        """Let the next `times` waiters through."""
        self._door("open").write(times)

    def _door(self, name):
        return Door(f"{self.path}.{name}")


class Fifo:
    """A count that a reader waits for. The bytes in a FIFO are the count."""

    def __init__(self, path):
        self.path = path

    def make(self):
        """Make the door; return a function that closes it."""
        os.mkfifo(self.path)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        return lambda: os.close(descriptor)

    def write(self, times):
        """Add to the count."""
        descriptor = os.open(self.path, os.O_RDWR)
        try:
            os.write(descriptor, b"." * times)
        finally:
            os.close(descriptor)

    def read(self, timeout):
        """Take one from the count, once there is one."""
        deadline = time.monotonic() + timeout
        descriptor = os.open(self.path, os.O_RDWR | os.O_NONBLOCK)
        try:
            while select.select([descriptor], [], [], max(0, deadline - time.monotonic()))[0]:
                try:
                    os.read(descriptor, 1)
                except BlockingIOError:  # another waiter was quicker
                    continue
                return
            raise TimeoutError(f"nobody came to the door {self.path} in {timeout} s")
        finally:
            os.close(descriptor)


class Semaphore:
    """The same on Windows, which has no FIFOs: a semaphore that is known by its name."""

    def __init__(self, path):
        self.path = path

    def make(self):
        from ctypes import windll

        handle = self._handle()
        return lambda: windll.kernel32.CloseHandle(handle)

    def write(self, times):
        from ctypes import windll

        handle = self._handle()
        windll.kernel32.ReleaseSemaphore(handle, times, None)
        windll.kernel32.CloseHandle(handle)

    def read(self, timeout):
        from ctypes import windll

        handle = self._handle()
        failed = windll.kernel32.WaitForSingleObject(handle, int(timeout * 1000))
        windll.kernel32.CloseHandle(handle)
        if failed:
            raise TimeoutError(f"nobody came to the door {self.path} in {timeout} s")

    def _handle(self):
        import ctypes

        create = ctypes.windll.kernel32.CreateSemaphoreW
        create.restype = ctypes.c_void_p
        # It opens the one that is there already. A name must have no separators of folders.
        handle = create(None, 0, 1 << 20, "gate" + self.path.replace("\\", "/"))
        return ctypes.c_void_p(handle)


Door = Semaphore if sys.platform == "win32" else Fifo
