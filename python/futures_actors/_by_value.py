"""Pickling by value, with cloudpickle, for what the other process cannot import.

Both sides use it, and it is loaded only when a message needs it.
"""

from __future__ import annotations

import io
import pickle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from typing_extensions import Buffer

_CLOUDPICKLE = "cloudpickle.cloudpickle"


def dumps(
    message: object, buffer_callback: Callable[[pickle.PickleBuffer], Any] | None = None
) -> bytes:
    """Pickle `message`, taking classes and functions by value where they have no module."""
    import cloudpickle

    pickled: bytes = cloudpickle.dumps(message, 5, buffer_callback)
    return pickled


def loads(pickled: Buffer, buffers: list[Buffer] | None = None) -> Any:  # noqa: ANN401
    """Unpickle what either side has pickled by value, with the buffers that were left out."""
    return Unpickler(io.BytesIO(pickled), buffers).load()


class Unpickler(pickle.Unpickler):
    """Leaves alone a class that is here already.

    cloudpickle finds such a class by the id that it gave it, so that it stays the same class, but
    then assigns every attribute anew from the pickle: methods would be replaced by copies, and
    attributes that this process has changed would be lost.
    """

    def __init__(self, file: io.BytesIO, buffers: list[Buffer] | None) -> None:
        super().__init__(file, buffers=buffers)
        self._new: set[int] = set()

    def load(self) -> Any:  # noqa: ANN401 - whatever it was
        """Unpickle, and let go of it."""
        try:
            return super().load()
        finally:
            # It is in a cycle with what it hands out, and must not keep the message until that is
            # collected.
            self.memo = {}

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - as pickle has it
        found = super().find_class(module, name)
        if module == _CLOUDPICKLE and name == "_make_skeleton_class":
            return lambda *args: self._make_class(found, args)
        if module == _CLOUDPICKLE and name == "_class_setstate":
            return lambda cls, state: found(cls, state) if id(cls) in self._new else cls
        return found

    def _make_class(self, make: Any, args: tuple[Any, ...]) -> type:  # noqa: ANN401
        from cloudpickle import cloudpickle

        # type_constructor, name, bases, type_kwargs, class_tracker_id, extra
        tracker_id = args[4]
        known = getattr(cloudpickle, "_DYNAMIC_CLASS_TRACKER_BY_ID", {})
        is_new = tracker_id not in known
        cls: type = make(*args)
        if is_new:
            self._new.add(id(cls))
        return cls


def explain_refusal(what: str, error: BaseException) -> BaseException:
    """Say what it was that could not be pickled, in an exception of the same standard class."""
    text = f"{what} cannot be pickled: {error}; send something that pickle or cloudpickle can take"
    for kind in (pickle.PicklingError, TypeError, AttributeError, RecursionError):
        if isinstance(error, kind):
            explained = kind(text)
            explained.__cause__ = error
            return explained
    return error
