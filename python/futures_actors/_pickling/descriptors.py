"""Pickles connections and sockets: the other process gets duplicates of their descriptors.

`multiprocessing` hands these out, in a thread and over a socket of its own, as for its pools.
A child has its parent's key for that.
"""

from __future__ import annotations

import os
import sys
import threading

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
        return lambda value: _kept(reducer(value))
    return None


class Duplicates:
    """Keeps duplicates that were made for the arguments of an actor that may be started again.

    `multiprocessing` lets each be taken once. From these, every process of the actor takes its own,
    until `close`. They are those of what the calling thread pickles before it calls `end`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._is_closed = False
        self._kept: list[tuple[int, Callable[[], None]]] = []
        #: On Windows a connection's duplicate is a handle of this process.
        self._handles: list[int] = []
        _now.duplicates = self

    def end(self) -> bool:
        """Return whether there are any."""
        _now.duplicates = None
        return bool(self._kept or self._handles)

    def keep(self, key: int) -> None:
        """Have `multiprocessing` hand out the duplicate `key` more than once."""
        cache = _cache()
        send, close = cache[key]

        def give_back() -> None:
            with self._lock:
                is_kept = not self._is_closed and self._pid == os.getpid()
                if is_kept:
                    cache[key] = send, give_back
            if not is_kept:
                close()

        cache[key] = send, give_back
        self._kept.append((key, close))

    def keep_handle(self, duplicate: Any) -> _KeptHandle:  # noqa: ANN401 - a `DupHandle` of `multiprocessing`
        """Return what takes the place of a duplicate, and can be taken more than once."""
        self._handles.append(duplicate._handle)  # noqa: SLF001
        return _KeptHandle(self._pid, duplicate._handle, duplicate._access)  # noqa: SLF001

    def close(self) -> None:
        """Hand out no more of them."""
        with self._lock:
            self._is_closed = True
        for key, close in self._kept:
            # If it is being handed out now, `give_back` closes it.
            if _cache().pop(key, None):
                close()
        if self._handles:
            import _winapi

            while self._handles:
                _winapi.CloseHandle(self._handles.pop())  # type: ignore[attr-defined]


class _KeptHandle:
    """A handle of the parent, on Windows: the duplicates that are taken of it leave it open."""

    def __init__(self, pid: int, handle: int, access: int) -> None:
        self._parent = pid, handle, access

    def detach(self) -> int:
        """Return a handle of this process; `multiprocessing` calls it when it unpickles."""
        import _winapi

        pid, handle, access = self._parent
        may_duplicate = 0x0040
        parent = _winapi.OpenProcess(may_duplicate, False, pid)  # type: ignore[attr-defined] # noqa: FBT003
        try:
            duplicate: int = _winapi.DuplicateHandle(  # type: ignore[attr-defined]
                parent,
                handle,
                _winapi.GetCurrentProcess(),  # type: ignore[attr-defined]
                access,
                False,  # noqa: FBT003
                0,
            )
        finally:
            _winapi.CloseHandle(parent)  # type: ignore[attr-defined]
        return duplicate


_now = threading.local()


def _kept(reduced: tuple[Any, ...]) -> tuple[Any, ...]:
    """Keep the duplicates that a reducer has made, if this is for an actor's arguments."""
    duplicates = getattr(_now, "duplicates", None)
    if duplicates is not None and sys.platform == "win32":
        import multiprocessing.reduction

        kind: Any = multiprocessing.reduction.DupHandle  # type: ignore[attr-defined]
        rebuild, arguments, *rest = reduced
        arguments = (duplicates.keep_handle(a) if type(a) is kind else a for a in arguments)
        reduced = rebuild, tuple(arguments), *rest
    if duplicates is not None:
        for argument in reduced[1]:
            _, key = getattr(argument, "_id", (None, None))
            if key is not None:
                duplicates.keep(key)
    return reduced


def _cache() -> dict[int, tuple[Any, Callable[[], None]]]:
    from multiprocessing import resource_sharer

    return resource_sharer._resource_sharer._cache  # type: ignore[attr-defined,no-any-return] # noqa: SLF001


def find_refusal(kind: type) -> Callable[[Any], Any] | None:
    """Return a function that refuses types of `find_reducer`, for receivers on other machines."""
    return None if find_reducer(kind) is None else _refuse


def _refuse(value: object) -> Any:  # noqa: ANN401 - it never returns
    raise TypeError(f"cannot pickle '{type(value).__name__}' object: only this machine has it")
