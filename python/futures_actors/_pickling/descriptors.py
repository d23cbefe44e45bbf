"""Pickles connections and sockets: the other process gets duplicates of their descriptors.

`multiprocessing` hands these out, in a thread and over a socket of its own, as for its pools.
A child has its parent's key for that.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def find_reducer(kind: type) -> Callable[[Any], Any] | None:
    """Return how to pickle a connection, a socket or a shared value; None: it is another type.

    Plain pickle would send the number of a descriptor, or refuse. Other types registered with
    `multiprocessing` are left alone: packages register them to share memory, but a message must be
    a copy.
    """
    reduction = sys.modules.get("multiprocessing.reduction")
    reducer: Any = reduction and reduction.ForkingPickler._extra_reducers.get(kind)  # noqa: SLF001
    if reducer is None:
        return None
    if reducer.__module__ == "multiprocessing.sharedctypes":
        # This reducer always refuses, and many ctypes that are not shared have the same type.
        return lambda value: reducer(value) if hasattr(value, "_wrapper") else NotImplemented
    if reducer.__module__ == "multiprocessing.connection" or kind.__module__ == "socket":
        return reducer  # type: ignore[no-any-return]
    return None


def find_refusal(kind: type) -> Callable[[Any], Any] | None:
    """Return a function that refuses types of `find_reducer`, for receivers on other machines."""
    return None if find_reducer(kind) is None else _refuse


def _refuse(value: object) -> Any:  # noqa: ANN401 - it never returns
    raise TypeError(f"cannot pickle '{type(value).__name__}' object: only this machine has it")
