"""The fork server: a helper process with one thread that forks a child for each actor.

It has imported this package and what `preload` names, so that a child does not have to. Parent and
server talk over a pair of sockets that have no name; `_forkserver_client` is the parent's half.

    parent ── request, descriptors ─▶ server ── fork ─▶ child
           ◀─ the child's pid ───────
           ◀─ exit status, over a pipe for that child, which is closed if the server dies

It imports nothing heavy, since every child would have it too.
"""

import _signal  # type: ignore[import-not-found] # signal itself imports enum
import _socket
import gc
import os
import select
import sys
import warnings
from importlib import import_module

from . import _child, _messages


def main(descriptors: list[int], parent: int, names: list[str]) -> None:
    """Serve the process `parent` until it ends; in a forked child, be that child.

    `descriptors` has one, a socket; `names` are the modules to import before the first fork.
    """
    connection = _socket.socket(fileno=descriptors[0])
    os.set_inheritable(descriptors[0], False)  # noqa: FBT003 - the name says it
    # Ctrl-C reaches the whole group; the server ends when its parent does.
    _signal.signal(_signal.SIGINT, _signal.SIG_IGN)
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, [_signal.SIGINT])
    _messages.send(connection, _preload(names))
    # What is here now is here for good: no collection need touch it, in no child.
    gc.collect()
    gc.freeze()
    mine = _Server(connection, parent).serve()
    connection.close()
    if mine is not None:
        # As in a fresh interpreter: from here to the end of its main module.
        _child.main(mine, parent)


def _preload(names: list[str]) -> str:
    """Import modules; return what went wrong, if anything did."""
    for name in names:
        try:
            import_module(name)
        except Exception as error:  # noqa: BLE001 - whatever a module raises
            return f"cannot preload module {name!r}: {type(error).__name__}: {error}"
    threading = sys.modules.get("threading")
    if threading is not None and threading.active_count() > 1:
        return f"cannot preload {', '.join(names)}: the import started a thread"
    return ""


class _Server:
    def __init__(self, connection: _socket.socket, parent: int) -> None:
        self._connection = connection
        # By pid, where the exit status is to be written.
        self._statuses: dict[int, int] = {}
        self._bell, self._ring = os.pipe()
        os.set_blocking(self._bell, False)
        os.set_blocking(self._ring, False)
        _signal.signal(_signal.SIGCHLD, lambda *_: None)
        _signal.set_wakeup_fd(self._ring, warn_on_full_buffer=False)
        # Somebody may have a copy of the parent's socket, so its process is watched too.
        self._parent = os.pidfd_open(parent)

    def serve(self) -> list[int] | None:
        """Fork as asked. Return None when the parent is gone, and in a child its descriptors."""
        poll = select.poll()
        socket = self._connection.fileno()
        for descriptor in (socket, self._bell, self._parent):
            poll.register(descriptor, select.POLLIN)
        retired = False
        while not (retired and not self._statuses):
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self._parent in ready:
                break
            if self._bell in ready:
                self._reap()
            if socket in ready:
                message = _messages.receive(self._connection)
                if message is None:
                    # The parent has another server; this one only tells how its children end.
                    poll.unregister(socket)
                    retired = True
                    continue
                mine = self._fork(*message)
                if mine is not None:
                    return mine
        return None

    def _reap(self) -> None:
        while True:
            try:
                os.read(self._bell, 4096)
            except BlockingIOError:
                break
        while self._statuses:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            answer = self._statuses.pop(pid, None)
            if answer is not None:
                _messages.write(answer, str(os.waitstatus_to_exitcode(status)).encode())
                os.close(answer)

    def _fork(self, request: _messages.Request, descriptors: list[int]) -> list[int] | None:
        """In the child, return what it is to serve on."""
        try:
            with warnings.catch_warnings():
                # That a preloaded module has threads of its own, of which Python knows nothing.
                warnings.simplefilter("ignore", DeprecationWarning)
                pid = os.fork()
        except OSError as error:
            for descriptor in descriptors:
                os.close(descriptor)
            _messages.send(self._connection, str(error))
            return None
        if pid == 0:
            return self._become_child(request, descriptors)
        self._statuses[pid] = descriptors.pop()
        for descriptor in descriptors:
            os.close(descriptor)
        _messages.send(self._connection, pid)
        return None

    def _become_child(self, request: _messages.Request, descriptors: list[int]) -> list[int]:
        """Take on what the parent looked like when it asked."""
        path, environ, umask, ignores_interrupt = request
        _signal.set_wakeup_fd(-1)
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
        if not ignores_interrupt:
            _signal.signal(_signal.SIGINT, _signal.default_int_handler)
        *mine, out, err, directory, status = descriptors
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.fchdir(directory)
        theirs = (self._bell, self._ring, self._parent, *self._statuses.values())
        for descriptor in (out, err, directory, status, *theirs):
            os.close(descriptor)
        os.umask(umask)
        if dict(os.environb) != environ:
            os.environb.clear()
            os.environb.update(environ)
        sys.path[:] = path
        return mine
