"""The parent's half of the fork server: starts the server, and children through it.

A process that a fork server has forked does not start one of its own: it asks that server.
"""

import _socket
import atexit
import contextlib
import os
import sys
import threading
from typing import Any

from .. import _core
from . import fork_protocol
from .inheritance import Inheritance, look
from .interpreter import GRACE, Started, plain_subprocess, search_path, start_interpreter

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess

_lock = threading.Lock()
_server: "_Connection | None" = None
_names: list[str] = []
#: The names that a server has imported.
_imported: list[str] = []
#: Why the last server could not fork, what it had inherited, and the modules that it had imported.
_refusal: tuple[str, tuple[object, ...], list[str]] | None = None


class CannotPreloadError(ImportError):
    """The fork server cannot import a module that `preload` named."""


class CannotForkError(RuntimeError):
    """The fork server cannot start a process."""


def preload(*names: str) -> None:
    """Have the fork server import these modules, so that children need not.

    If a module cannot be imported, or its import starts a thread, the next start of a process actor
    raises `ImportError`, and the names given since the last start are forgotten. Running actors are
    not affected.
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
    """Start a process that serves this one; see `start.start_child`."""
    inheritance = look()
    with _lock:
        _forget_the_ended()
        try:
            return _connection(inheritance).fork(descriptors, slow_imports, inheritance)
        except (OSError, EOFError):
            # The server was killed. Try once more with a new one.
            _retire()
        return _connection(inheritance).fork(descriptors, slow_imports, inheritance)


def _connection(inheritance: Inheritance) -> "_Connection":
    """Return a connection to a server that has inherited what this process has now."""
    global _server, _refusal  # noqa: PLW0603 - one server for each process
    if _server is not None and (_server.owes or _server.fixed != inheritance.fixed):
        # A caller was interrupted before it received its answer, and the next one would get that.
        _retire()
    if _server is None:
        if _refusal is not None and _refusal[1:] == (inheritance.fixed, _names):
            raise CannotForkError(_refusal[0])
        try:
            _server = _joined(inheritance) or _started(_names, inheritance)
        except CannotPreloadError:
            _names[:] = _imported
            raise
        except CannotForkError as error:
            _refusal = str(error), inheritance.fixed, [*_names]
            raise
        _imported[:] = _names
    return _server


def _joined(inheritance: Inheritance) -> "_Connection | None":
    """Return a connection to the server that this process was forked by, if that suits."""
    socket = fork_protocol.take()
    if socket is None:
        return None
    socket.settimeout(None)
    exits = _core.ServerExitCodes()
    connection = _Connection(socket, exits, inheritance)
    try:
        fork_protocol.send(socket, fork_protocol.JOIN, (exits.writer or -1,))
        names, fixed = connection.answer()
    except (OSError, EOFError):
        # It was killed.
        socket.close()
        return None
    except BaseException:
        socket.close()
        raise
    finally:
        exits.close_writer()
    if fixed != inheritance.fixed or not set(_names) <= set(names):
        socket.close()
        return None
    _names[:] = names
    return connection


def _started(names: list[str], inheritance: Inheritance) -> "_Connection":
    """Start a server, and return a connection to it."""
    exits = _core.ServerExitCodes()
    # Plain sockets, even if this process has patched `socket` for an event loop or has set a
    # default timeout: the other end belongs to another process.
    ours, theirs = _socket.socketpair()
    for end in (ours, theirs):
        end.settimeout(None)
    try:
        process = start_interpreter("forkserver", [theirs.fileno(), exits.writer or -1])
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
        exits.close_writer()
    connection = _Connection(ours, exits, inheritance, process)
    try:
        cannot_preload, cannot_fork = connection.open(names)
    except BaseException:
        connection.end()
        raise
    if cannot_preload or cannot_fork:
        connection.end()
    if cannot_preload:
        raise CannotPreloadError(cannot_preload)
    if cannot_fork:
        raise CannotForkError(cannot_fork)
    return connection


def _retire() -> None:
    """Stop using the server; it ends once its children have ended."""
    global _server  # noqa: PLW0603 - one server for each process
    if _server is not None:
        _server.close()
        _retired.append(_server)
        _server = None


def _forget_the_ended() -> None:
    """Reap those retired servers whose children have all ended."""
    _retired[:] = [server for server in _retired if server.is_running()]


_retired: "list[_Connection]" = []


@atexit.register
def stop() -> None:
    """End the server at the interpreter's exit. All actors have ended by then."""
    _retire()
    for server in _retired:
        server.end()
    _retired.clear()


def _after_fork() -> None:
    """Give up the parent's servers, before their descriptors' numbers can be used again.

    Replace the lock, too: a thread that does not exist in this process may have held it.
    """
    global _lock, _server  # noqa: PLW0603 - a lock cannot say which thread holds it
    _lock = threading.Lock()
    for server in [*_retired, *filter(None, [_server])]:
        server.forget()
    _server = None
    _retired.clear()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_after_fork)


class _Connection:
    """A running server, and the socket to it."""

    def __init__(
        self,
        socket: _socket.socket,
        exits: _core.ServerExitCodes,
        inheritance: Inheritance,
        process: "subprocess.Popen[bytes] | None" = None,
    ) -> None:
        #: What its children inherit from it, and cannot set for themselves.
        self.fixed = inheritance.fixed
        #: Whether a request has not been answered yet.
        self.owes = False
        self._requests = 0
        self._socket = socket
        self._exits = exits
        #: The server, if this process has started it.
        self._process = process

    def open(self, names: list[str]) -> fork_protocol.Refusal:
        """Tell the server which modules to import, and return its answer."""
        try:
            fork_protocol.send(self._socket, (search_path(), names, self.fixed))
            refusal: fork_protocol.Refusal = self.answer()
        except (OSError, EOFError):
            # It was not a Python interpreter, or an import ended the process.
            text = f"the fork server ended while it was started by {sys.executable}"
            return "", text
        return refusal

    def fork(
        self, descriptors: list[int], slow_imports: list[str], inheritance: Inheritance
    ) -> Started:
        # O_PATH, because a directory that can be entered need not be readable.
        directory = os.open(".", os.O_PATH | os.O_DIRECTORY)
        try:
            request = inheritance.environ, inheritance.umask, inheritance.ignored
            out, err = (_stream(number) for number in (1, 2))
            self._requests += 1
            self.owes = True
            order: fork_protocol.Order = (self._requests, slow_imports, request)
            fork_protocol.send(self._socket, order, (*descriptors, out, err, directory))
            pid = self.answer()
            self.owes = False
        finally:
            os.close(directory)
        if not isinstance(pid, int):
            raise CannotForkError(pid)
        return pid, (self._exits, self._requests)

    def answer(self) -> Any:  # noqa: ANN401 - marshalled
        """Wait for the server's answer."""
        message = fork_protocol.receive(self._socket)
        if message is None:
            raise EOFError("the fork server has ended")
        return message[0]

    def close(self) -> None:
        self._socket.close()

    def is_running(self) -> bool:
        """Whether this process has started the server and must reap it."""
        return self._process is not None and self._process.poll() is None

    def forget(self) -> None:
        """Give up a server that belongs to the process that this one was forked from."""
        self._socket.close()
        if self._process is not None:
            self._process.returncode = 0

    def end(self) -> None:
        self._socket.close()
        if self._process is None:
            return
        try:
            self._process.wait(GRACE)
        except plain_subprocess().TimeoutExpired:
            # A process that has given up its privileges may not kill the server that it started.
            with contextlib.suppress(PermissionError):
                self._process.kill()
                self._process.wait()


def _stream(number: int) -> int:
    """Return the descriptor of a standard stream, or of the null device if that is closed."""
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
