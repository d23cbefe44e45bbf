"""Packs what crosses between an executor and its Ray actor into parcels.

A parcel is `(pickle,)`, or `(pickle, buffers, references)`. Big buffers are not part of the pickle,
which saves a copy. Neither are references to Ray's objects and actors, because Ray counts only
references that it can see.
"""

import contextlib
import io
import mmap
import pickle
from collections.abc import Callable, Sequence
from typing import Any

from ray import ObjectRef
from ray.actor import ActorHandle

from .._core import RefCore
from .._pickling import by_value, descriptors

Parcel = tuple[Any, ...]

#: From this size on, in bytes, Ray's shared memory is quicker than a pickle, as Ray itself assumes.
BIG = 100 << 10


def pack(value: object, what: str, store: Callable[[list[pickle.PickleBuffer]], Any]) -> Parcel:
    """Make a parcel. `store` keeps the buffers until the parcel is opened.

    An error says what could not be packed (`what`), and why.
    """
    file = io.BytesIO()
    buffers: list[pickle.PickleBuffer] = []

    # Not a method of the pickler: such a cycle would keep alive what was pickled.
    def goes_in(buffer: pickle.PickleBuffer) -> bool:
        view = memoryview(buffer)
        if view.nbytes < BIG or not view.contiguous:
            return True
        buffers.append(buffer)
        return False

    pickler = _Pickler(file, goes_in)
    try:
        pickler.dump(value)
    except (pickle.PicklingError, TypeError, AttributeError, RuntimeError) as error:
        raise by_value.explain_refusal(what, error) from error
    if not buffers and not pickler.references:
        return (file.getvalue(),)
    return file.getvalue(), store(buffers) if buffers else [], pickler.references


def unpack(
    pickled: bytes, buffers: Sequence[Any] = (), references: Sequence[Any] = (), *, zero_copy: bool
) -> Any:  # noqa: ANN401 - whatever it was
    """Open a parcel. Its buffers are writable copies, or with `zero_copy` read-only views."""
    if not zero_copy:
        buffers = [_copy(buffer) for buffer in buffers]
    return _Unpickler(pickled, buffers, references).load()


def _copy(buffer: Any) -> mmap.mmap:  # noqa: ANN401 - whatever Ray's view is
    """Copy a big buffer to huge pages: a bytearray's small ones take four times as long."""
    view = memoryview(buffer)
    memory = mmap.mmap(-1, view.nbytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):
            memory.madvise(mmap.MADV_HUGEPAGE)
    memory[:] = view
    return memory


class _Pickler(by_value.Pickler):
    """Leaves out references, and buffers for which `goes_in` returns false."""

    # The actor may be on another machine.
    find_descriptor_reducer = staticmethod(descriptors.find_refusal)

    def __init__(self, file: io.BytesIO, goes_in: Callable[[pickle.PickleBuffer], bool]) -> None:
        self.references: list[Any] = []
        super().__init__(file, pickle.HIGHEST_PROTOCOL, goes_in)

    def reducer_override(self, value: Any) -> Any:  # noqa: ANN401 - as pickle has it
        if isinstance(value, (ObjectRef, ActorHandle)):
            self.references.append(value)
            return _reference, (len(self.references) - 1,)
        if isinstance(value, RefCore):
            raise TypeError(
                f"{value!r} cannot go into a Ray actor, which can only have handles of Ray's own "
                "actors: post to the actor here, and send the answer on"
            )
        return super().reducer_override(value)


class _Unpickler(pickle.Unpickler):
    """Puts the references and buffers back."""

    def __init__(self, pickled: bytes, buffers: Sequence[Any], references: Sequence[Any]) -> None:
        super().__init__(io.BytesIO(pickled), buffers=list(buffers))
        self._references = references

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - as pickle has it
        if (module, name) == (__name__, _reference.__name__):
            return self._references.__getitem__
        return super().find_class(module, name)


def _reference(_index: int) -> Any:  # noqa: ANN401 - never called: it is a name in pickles
    raise RuntimeError("a reference to one of Ray's objects was taken out of its parcel")
