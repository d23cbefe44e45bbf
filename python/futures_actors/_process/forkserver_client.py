"""The parent's half of the fork server: it starts the server, and children through it."""

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

_lock = threading.Lock()
_server: "_Connection | None" = None
_names: list[str] = []
#: Those of the names that a server has imported.
_imported: list[str] = []
#: Why a server would not serve, what it would have had from this process, and what it imported.
_refusal: tuple[str, tuple[object, ...], list[str]] | None = None


class CannotPreloadError(ImportError):
    """A module that `preload` named cannot be imported before children are forked."""


class CannotForkError(RuntimeError):
    """The fork server cannot start a process."""


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
    """Start a process that serves this one; see `start.start_child`."""
    inheritance = look()
    with _lock:
        _forget_the_ended()
        try:
            return _connection(inheritance).fork(descriptors, slow_imports, inheritance)
        except (OSError, EOFError):
            # Somebody has killed the server. Once is an accident.
            _retire()
        return _connection(inheritance).fork(descriptors, slow_imports, inheritance)


def _connection(inheritance: Inheritance) -> "_Connection":
    """Return the connection to a server that was started by this process, as it is now."""
    global _server, _refusal  # noqa: PLW0603 - one server for each process
    if _server is not None and (_server.owes or _server.fixed != inheritance.fixed):
        # The caller that it owes an answer was interrupted: the next answer would be to that.
        _retire()
    if _server is None:
        if _refusal is not None and _refusal[1:] == (inheritance.fixed, _names):
            raise CannotForkError(_refusal[0])
        try:
            _server = _Connection(_names, inheritance)
        except CannotPreloadError:
            _names[:] = _imported
            raise
        except CannotForkError as error:
            _refusal = str(error), inheritance.fixed, [*_names]
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


def _forget_the_ended() -> None:
    """Reap those retired servers whose children have all ended."""
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
    """Let go of what is the other process's, while its descriptors have still their numbers.

    Of the lock, too: a thread that this process does not have may have held it.
    """
    global _lock, _server  # noqa: PLW0603 - it cannot be asked whose it is
    _lock = threading.Lock()
    for server in [*_retired, *filter(None, [_server])]:
        server.forget()
    _server = None
    _retired.clear()


os.register_at_fork(after_in_child=_after_fork)


class _Connection:
    """A running server, and the socket to it."""

    def __init__(self, names: list[str], inheritance: Inheritance) -> None:
        #: What its children have from it, and cannot be told.
        self.fixed = inheritance.fixed
        #: Whether there is a request that has not been answered.
        self.owes = False
        self._requests = 0
        self._exits = _core.ServerExitCodes()
        # As the kernel has them, whatever `socket` has: theirs is for another process, which knows
        # nothing of an event loop or a default timeout here.
        self._socket, theirs = _socket.socketpair()
        for end in (self._socket, theirs):
            end.settimeout(None)
        try:
            given = [theirs.fileno(), self._exits.writer or -1]
            self._process = start_interpreter("forkserver", given)
        except BaseException:
            self._socket.close()
            raise
        finally:
            theirs.close()
            self._exits.close_writer()
        try:
            cannot_preload, cannot_fork = self._open(names)
        except BaseException:
            self.end()
            raise
        if cannot_preload or cannot_fork:
            self.end()
        if cannot_preload:
            raise CannotPreloadError(cannot_preload)
        if cannot_fork:
            raise CannotForkError(cannot_fork)

    def _open(self, names: list[str]) -> fork_protocol.Refusal:
        """Tell the server what to import; return what it says to that."""
        try:
            fork_protocol.send(self._socket, (search_path(), names))
            refusal: fork_protocol.Refusal = self._answer()
        except (OSError, EOFError):
            # It is no Python interpreter, or the import ended it.
            text = f"the fork server ended while it was started by {sys.executable}"
            return "", text
        return refusal

    def fork(
        self, descriptors: list[int], slow_imports: list[str], inheritance: Inheritance
    ) -> Started:
        # One that may be entered need not be readable.
        directory = os.open(".", os.O_PATH | os.O_DIRECTORY)
        try:
            request = inheritance.environ, inheritance.umask, inheritance.ignored
            out, err = (_stream(number) for number in (1, 2))
            self._requests += 1
            self.owes = True
            order: fork_protocol.Order = (self._requests, slow_imports, request)
            fork_protocol.send(self._socket, order, (*descriptors, out, err, directory))
            pid = self._answer()
            self.owes = False
        finally:
            os.close(directory)
        if not isinstance(pid, int):
            raise CannotForkError(pid)
        return pid, (self._exits, self._requests)

    def _answer(self) -> Any:  # noqa: ANN401 - marshalled
        message = fork_protocol.receive(self._socket)
        if message is None:
            raise EOFError("the fork server has ended")
        return message[0]

    def close(self) -> None:
        self._socket.close()

    def is_running(self) -> bool:
        return self._process.poll() is None

    def forget(self) -> None:
        """Let go of a server that is another process's, which `os.fork` copied."""
        self._socket.close()
        self._process.returncode = 0

    def end(self) -> None:
        self._socket.close()
        try:
            self._process.wait(GRACE)
        except plain_subprocess().TimeoutExpired:
            # What this process has started it may not kill, once it has given up its privileges.
            with contextlib.suppress(PermissionError):
                self._process.kill()
                self._process.wait()


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
