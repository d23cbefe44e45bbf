"""The messages between parent and fork server: marshalled objects, with descriptors.

It must import nothing heavy, because every child of a fork server has it too.
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

#: What a child must look like: its environment, its umask, and the ignored signals as bits. With it
#: come descriptors: those of `child.main`, then standard output, standard error and the working
#: directory.
Request = tuple[dict[bytes, bytes], int, int]
#: The first message to a server: `sys.path`, and the modules to import before it forks.
Opening = tuple[list[str], list[str]]
#: The first answer: why it cannot import the modules, and why it cannot fork. Empty if it can.
Refusal = tuple[str, str]

#: A request to fork: its number, modules that take long to import and that this child needs (the
#: next child probably will need them, too), and what the child must look like.
Order = tuple[int, list[str], Request]

#: How a child has ended: the number of its request, and its exit code. A record is written whole or
#: not at all.
EXIT = struct.Struct("=Qi")

#: No message has as many.
_MAX_DESCRIPTORS = 16


def send(
    connection: _socket.socket,
    message: "Order | Request | Opening | Refusal | int | str",
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
    """Return the next message and its descriptors; None if the other side has closed.

    A sender may be killed in the middle of a message. Such a message counts as never sent.
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
        # A reset means that the other side closed before it had read all that was sent to it.
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
    """Write `data`, or do nothing if the reader is gone."""
    with contextlib.suppress(OSError):
        os.write(descriptor, data)
