"""The fork server: a helper process with one thread that forks a child for each actor.

It has imported this package and what `preload` names, so that a child does not have to. It forks
before anybody asks: that child, the spare, waits to be told what it is, so that who asks waits
neither for the fork nor for the pages that come with it. Parent and server talk over a pair of
sockets that have no name, as do server and spare; `forkserver_client` is the parent's half.

    parent ── request, descriptors ─▶ server ── the same ─▶ spare: a child from now on
           ◀─ the child's pid ───────        ── fork ─▶ the next spare
           ◀─ exit codes, over one pipe for all, which is closed if the server dies

It imports nothing heavy, since every child would have it too.
"""

import _pickle  # noqa: F401 - each child's first need
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

import futures_actors

from .. import _core
from . import child, fork_protocol

#: Milliseconds that a child has the processors for itself to start, before the next is forked.
_LULL = 2

#: What this package needs of its own where a child needs that module.
_COMPANIONS = {"cloudpickle": ("futures_actors._pickling.by_value", "futures_actors._process.log")}


#: What a fresh interpreter ignores whatever its parent does.
_PYTHON_IGNORES = (_signal.SIGPIPE, _signal.SIGXFSZ)


def main(descriptors: list[int], parent: int) -> None:
    """Serve the process `parent` until it ends; in a forked child, be that child.

    `descriptors` are a socket, and where to write exit codes.
    """
    # Where the parent has no standard streams, other descriptors have their numbers.
    moved = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3) for descriptor in descriptors]
    for descriptor in descriptors:
        os.close(descriptor)
    connection = _socket.socket(fileno=moved[0])
    while (empty := os.open(os.devnull, os.O_RDWR)) < 3:  # noqa: PLR2004 - they are three
        pass
    os.close(empty)
    # Ctrl-C reaches the whole group; the server ends when its parent does.
    _signal.signal(_signal.SIGINT, _signal.SIG_IGN)
    # Whatever the thread blocked that started this process: SIGCHLD is needed here.
    _signal.pthread_sigmask(_signal.SIG_SETMASK, [])
    spare = None
    # What these errors say is that the parent has ended.
    with contextlib.suppress(ConnectionError, ProcessLookupError):
        message = fork_protocol.receive(connection)
        if message is None:
            return
        (sys.path[:], names), _ = message
        fork_protocol.send(connection, _preload(names))
        _keep_for_good()
        spare = _Server(connection, moved[1], parent).serve()
    connection.close()
    if spare is not None:
        # As in a fresh interpreter: from here to the end of its main module.
        child.main(_become_child(spare), parent)


def _keep_for_good() -> None:
    """Say that what is here now stays: no collection need touch it, in no child."""
    gc.collect()
    gc.freeze()


def _preload(names: list[str]) -> fork_protocol.Refusal:
    """Import modules; return what went wrong, if anything did."""
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
    """Whether Python code runs in other threads: a fork would have their locks and not them."""
    threading = sys.modules.get("threading")
    return _thread._count() > 0 or (threading is not None and threading.active_count() > 1)  # noqa: SLF001


class _Server:
    def __init__(self, connection: _socket.socket, exits: int, parent: int) -> None:
        self._connection = connection
        self._exits = exits
        # By pid, the number of the request for each child.
        self._children: dict[int, int] = {}
        # A child that nobody has asked for yet: its pid, and the socket to it.
        self._spare: tuple[int, _socket.socket] | None = None
        # Whether the next spare is to be forked when nothing else is to be done.
        self._due = True
        # What children need that takes long to import, and what of it has been tried.
        self._slow_imports: list[str] = []
        self._tried: set[str] = set()
        # Why there is no spare.
        self._fault = ""
        self._bell, self._ring = os.pipe()
        os.set_blocking(self._bell, False)
        os.set_blocking(self._ring, False)
        _signal.signal(_signal.SIGCHLD, lambda *_: None)
        _signal.set_wakeup_fd(self._ring, warn_on_full_buffer=False)
        # Somebody may have a copy of the parent's socket, so its process is watched too.
        self._parent = os.pidfd_open(parent)

    def serve(self) -> _socket.socket | None:
        """Fork as asked. Return None when the parent is gone, and in a child the socket to here."""
        poll = select.poll()
        socket = self._connection.fileno()
        for descriptor in (socket, self._bell, self._parent):
            poll.register(descriptor, select.POLLIN)
        retired = False
        while not retired or self._children or self._spare:
            ready = {descriptor for descriptor, _ in poll.poll(_LULL if self._due else None)}
            if not ready:
                self._import_slowly()
            if not ready and (spare := self._fork_spare()) is not None:
                # There is time for what would otherwise take time when it is needed.
                _core.unshare_pages()
                return spare
            if self._parent in ready:
                break
            # Always: the spare may have been killed just before the request came.
            self._reap()
            if socket in ready:
                # Should there be none yet. Before the request is read, whose descriptors it would
                # have copies of.
                if (spare := self._fork_spare()) is not None:
                    return spare
                message = fork_protocol.receive(self._connection)
                if message is not None:
                    self._hand_over(*message)
                    continue
                # The parent has another server; this one only tells how its children end.
                poll.unregister(socket)
                retired = True
                self._due = False
                if self._spare is not None:
                    self._spare[1].close()
        return None

    def _import_slowly(self) -> None:
        """Import what a child has needed, before the next is forked, while nobody asks for it."""
        while self._slow_imports:
            name = self._slow_imports.pop()
            self._tried.add(name)
            # Should it fail, each child imports it, or says why it cannot.
            with contextlib.suppress(Exception):
                for module in (name, *_COMPANIONS.get(name, ())):
                    import_module(module)
            _keep_for_good()

    def _reap(self) -> None:
        while True:
            try:
                os.read(self._bell, 4096)
            except BlockingIOError:
                break
        while self._children or self._spare:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            if self._spare is not None and pid == self._spare[0]:
                self._spare[1].close()
                self._spare = None
            number = self._children.pop(pid, None)
            if number is not None:
                code = os.waitstatus_to_exitcode(status)
                fork_protocol.write(self._exits, fork_protocol.EXIT.pack(number, code))

    def _fork_spare(self) -> _socket.socket | None:
        """Have a spare. In it, return the socket over which it will be told what to be."""
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
                # That a preloaded module has threads of its own, of which Python knows nothing.
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
        for descriptor in (self._bell, self._ring, self._parent, self._exits):
            os.close(descriptor)
        _reseed()
        return there

    def _hand_over(self, order: fork_protocol.Order, descriptors: list[int]) -> None:
        """Make the spare a child of the parent's, and tell the parent its pid."""
        number, slow_imports, request = order
        self._slow_imports += [name for name in slow_imports if name not in self._tried]
        if self._spare is None:
            answer: int | str = self._fault
        else:
            (answer, spare), self._spare = self._spare, None
            self._due = True
            self._children[answer] = number
            # It may have been killed a moment ago: its exit code will tell.
            with contextlib.suppress(OSError):
                fork_protocol.send(spare, request, tuple(descriptors))
            spare.close()
        for descriptor in descriptors:
            os.close(descriptor)
        # The parent may be gone: the next poll will tell.
        with contextlib.suppress(OSError):
            fork_protocol.send(self._connection, answer)


def _become_child(spare: _socket.socket) -> list[int]:
    """Wait for a request, and take on what the parent looks like at that moment."""
    message = fork_protocol.receive(spare)
    if message is None:
        # No actor needed it.
        os._exit(0)
    spare.close()
    (environ, umask, ignored), descriptors = message
    _ignore(ignored)
    *mine, out, err, directory = descriptors
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.fchdir(directory)
    futures_actors._note_directory()  # noqa: SLF001 - it is this package's
    for descriptor in (out, err, directory):
        os.close(descriptor)
    os.umask(umask)
    if dict(os.environb) != environ:
        os.environb.clear()
        os.environb.update(environ)
        # The C library has read TZ already.
        time.tzset()
    return mine


def _ignore(signals: int) -> None:
    """Ignore the signals whose bits are set, and no others, as a fresh interpreter would."""
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
    """Have random numbers of this process's own, as `random` sees to by itself."""
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
