"""What parent and fork server say to each other: marshalled objects, and descriptors with them.

Nothing heavy may be imported: every child of a fork server has it too.
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

#: What a child is to look like: environment, umask, and the signals that are ignored, as bits. With
#: it go the descriptors of `child.main`, standard output and error, and the working directory.
Request = tuple[dict[bytes, bytes], int, int]
#: The first message to a server: `sys.path`, and the modules that it imports before it forks.
Opening = tuple[list[str], list[str]]
#: The first answer, empty texts or why not: it cannot import the modules; it cannot fork.
Refusal = tuple[str, str]

#: What the parent sends to the server: the number of the request, modules that take long to import
#: and that this child needs, so that the next probably will, and what the child is to look like.
Order = tuple[int, list[str], Request]

#: How a child has ended: the number of its request, and its exit code. Written at once or not at
#: all, so a record that is read is whole.
EXIT = struct.Struct("=Qi")

#: More than any message has.
_MAX_DESCRIPTORS = 16


def send(
    connection: _socket.socket,
    message: "Order | Request | Opening | Refusal | int | str",
    descriptors: tuple[int, ...] = (),
) -> None:
    """Send an object that marshal takes, and copies of `descriptors`."""
    body = marshal.dumps(message)
    data = _LEN.pack(len(body)) + body
    rights = b"".join(map(_INT.pack, descriptors))
    ancillary = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)] if rights else []
    sent = connection.sendmsg([data], ancillary)
    if sent < len(data):
        connection.sendall(data[sent:])


def receive(connection: _socket.socket) -> "tuple[Any, list[int]] | None":
    """Return the next message and its descriptors; None if the other side has closed.

    A process may be killed in the middle of a message: what it did not finish was never sent.
    """
    room = _socket.CMSG_SPACE(_MAX_DESCRIPTORS * _INT.size)
    try:
        data, ancillary, _, _ = connection.recvmsg(_LEN.size, room, _socket.MSG_CMSG_CLOEXEC)
        descriptors = [
            descriptor
            for _, _, rights in ancillary
            for (descriptor,) in _INT.iter_unpack(rights[: len(rights) // _INT.size * _INT.size])
        ]
        (length,) = _LEN.unpack(data + _receive_exactly(connection, _LEN.size - len(data)))
        return marshal.loads(_receive_exactly(connection, length)), descriptors  # noqa: S302
    except (EOFError, ConnectionResetError):
        # It was reset if the other side closed without having read what was sent to it.
        return None


def _receive_exactly(connection: _socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        some = connection.recv(length - len(data))
        if not some:
            raise EOFError
        data += some
    return bytes(data)


def write(descriptor: int, data: bytes) -> None:
    """Write `data`, unless nobody can read it any more."""
    with contextlib.suppress(OSError):
        os.write(descriptor, data)
