"""The parent's half of the fork server: it starts the server, and children through it."""

import atexit
import os
import signal
import socket
import subprocess
import threading

from . import _core, _messages
from ._spawn import GRACE, Started, plain_path, start_interpreter

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


def start_child(descriptors: list[int], slow_imports: list[str]) -> Started:
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
        self._exits = _core.ServerExitCodes()
        self._socket, theirs = socket.socketpair()
        try:
            given = [theirs.fileno(), self._exits.writer or -1]
            self._process = start_interpreter("_forkserver", given, names)
        except BaseException:
            self._socket.close()
            raise
        finally:
            theirs.close()
            self._exits.close_writer()
        try:
            fault = self._answer()
        except BaseException:
            self.end()
            raise
        if fault:
            self.end()
            raise ImportError(str(fault))

    def fork(self, descriptors: list[int], slow_imports: list[str]) -> Started:
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
        return pid, (self._exits, self._requests)

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
