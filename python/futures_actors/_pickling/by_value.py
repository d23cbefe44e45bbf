"""Pickling by value, with cloudpickle, for what the other process cannot import.

It is loaded only when a message needs it. What it makes is loaded by plain pickle.
"""

from __future__ import annotations

import functools
import io
import pickle
import sys
import threading
import types
from enum import Enum

import cloudpickle
from cloudpickle import cloudpickle as _cloudpickle

from .._texts import text_of
from . import classes, descriptors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Reducer = Callable[["Pickler", Any], Any]


def dumps(
    message: object, buffer_callback: Callable[[pickle.PickleBuffer], Any] | None = None
) -> bytes:
    """Pickle `message`, taking classes and functions by value where they have no module."""
    file = io.BytesIO()
    Pickler(file, pickle.HIGHEST_PROTOCOL, buffer_callback).dump(message)
    return file.getvalue()


class Pickler(cloudpickle.Pickler):  # type: ignore[misc] # it has no types
    """Does what cloudpickle does, and what it cannot do or does otherwise than is needed here."""

    #: How to pickle what has a descriptor: see `descriptors`.
    find_descriptor_reducer = staticmethod(descriptors.find_reducer)

    def __init__(
        self,
        file: io.BytesIO,
        protocol: int,
        buffer_callback: Callable[[pickle.PickleBuffer], Any] | None,
    ) -> None:
        """Pickle into `file`."""
        super().__init__(file, protocol, buffer_callback)
        #: Of the types that have been met. No method of this object: it would keep itself, and
        #: with it what it has pickled.
        self._reducers: dict[type, Reducer | None] = {}

    def reducer_override(self, value: Any) -> Any:  # noqa: ANN401 - as pickle has it
        """Say how to pickle an object that is not of a basic type."""
        kind = type(value)
        try:
            reducer = self._reducers[kind]
        except KeyError:
            reducer = self._reducers[kind] = _find_reducer(kind, self.find_descriptor_reducer)
        return NotImplemented if reducer is None else reducer(self, value)


def _find_reducer(
    kind: type, find_descriptor_reducer: Callable[[type], Callable[[Any], Any] | None]
) -> Reducer | None:
    """Return what pickles instances of `kind`; None: what pickle does by itself."""
    if issubclass(kind, type):
        return _reduce_class
    for base in kind.__mro__:
        if base in _REDUCERS:
            return _REDUCERS[base]
    if issubclass(kind, Enum) and not _cloudpickle._should_pickle_by_reference(kind):  # noqa: SLF001
        return _reduce_member
    reduce = find_descriptor_reducer(kind)
    return None if reduce is None else lambda _, value: reduce(value)


def _reduce_class(pickler: Pickler, cls: type) -> Any:  # noqa: ANN401 - as pickle has it
    reduced = None
    if issubclass(cls, Enum) and not _cloudpickle._should_pickle_by_reference(cls):  # noqa: SLF001
        reduced = classes.reduce_enum(cls)
    if reduced is None:
        reduced = cloudpickle.Pickler.reducer_override(pickler, cls)
    by_value = isinstance(reduced, tuple) and len(reduced) == _BY_VALUE_LEN
    return classes.reduce_class(cls, reduced) if by_value else reduced


#: What cloudpickle says of a class by value, beside what makes it: what sets its attributes.
_BY_VALUE_LEN = 6


def _reduce_member(_pickler: Pickler, value: Enum) -> Any:  # noqa: ANN401 - as pickle has it
    return classes.reduce_member(value) if classes.is_member(value) else NotImplemented


# Code.


def _reduce_code(_pickler: Pickler, code: types.CodeType) -> Any:  # noqa: ANN401 - as pickle has it
    """Keep the file's name, which tracebacks, debuggers and coverage need.

    cloudpickle 3.1.3 leaves it out. Where there is no such file, the source goes along.
    """
    make, args = _cloudpickle._code_reduce(code)  # noqa: SLF001
    args = (*args[:_FILE_NAME], code.co_filename, *args[_FILE_NAME + 1 :])
    source = _source_in_memory(code.co_filename)
    return (make, args) if source is None else (_make_code, (source, args))


#: Which of the arguments of `types.CodeType` it is, in every Python so far.
_FILE_NAME = 10


def _source_in_memory(file_name: str) -> list[str] | None:
    """Return the lines that only this process has: of a notebook's cell, say."""
    linecache = sys.modules.get("linecache")
    entry: Any = () if linecache is None else linecache.cache.get(file_name, ())
    # Size, time of the file, lines, full name; no time means no file.
    return entry[2] if len(entry) == 4 and entry[1] is None else None  # noqa: PLR2004


def _make_code(source: list[str], args: tuple[Any, ...]) -> types.CodeType:
    import linecache

    file_name = args[_FILE_NAME]
    linecache.cache[file_name] = (sum(map(len, source)), None, source, file_name)
    return types.CodeType(*args)


# What `functools` makes of functions.


def _is_importable(function: Any) -> bool:  # noqa: ANN401 - something like a function
    found = _cloudpickle._lookup_module_and_qualname(function)  # noqa: SLF001
    return found is not None and not _cloudpickle._is_registered_pickle_by_value(found[0])  # noqa: SLF001


def _reduce_cached(_pickler: Pickler, cached: Any) -> Any:  # noqa: ANN401 - as pickle has it
    """Send the function of a `functools.lru_cache`: the other process has a cache of its own."""
    if _is_importable(cached):
        return NotImplemented
    made = ("__wrapped__", "cache_parameters")
    fields = {name: value for name, value in vars(cached).items() if name not in made}
    return _make_cached, (cached.__wrapped__, cached.cache_parameters()), fields


def _make_cached(function: Callable[..., Any], parameters: dict[str, Any]) -> Any:  # noqa: ANN401
    return functools.lru_cache(**parameters)(function)


def _reduce_cached_property(_pickler: Pickler, cached: Any) -> Any:  # noqa: ANN401
    fields = {name: value for name, value in vars(cached).items() if name != "lock"}
    return _make_cached_property, (type(cached), "lock" in vars(cached)), fields


def _make_cached_property(kind: Any, has_lock: bool) -> Any:  # noqa: ANN401, FBT001
    made: Any = kind.__new__(kind)
    if has_lock:  # before Python 3.12
        made.lock = threading.RLock()
    return made


def _reduce_function(pickler: Pickler, function: Any) -> Any:  # noqa: ANN401 - as pickle has it
    if function.__code__ is not _DISPATCHER.__code__ or _is_importable(function):
        return cloudpickle.Pickler.reducer_override(pickler, function)
    fields = {name: value for name, value in vars(function).items() if name not in _DISPATCHERS}
    state = (fields, dict(function.registry))
    make = functools.singledispatch
    return make, (function.registry[object],), state, None, None, _set_dispatcher


#: A function of `functools.singledispatch`, and what each of them has.
_DISPATCHER: Any = functools.singledispatch(len)
_DISPATCHERS = frozenset(vars(_DISPATCHER))


def _set_dispatcher(dispatcher: Any, state: tuple[dict[str, Any], dict[type, Any]]) -> None:  # noqa: ANN401
    fields, registry = state
    vars(dispatcher).update(fields)
    for cls, function in registry.items():
        dispatcher.register(cls, function)


def _reduce_dispatched_method(_pickler: Pickler, method: Any) -> Any:  # noqa: ANN401
    registry = dict(method.dispatcher.registry)
    return type(method), (method.func,), registry, None, None, _set_dispatched_method


def _set_dispatched_method(method: Any, registry: dict[type, Any]) -> None:  # noqa: ANN401
    _set_dispatcher(method.dispatcher, ({}, registry))


# Files and memory.


def _reduce_text_file(_pickler: Pickler, file: io.TextIOWrapper) -> Any:  # noqa: ANN401
    """Refuse a file as pickle refuses those of bytes: cloudpickle would send a copy of its text."""
    for name in ("stdout", "stderr"):
        if file is getattr(sys, name):
            return getattr, (sys, name)
    raise TypeError(f"cannot pickle '{type(file).__module__}.{type(file).__name__}' object")


def _reduce_view(_pickler: Pickler, view: memoryview) -> Any:  # noqa: ANN401 - as pickle has it
    """Send a view of bytes as such, and other views as cloudpickle does, as bytes."""
    if view.ndim != 1 or view.format != "B" or not view.contiguous:
        return NotImplemented
    return memoryview, (pickle.PickleBuffer(view),)


_REDUCERS: dict[type, Reducer] = {
    types.FunctionType: _reduce_function,
    types.CodeType: _reduce_code,
    type(functools.lru_cache(len)): _reduce_cached,
    functools.cached_property: _reduce_cached_property,
    functools.singledispatchmethod: _reduce_dispatched_method,
    io.TextIOWrapper: _reduce_text_file,
    memoryview: _reduce_view,
}


def explain_refusal(what: str, error: BaseException) -> BaseException:
    """Say what it was that could not be pickled, in an exception of the same standard class."""
    way_out = "send something that pickle or cloudpickle can take"
    if _is_of_multiprocessing(error):
        way_out = "send one of a multiprocessing.Manager(), whose proxies can be sent"
    text = f"{what} cannot be pickled: {text_of(error)}; {way_out}"
    for kind in (
        pickle.PicklingError, TypeError, AttributeError, RecursionError, RuntimeError,
    ):  # fmt: skip
        if isinstance(error, kind):
            explained = kind(text)
            explained.__cause__ = error
            return explained
    return error


def _is_of_multiprocessing(error: BaseException) -> bool:
    """Whether one of its locks, queues or values refused, which only children of it can have."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    raised_in = traceback and traceback.tb_frame.f_globals.get("__name__")
    return raised_in == "multiprocessing.context"
