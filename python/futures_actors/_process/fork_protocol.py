"""The messages between a fork server and the processes that it forks for.

They are marshalled objects, with descriptors. On each socket the two sides speak by turns. This
module must import nothing heavy, because every child of a fork server has it too.
"""

import _socket
import contextlib
import marshal
import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LEN = struct.Struct("!Q")
_INT = struct.Struct("i")
_READ_BYTES = 16384

#: In a child of a fork server, its socket to the server, until the child first starts an actor.
#: It is a number, because an object would warn at the interpreter's end that it is still open.
_inherited: int | None = None

#: What a child must look like: its environment, its umask, and the ignored signals as bits. With it
#: come descriptors: those of `child.main`, then standard output, standard error and the working
#: directory.
Request = tuple[dict[bytes, bytes], int, int]
#: The first message to a server: `sys.path`, the modules to import before it forks, and
#: `Inheritance.fixed` of the process that started it.
Opening = tuple[list[str], list[str], "tuple[Any, ...]"]
#: The first answer: why it cannot import the modules, and why it cannot fork. Empty if it can.
Refusal = tuple[str, str]

#: A request to fork: its number, modules that take long to import and that this child needs (the
#: next child probably will need them, too), and what the child must look like.
Order = tuple[int, list[str], Request]

#: The first message of a child that starts actors itself: nothing but the pipe for exit codes.
JOIN = ()
#: The answer to it: the modules that the server has imported, and what its children inherit.
Joined = tuple[list[str], "tuple[Any, ...]"]

#: How a child has ended: the number of its request, and its exit code. A record is written whole or
#: not at all.
EXIT = struct.Struct("=Qi")

#: No message has as many.
_MAX_DESCRIPTORS = 16


def send(
    connection: _socket.socket,
    message: "Order | tuple[int, Request] | Opening | Refusal | Joined | tuple[()] | int | str",
    descriptors: tuple[int, ...] = (),
) -> None:
    """Send an object that `marshal` supports, with copies of `descriptors`."""
    body = marshal.dumps(message)
    data = _LEN.pack(len(body)) + body
    rights = b"".join(map(_INT.pack, descriptors))
    ancillary = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)] if rights else []
    sent = connection.sendmsg([data], ancillary)
    if sent < len(data):
        connection.sendall(data[sent:])


def receive(connection: _socket.socket) -> "tuple[Any, list[int]] | None":
    """Wait for a message, and return it with its descriptors; None if the other side has closed.

    A sender may be killed in the middle of a message. Such a message counts as never sent.
    """
    receiver = Receiver(connection)
    try:
        while (message := receiver.read()) is None:
            pass
    except EOFError:
        return None
    finally:
        receiver.close()
    return message


class Receiver:
    """Receives messages piece by piece, so that a sender that stops in the middle blocks nobody."""

    def __init__(self, connection: _socket.socket) -> None:
        self._connection = connection
        self._data = bytearray()
        self._descriptors: list[int] = []
        self._has_lost_some = False

    def read(self) -> "tuple[Any, list[int]] | None":
        """Read once; return a message and its descriptors if it is complete.

        There are no descriptors if this process may not open as many. Raises `EOFError` if the
        other side has closed.
        """
        room = _socket.CMSG_SPACE(_MAX_DESCRIPTORS * _INT.size)
        try:
            data, ancillary, flags, _ = self._connection.recvmsg(
                _READ_BYTES, room, _socket.MSG_CMSG_CLOEXEC
            )
        except ConnectionResetError:
            # The other side closed before it had read all that was sent to it.
            raise EOFError from None
        for _, _, rights in ancillary:
            whole = rights[: len(rights) // _INT.size * _INT.size]
            self._descriptors += (descriptor for (descriptor,) in _INT.iter_unpack(whole))
        self._has_lost_some |= bool(flags & _socket.MSG_CTRUNC)
        if not data:
            raise EOFError
        self._data += data
        if len(self._data) < _LEN.size:
            return None
        (length,) = _LEN.unpack_from(self._data)
        if len(self._data) < _LEN.size + length:
            return None
        message = marshal.loads(self._data[_LEN.size :])  # noqa: S302
        self._data.clear()
        if self._has_lost_some:
            self._has_lost_some = False
            self.close()
        descriptors, self._descriptors = self._descriptors, []
        return message, descriptors

    def close(self) -> None:
        """Close the descriptors of a message that is not complete."""
        while self._descriptors:
            os.close(self._descriptors.pop())


def keep(connection: _socket.socket) -> None:
    """In a child: keep its socket to the server for the actors that it may start itself.

    A process that the child forks does not get it: its actors would count as the child's.
    """
    global _inherited  # noqa: PLW0603 - one for each process
    _inherited = connection.detach()
    os.register_at_fork(after_in_child=_drop)


def take() -> "_socket.socket | None":
    """Return the socket that this process has kept, the first time that it is asked for."""
    global _inherited
    kept, _inherited = _inherited, None
    return None if kept is None else _socket.socket(fileno=kept)


def _drop() -> None:
    global _inherited  # noqa: PLW0603 - one for each process
    if _inherited is not None:
        os.close(_inherited)
        _inherited = None


def write(descriptor: int, data: bytes) -> None:
    """Write `data`, or do nothing if the reader is gone."""
    with contextlib.suppress(OSError):
        os.write(descriptor, data)
