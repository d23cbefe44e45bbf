"""Pickles by value, with cloudpickle, what the other process cannot import.

It is imported only when a message needs it. Plain pickle loads what it makes.
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
    from typing import Any, NoReturn

    Reducer = Callable[["Pickler", Any], Any]


def dumps(
    message: object, buffer_callback: Callable[[pickle.PickleBuffer], Any] | None = None
) -> bytes:
    """Pickle `message`, with classes and functions by value if no module has them."""
    file = io.BytesIO()
    Pickler(file, pickle.HIGHEST_PROTOCOL, buffer_callback).dump(message)
    return file.getvalue()


class Pickler(cloudpickle.Pickler):  # type: ignore[misc] # it has no types
    """Extends cloudpickle by what it cannot pickle, or pickles in another way than needed here."""

    #: Finds how to pickle objects that have a descriptor: see `descriptors`.
    find_descriptor_reducer = staticmethod(descriptors.find_reducer)

    def __init__(
        self,
        file: io.BytesIO,
        protocol: int,
        buffer_callback: Callable[[pickle.PickleBuffer], Any] | None,
    ) -> None:
        """Pickle into `file`."""
        super().__init__(file, protocol, buffer_callback)
        #: The reducers of types found so far. They are not methods of this object, because such a
        #: reference cycle would keep alive what was pickled.
        self._reducers: dict[type, Reducer | None] = {}

    def reducer_override(self, value: Any) -> Any:  # noqa: ANN401 - as pickle has it
        """Return how to pickle an object whose type is not a basic one."""
        kind = type(value)
        try:
            reducer = self._reducers[kind]
        except KeyError:
            reducer = self._reducers[kind] = _find_reducer(kind, self.find_descriptor_reducer)
        return NotImplemented if reducer is None else reducer(self, value)


def _find_reducer(
    kind: type, find_descriptor_reducer: Callable[[type], Callable[[Any], Any] | None]
) -> Reducer | None:
    """Return the function that reduces instances of `kind`; None if pickle needs no help."""
    if issubclass(kind, type):
        return _reduce_class
    if (kind.__module__, kind.__name__) in _FUTURES:
        return _refuse_future
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


#: How many items cloudpickle returns for a class by value. The last one sets its attributes.
_BY_VALUE_LEN = 6


def _reduce_member(_pickler: Pickler, value: Enum) -> Any:  # noqa: ANN401 - as pickle has it
    return classes.reduce_member(value) if classes.is_member(value) else NotImplemented


# Code.


def _reduce_code(_pickler: Pickler, code: types.CodeType) -> Any:  # noqa: ANN401 - as pickle has it
    """Keep the file name, which tracebacks, debuggers and coverage need.

    cloudpickle 3.1.3 omits it. If there is no such file, the source crosses as well.
    """
    make, args = _cloudpickle._code_reduce(code)  # noqa: SLF001
    args = (*args[:_FILE_NAME], code.co_filename, *args[_FILE_NAME + 1 :])
    source = _source_in_memory(code.co_filename)
    return (make, args) if source is None else (_make_code, (source, args))


#: The index of the file name among the arguments of `types.CodeType`, in every Python so far.
_FILE_NAME = 10


def _source_in_memory(file_name: str) -> list[str] | None:
    """Return source lines that only this process has, for example those of a notebook's cell."""
    linecache = sys.modules.get("linecache")
    entry: Any = () if linecache is None else linecache.cache.get(file_name, ())
    # An entry is size, modification time, lines, full name. Without a time there is no file.
    return entry[2] if len(entry) == 4 and entry[1] is None else None  # noqa: PLR2004


def _make_code(source: list[str], args: tuple[Any, ...]) -> types.CodeType:
    import linecache

    file_name = args[_FILE_NAME]
    linecache.cache[file_name] = (sum(map(len, source)), None, source, file_name)
    return types.CodeType(*args)


# Objects that `functools` makes from functions.


def _is_importable(function: Any) -> bool:  # noqa: ANN401 - something like a function
    found = _cloudpickle._lookup_module_and_qualname(function)  # noqa: SLF001
    return found is not None and not _cloudpickle._is_registered_pickle_by_value(found[0])  # noqa: SLF001


def _reduce_cached(_pickler: Pickler, cached: Any) -> Any:  # noqa: ANN401 - as pickle has it
    """Send only the function of a `functools.lru_cache`; the other process starts a new cache."""
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


def _reduce_partial_method(_pickler: Pickler, method: Any) -> Any:  # noqa: ANN401 - as above
    """Make it anew: pickle cannot, in Python 3.14."""
    kind: Callable[..., Any] = type(method)
    return functools.partial(kind, method.func, *method.args, **method.keywords), ()


#: A function of `functools.singledispatch`, and the attributes that every such function has.
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
    """Refuse a text file, as pickle refuses a binary one. cloudpickle would copy its text."""
    for name in ("stdout", "stderr"):
        if file is getattr(sys, name):
            return getattr, (sys, name)
    raise TypeError(f"cannot pickle '{type(file).__module__}.{type(file).__name__}' object")


def _reduce_view(_pickler: Pickler, view: memoryview) -> Any:  # noqa: ANN401 - as pickle has it
    """Send a view of bytes as a view. Others are sent as bytes, as cloudpickle does."""
    if view.ndim != 1 or view.format != "B" or not view.contiguous:
        return NotImplemented
    return memoryview, (pickle.PickleBuffer(view),)


class FutureError(TypeError):
    """A future cannot be sent. The text says what to send instead."""


def _refuse_future(_pickler: Pickler, future: object) -> NoReturn:
    """Refuse a future. Pickle would only say that it cannot pickle a lock."""
    raise FutureError(f"{future!r} belongs to the process that made it; post its result() instead")


#: By name, because a child imports these modules only if it needs them. Futures of other classes
#: may have a way of their own.
_FUTURES = {
    ("concurrent.futures._base", "Future"),
    ("_asyncio", "Future"),
    ("_asyncio", "Task"),
    ("asyncio.futures", "Future"),
    ("asyncio.tasks", "Task"),
}

_REDUCERS: dict[type, Reducer] = {
    functools.partialmethod: _reduce_partial_method,
    types.FunctionType: _reduce_function,
    types.CodeType: _reduce_code,
    type(functools.lru_cache(len)): _reduce_cached,
    functools.cached_property: _reduce_cached_property,
    functools.singledispatchmethod: _reduce_dispatched_method,
    io.TextIOWrapper: _reduce_text_file,
    memoryview: _reduce_view,
}


def explain_refusal(what: str, error: BaseException) -> BaseException:
    """Return an exception of the same standard class that says what could not be pickled."""
    # Here, because it imports multiprocessing, which few children need.
    from .._errors import LevelError

    way_out = "; send something that pickle or cloudpickle can take"
    if isinstance(error, (LevelError, FutureError)):
        way_out = ""  # it is in the error's text
    elif _is_of_multiprocessing(error):
        way_out = "; send one of a multiprocessing.Manager(), whose proxies can be sent"
    text = f"{what} cannot be pickled: {text_of(error)}{way_out}"
    for kind in (
        pickle.PicklingError, TypeError, AttributeError, RecursionError, RuntimeError,
    ):  # fmt: skip
        if isinstance(error, kind):
            explained = kind(text)
            explained.__cause__ = error
            return explained
    return error


def _is_of_multiprocessing(error: BaseException) -> bool:
    """Whether `multiprocessing` refused, whose locks and queues only its own children can get."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    raised_in = traceback and traceback.tb_frame.f_globals.get("__name__")
    return raised_in == "multiprocessing.context"
