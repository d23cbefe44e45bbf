"""Connections and sockets in messages: the other process gets duplicates of their descriptors.

`multiprocessing` hands them out, in a thread and over a socket of its own, as for its pools; a
child has its parent's key for that.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def find_reducer(kind: type) -> Callable[[Any], Any] | None:
    """Return how to pickle a connection, a socket or a shared value; None: it is another type.

    Plain pickle would send the number of a descriptor, or refuse. What else is registered with
    `multiprocessing` is not wanted: other packages share memory so, and a message is a copy.
    """
    reduction = sys.modules.get("multiprocessing.reduction")
    reducer: Any = reduction and reduction.ForkingPickler._extra_reducers.get(kind)  # noqa: SLF001
    if reducer is None:
        return None
    if reducer.__module__ == "multiprocessing.sharedctypes":
        # It refuses. The type is that of any number of ctypes.
        return lambda value: reducer(value) if hasattr(value, "_wrapper") else NotImplemented
    if reducer.__module__ == "multiprocessing.connection" or kind.__module__ == "socket":
        return reducer  # type: ignore[no-any-return]
    return None


def find_refusal(kind: type) -> Callable[[Any], Any] | None:
    """Return what refuses what `find_reducer` knows, for where the receiver may be anywhere."""
    return None if find_reducer(kind) is None else _refuse


def _refuse(value: object) -> Any:  # noqa: ANN401 - it never returns
    raise TypeError(f"cannot pickle '{type(value).__name__}' object: it is of this machine alone")
