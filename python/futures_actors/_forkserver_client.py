"""The parent's half of the fork server: it starts the server, and children through it."""

import atexit
import os
import select
import signal
import socket
import subprocess
import threading
import time

from . import _messages
from ._spawn import GRACE, plain_path, start_interpreter

_lock = threading.Lock()
_server: "_Connection | None" = None
_names: list[str] = []
#: Those of the names that a server has imported.
_imported: list[str] = []


def preload(*names: str) -> None:
    """Have the fork server import these modules, so that children need not.

    If one cannot be imported, or its import starts a thread, the next start of a process actor
    raises `ImportError`, and what was named since the last start is forgotten. Actors that run
    already are not touched.
    """
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"preload takes names of modules, not {type(name).__name__}")
    with _lock:
        new = [name for name in dict.fromkeys(names) if name not in _names]
        if new:
            _names.extend(new)
            _retire()


def start_child(descriptors: list[int], slow_imports: list[str]) -> "Forked":
    """Start a process that serves this one; see `_spawn.start_child`."""
    with _lock:
        try:
            return _connection().fork(descriptors, slow_imports)
        except (OSError, EOFError):
            # Somebody has killed the server. Once is an accident.
            _retire()
        return _connection().fork(descriptors, slow_imports)


def _connection() -> "_Connection":
    """Return the server's connection, starting a server if this process has none."""
    global _server  # noqa: PLW0603 - one server for each process
    if _server is not None and _server.owner != os.getpid():
        # A copy that os.fork() made: the server is the other process's.
        _server.close()
        _server = None
    if _server is not None and _server.owes:
        # Who asked was interrupted: the next answer would be to that.
        _retire()
    if _server is None:
        try:
            _server = _Connection(_names)
        except ImportError:
            _names[:] = _imported
            raise
        _imported[:] = _names
    return _server


def _retire() -> None:
    """Let go of the server; it ends when its children have."""
    global _server  # noqa: PLW0603 - one server for each process
    if _server is not None:
        _server.close()
        _retired.append(_server)
        _server = None
    # Those that have ended meanwhile.
    _retired[:] = [server for server in _retired if server.is_running()]


_retired: "list[_Connection]" = []


@atexit.register
def stop() -> None:
    """End the server, at the interpreter's exit: every actor has ended by then."""
    _retire()
    for server in _retired:
        server.end()
    _retired.clear()


def _after_fork() -> None:
    """Let go of the lock: who held it may be a thread that this process does not have."""
    global _lock  # noqa: PLW0603 - it cannot be asked whose it is
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


class _Connection:
    """A running server, and the socket to it."""

    def __init__(self, names: list[str]) -> None:
        self.owner = os.getpid()
        #: Whether there is a request that has not been answered.
        self.owes = False
        self._requests = 0
        reading, writing = os.pipe()
        self._exits = _Exits(reading)
        try:
            self._socket, theirs = socket.socketpair()
            try:
                self._process = start_interpreter("_forkserver", [theirs.fileno(), writing], names)
            except BaseException:
                self._socket.close()
                raise
            finally:
                theirs.close()
        finally:
            os.close(writing)
        try:
            fault = self._answer()
        except BaseException:
            self.end()
            raise
        if fault:
            self.end()
            raise ImportError(str(fault))

    def fork(self, descriptors: list[int], slow_imports: list[str]) -> "Forked":
        directory = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            ignores_interrupt = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            environ = dict(os.environb)
            request: _messages.Request = (plain_path(), environ, _umask(), ignores_interrupt)
            out, err = (_stream(number) for number in (1, 2))
            self._requests += 1
            self.owes = True
            order: _messages.Order = (self._requests, slow_imports, request)
            _messages.send(self._socket, order, (*descriptors, out, err, directory))
            pid = self._answer()
            self.owes = False
        finally:
            os.close(directory)
        if not isinstance(pid, int):
            text = f"the fork server cannot start a process: {pid}"
            raise RuntimeError(text)  # noqa: TRY004 - what is no pid is the reason
        return Forked(pid, self._requests, self._exits)

    def _answer(self) -> object:
        message = _messages.receive(self._socket)
        if message is None:
            raise EOFError("the fork server has ended")
        return message[0]

    def close(self) -> None:
        self._socket.close()

    def is_running(self) -> bool:
        return self.owner == os.getpid() and self._process.poll() is None

    def end(self) -> None:
        self._socket.close()
        if self.owner != os.getpid():
            return
        try:
            self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Forked:
    """A child of the server."""

    def __init__(self, pid: int, number: int, exits: "_Exits") -> None:
        """Learn from `exits` how it ends: it will have the code of request `number`."""
        self.pid = pid
        self._number = number
        self._exits = exits

    def reap(self, kill: bool) -> int | None:  # noqa: FBT001 - see Child
        """Wait for its end and return the exit code; None if the server died before it."""
        if kill and not self._exits.wait(self._number, GRACE):
            # It has not been reaped, so the pid is still its own.
            os.kill(self.pid, signal.SIGKILL)
        self._exits.wait(self._number)
        return self._exits.take(self._number)


class _Exits:
    """How the children of one server have ended, as it tells over one pipe for all of them.

    Of the threads that wait for a child, one reads the pipe for all; when it has what it wants, or
    no more time, another goes on. Invariant: while a thread waits, a thread reads.
    """

    def __init__(self, descriptor: int) -> None:
        """Own `descriptor`, the end to read from."""
        self._descriptor = descriptor
        self._changed = threading.Condition()
        #: By the number of its request, the exit code of each child that was not asked for yet.
        self._codes: dict[int, int] = {}
        self._is_being_read = False
        #: Whether the server is gone: there is nothing more to come.
        self._is_over = False

    def __del__(self) -> None:
        os.close(self._descriptor)

    def wait(self, number: int, timeout: float | None = None) -> bool:
        """Wait until it is known how a child has ended, or that this will never be known.

        Return False if it takes more than `timeout` seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while number not in self._codes and not self._is_over:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return False
                if self._is_being_read:
                    self._changed.wait(left)
                else:
                    self._read(left)
        return True

    def take(self, number: int) -> int | None:
        with self._changed:
            return self._codes.pop(number, None)

    def _read(self, timeout: float | None) -> None:
        """Take in what comes within `timeout`, letting go of the lock meanwhile."""
        self._is_being_read = True
        self._changed.release()
        try:
            data = self._read_some(timeout)
        finally:
            self._changed.acquire()
            self._is_being_read = False
            self._changed.notify_all()
        if data is not None:
            self._is_over = not data
            self._codes.update(_messages.EXIT.iter_unpack(data))

    def _read_some(self, timeout: float | None) -> bytes | None:
        """Return whole records, nothing if there will be no more, None if none came in time."""
        # Not by `select`, which takes no descriptor above 1,023.
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        if not poll.poll(None if timeout is None else timeout * 1000):
            return None
        return os.read(self._descriptor, 1024 * _messages.EXIT.size)


def _umask() -> int:
    """Return this process's umask without changing it, which other threads would see."""
    with open("/proc/self/status", "rb") as status:  # noqa: PTH123 - a kernel's file
        for line in status:
            if line.startswith(b"Umask:"):
                return int(line.split()[1], 8)
    return 0o022


def _stream(number: int) -> int:
    """Return a standard stream's descriptor, or that of an empty one if it is closed."""
    try:
        os.fstat(number)
    except OSError:
        return _devnull()
    return number


def _devnull() -> int:
    global _null  # noqa: PLW0603 - opened once
    if _null < 0:
        _null = os.open(os.devnull, os.O_RDWR)
    return _null


_null = -1
