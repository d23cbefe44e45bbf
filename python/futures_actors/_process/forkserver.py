"""The fork server: a helper process with one thread that forks a child for each actor.

It also does so for the actors that its children start. The server imports this package and the
modules that `preload` names, so that children need not. It forks ahead of demand: this child, the
spare, waits for a request. So a start waits neither for the fork nor for the page faults that
follow it. Parent and server talk over a pair of sockets without a name, and so do server and spare.
`forkserver_client` is the parent's half.

    parent ── request, descriptors ─▶ server ── the same ─▶ spare: now the child of an actor
           ◀─ the child's pid ───────        ── fork ─▶ the next spare
           ◀─ exit codes, on one pipe for all children, which closes if the server dies

The socket to the spare stays when it has become a child. When that child starts an actor, it is the
parent in this picture, with a pipe for exit codes of its own. The server is the only process that
reaps, so it knows when an asking process has ended, whoever else has a copy of its socket.

This module must import nothing heavy, because every child has what the server has.
"""

import _pickle  # noqa: F401 - each child needs it first
import _signal  # type: ignore[import-not-found] # signal itself imports enum
import _socket
import _thread
import contextlib
import fcntl
import gc
import os
import select
import sys
import time
import warnings
from importlib import import_module
from importlib.machinery import PathFinder

import futures_actors

from .. import _core
from . import child, fork_protocol
from .slow_imports import import_early

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

#: How many milliseconds the server leaves the processors to a new child before it forks the next.
_LULL = 2

#: A folder that was last changed so many seconds ago will have another time after the next change.
_SETTLED = 2

#: Signals that Python ignores in every fresh interpreter.
_PYTHON_IGNORES = (_signal.SIGPIPE, _signal.SIGXFSZ)


def main(descriptors: list[int], parent: int) -> None:
    """Serve the process `parent` until it ends; in a forked child, be that child.

    `descriptors` are a socket to the parent, and the pipe to write exit codes to.
    """
    # If the parent has closed standard streams, these descriptors may have their numbers.
    moved = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3) for descriptor in descriptors]
    for descriptor in descriptors:
        os.close(descriptor)
    connection = _socket.socket(fileno=moved[0])
    while (empty := os.open(os.devnull, os.O_RDWR)) < 3:  # noqa: PLR2004 - they are three
        pass
    os.close(empty)
    # Ctrl-C goes to the whole process group; the server ends when its parent does.
    _signal.signal(_signal.SIGINT, _signal.SIG_IGN)
    # The thread that started this process may have blocked signals, but SIGCHLD is needed here.
    _signal.pthread_sigmask(_signal.SIG_SETMASK, [])
    spare = None
    # These errors mean that the parent has ended.
    with contextlib.suppress(ConnectionError, ProcessLookupError):
        message = fork_protocol.receive(connection)
        if message is None:
            return
        (sys.path[:], names, fixed), _ = message
        fork_protocol.send(connection, _preload(names))
        _keep_for_good()
        spare = _Server(_Asker(parent, connection, moved[1]), (names, fixed)).serve()
    connection.close()
    if spare is not None:
        # When `main` returns, the interpreter exits as a fresh one would.
        child.main(*_become_child(spare))


def _keep_for_good() -> None:
    """Exempt all present objects from garbage collection, which would write to their pages."""
    gc.collect()
    gc.freeze()


def _preload(names: list[str]) -> fork_protocol.Refusal:
    """Import modules; return why that failed, or empty texts."""
    if _has_threads():
        return "", "a thread runs in every new interpreter: sitecustomize or a .pth file starts it"
    _core.set_loading(True)
    for name in names:
        try:
            import_module(name)
        except Exception as error:  # noqa: BLE001 - whatever a module raises
            return f"cannot preload module {name!r}: {type(error).__name__}: {error}", ""
    _core.set_loading(False)
    if _has_threads():
        return f"cannot preload {', '.join(names)}: the import started a thread", ""
    return "", ""


def _has_threads() -> bool:
    """Whether other threads run Python code: a fork would copy their locks but not the threads."""
    threading = sys.modules.get("threading")
    return _thread._count() > 0 or (threading is not None and threading.active_count() > 1)  # noqa: SLF001


class _Asker:
    """A process that this one forks for: the parent, or a child that may start actors itself."""

    def __init__(self, pid: int, connection: _socket.socket, exits: int | None = None) -> None:
        self.pid = pid
        self.connection = connection
        #: Where to write how its children have ended; a child gives it before its first request.
        self.exits = exits
        #: Whether it may still send requests.
        self.asks = True
        self._receiver = fork_protocol.Receiver(connection)

    def read(self) -> "tuple[Any, list[int]] | None":
        """Return its next message once that is complete; hang up at its end, or if it is none."""
        # A child whose code writes into any descriptor must not end the server of all others.
        with contextlib.suppress(EOFError, TypeError, ValueError):
            message = self._receiver.read()
            if message is None or _is_request(message[0]):
                return message
            for descriptor in message[1]:
                os.close(descriptor)
        self.hang_up()
        return None

    def hang_up(self) -> None:
        """Take no more requests; the exits of its children are still reported."""
        self.asks = False
        self._receiver.close()
        self.connection.close()

    def close(self) -> None:
        """Close all that this process has of it: it has ended, or this process is a fork."""
        self.hang_up()
        if self.exits is not None:
            os.close(self.exits)
            self.exits = None


def _is_request(message: object) -> bool:
    """Whether it has the form of `fork_protocol.JOIN` or of an `Order`."""
    if not isinstance(message, tuple) or [*map(type, message)] != [int, list, tuple]:
        return message == fork_protocol.JOIN
    return [*map(type, message[2])] == [dict, int, int]


class _Server:
    def __init__(self, parent: _Asker, joined: fork_protocol.Joined) -> None:
        self._parent = parent
        self._joined = joined
        # By pid, each child as one that may ask, the number of the request that it was forked for,
        # and who sent that.
        self._children: dict[int, tuple[_Asker, int, _Asker]] = {}
        # The child that was forked ahead of demand: its pid, and the socket to it.
        self._spare: tuple[int, _socket.socket] | None = None
        # The pids of spares that are not needed any more, until they have ended.
        self._leaving: set[int] = set()
        # Whether to fork the next spare once the server is idle.
        self._due = True
        # Modules that children need and that take long to import, and those already tried.
        self._slow_imports: list[str] = []
        self._tried: set[str] = set()
        # Why the last attempt to fork a spare failed.
        self._fault = ""
        self._bell, self._ring = os.pipe()
        os.set_blocking(self._bell, False)
        os.set_blocking(self._ring, False)
        _signal.signal(_signal.SIGCHLD, lambda *_: None)
        _signal.set_wakeup_fd(self._ring, warn_on_full_buffer=False)
        # Another process may hold a copy of the parent's socket, so watch the process itself too.
        self._watch = os.pidfd_open(parent.pid)
        self._poll = select.poll()
        for descriptor in (parent.connection.fileno(), self._bell, self._watch):
            self._poll.register(descriptor, select.POLLIN)

    def serve(self) -> _socket.socket | None:
        """Fork on request. Return None once the parent has ended; in a child, its socket."""
        while self._parent.asks or self._children or self._spare or self._leaving:
            ready = {descriptor for descriptor, _ in self._poll.poll(_LULL if self._due else None)}
            if not ready:
                self._import_slowly()
                _list_folders()
            if not ready and (spare := self._fork_spare()) is not None:
                # This child has time now, and it will have none once a request has come.
                _core.unshare_pages()
                return spare
            if self._watch in ready:
                break
            # Look them up now: reaping closes descriptors, and a fork may use their numbers again.
            asking = [one for one in self._askers() if one.connection.fileno() in ready]
            # In every round: the spare may have been killed just before the request came.
            self._reap()
            for asker in asking:
                if asker.asks and (spare := self._listen(asker)) is not None:
                    return spare
            if not self._parent.asks:
                # The parent uses another server now. This one only reports exit codes, and forks
                # for children that ask, without being ahead of them.
                self._due = False
                if self._spare is not None:
                    self._leaving.add(self._spare[0])
                    self._spare[1].close()
                    self._spare = None
        return None

    def _askers(self) -> "Iterator[_Asker]":
        """Return the processes that may send requests."""
        if self._parent.asks:
            yield self._parent
        for asker, _, _ in self._children.values():
            if asker.asks:
                yield asker

    def _listen(self, asker: _Asker) -> _socket.socket | None:
        """Read what one process asks for, and do it. In a child, return the child's socket."""
        number = asker.connection.fileno()
        message = asker.read()
        if not asker.asks:
            self._poll.unregister(number)
        elif message is not None and message[0] == fork_protocol.JOIN:
            # If there is none, the child finds that it cannot learn how its children end.
            asker.exits = next(iter(message[1]), None)
            _answer(asker, self._joined)
        elif message is not None:
            # In case there is no spare yet.
            if (spare := self._fork_spare()) is not None:
                for descriptor in message[1]:
                    os.close(descriptor)
                return spare
            self._hand_over(asker, *message)
        return None

    def _import_slowly(self) -> None:
        """While idle, import what children have needed, so that the next child has it already."""
        while self._slow_imports:
            name = self._slow_imports.pop()
            self._tried.add(name)
            import_early(name)
            _keep_for_good()

    def _reap(self) -> None:
        while True:
            try:
                os.read(self._bell, 4096)
            except BlockingIOError:
                break
        while self._children or self._spare or self._leaving:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            if self._spare is not None and pid == self._spare[0]:
                self._spare[1].close()
                self._spare = None
            self._leaving.discard(pid)
            if pid not in self._children:
                continue
            ended, number, asker = self._children.pop(pid)
            if ended.asks:
                self._poll.unregister(ended.connection.fileno())
            ended.close()
            if asker.exits is not None:
                code = os.waitstatus_to_exitcode(status)
                fork_protocol.write(asker.exits, fork_protocol.EXIT.pack(number, code))

    def _fork_spare(self) -> _socket.socket | None:
        """Fork a spare if there is none. In the spare, return the socket for its request."""
        if self._spare is not None:
            return None
        self._due = False
        if _has_threads():
            self._fault = "a module that it has imported has started a thread"
            return None
        try:
            return self._fork()
        except OSError as error:
            self._fault = str(error)
            return None

    def _fork(self) -> _socket.socket | None:
        here, there = _socket.socketpair()
        try:
            with warnings.catch_warnings():
                # Python warns if a preloaded module has native threads.
                warnings.simplefilter("ignore", DeprecationWarning)
                pid = os.fork()
        except OSError:
            here.close()
            there.close()
            raise
        if pid != 0:
            there.close()
            self._spare = pid, here
            return None
        here.close()
        _signal.set_wakeup_fd(-1)
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
        for descriptor in (self._bell, self._ring, self._watch):
            os.close(descriptor)
        self._parent.close()
        for asker, _, _ in self._children.values():
            asker.close()
        _reseed()
        return there

    def _hand_over(self, asker: _Asker, order: fork_protocol.Order, descriptors: list[int]) -> None:
        """Give the spare its request, and send its pid to the process that asks."""
        number, slow_imports, request = order
        self._slow_imports += [name for name in slow_imports if name not in self._tried]
        answer: int | str
        if not descriptors:
            answer = "it may not open more files"
        elif self._spare is None:
            answer = self._fault
        else:
            (answer, spare), self._spare = self._spare, None
            self._due = True
            self._children[answer] = _Asker(answer, spare), number, asker
            self._poll.register(spare, select.POLLIN)
            # If the spare has just been killed, its parent learns it by the exit code.
            with contextlib.suppress(OSError):
                fork_protocol.send(spare, (asker.pid, request), tuple(descriptors))
        for descriptor in descriptors:
            os.close(descriptor)
        _answer(asker, answer)


def _list_folders() -> None:
    """While idle, list the folders in which modules are searched for, so that children need not.

    Whoever searches a folder lists it again if it has another time of change. But the kernel's
    clock is coarse: a folder that has just changed may change once more at the same time. So the
    children list that.
    """
    settled = time.time() - _SETTLED
    for folder in sys.path:
        # If this fails, it fails in the same way in each child that searches the folder.
        with contextlib.suppress(Exception):
            changed = os.stat(folder).st_mtime  # noqa: PTH116 - no pathlib here
            if _listed.get(folder) != changed and changed < settled:
                PathFinder.find_spec("no module has this name", [folder])
                _listed[folder] = changed


#: The times of change of the folders that were listed.
_listed: dict[str, float] = {}


def _answer(asker: _Asker, answer: "int | str | fork_protocol.Joined") -> None:
    # If the process has ended, the next poll notices.
    with contextlib.suppress(OSError):
        fork_protocol.send(asker.connection, answer)


def _become_child(spare: _socket.socket) -> tuple[list[int], int]:
    """Wait for a request, and make this process look as its parent did when it sent that.

    Return the arguments of `child.main`.
    """
    message = fork_protocol.receive(spare)
    if message is None:
        # The server has closed the socket: no actor needs this process.
        os._exit(0)
    fork_protocol.keep(spare)
    (parent, (environ, umask, ignored)), descriptors = message
    _ignore(ignored)
    *mine, out, err, directory = descriptors
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.fchdir(directory)
    futures_actors._note_directory()  # noqa: SLF001 - it is this package's
    for descriptor in (out, err, directory):
        os.close(descriptor)
    os.umask(umask)
    # The same as dict(os.environb), at a tenth of its time.
    if os.environb._data != environ:  # type: ignore[attr-defined] # noqa: SLF001
        os.environb.clear()
        os.environb.update(environ)
        # The C library has already read the old TZ.
        time.tzset()
    return mine, parent


def _ignore(signals: int) -> None:
    """Ignore exactly the signals whose bits are set, as a fresh interpreter would."""
    for number in range(1, _signal.NSIG):
        handler = _signal.getsignal(number)
        if signals >> (number - 1) & 1:
            if handler == _signal.SIG_DFL:
                _signal.signal(number, _signal.SIG_IGN)
        elif handler == _signal.SIG_IGN and number not in _PYTHON_IGNORES:
            _signal.signal(number, _signal.SIG_DFL)
    if _signal.getsignal(_signal.SIGINT) == _signal.SIG_DFL:
        _signal.signal(_signal.SIGINT, _signal.default_int_handler)


def _reseed() -> None:
    """Seed numpy's random numbers anew; `random` does that by itself after a fork."""
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
