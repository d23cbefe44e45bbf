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

#: What a child is to look like: `sys.path`, environment, umask, and whether Ctrl-C is ignored.
#: With it go the three descriptors of `_child.main`, standard output and error, and the working
#: directory.
Request = tuple[list[str], dict[bytes, bytes], int, bool]

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
    message: "Order | Request | int | str",
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
    """Return the next message and its descriptors; None if the other side has closed."""
    room = _socket.CMSG_SPACE(_MAX_DESCRIPTORS * _INT.size)
    try:
        data, ancillary, _, _ = connection.recvmsg(_LEN.size, room, _socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError:
        # Without having read what was sent to it.
        return None
    descriptors = [
        descriptor
        for _, _, rights in ancillary
        for (descriptor,) in _INT.iter_unpack(rights[: len(rights) // _INT.size * _INT.size])
    ]
    if not data:
        return None
    (length,) = _LEN.unpack(data + _receive_exactly(connection, _LEN.size - len(data)))
    return marshal.loads(_receive_exactly(connection, length)), descriptors  # noqa: S302


def _receive_exactly(connection: _socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        some = connection.recv(length - len(data))
        if not some:
            raise EOFError("the other side closed in the middle of a message")
        data += some
    return bytes(data)


def write(descriptor: int, data: bytes) -> None:
    """Write `data`, unless nobody can read it any more."""
    with contextlib.suppress(OSError):
        os.write(descriptor, data)
