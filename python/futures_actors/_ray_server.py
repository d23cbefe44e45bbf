"""What runs on the other machine: the Ray actor that has the user's object."""

import os
from collections.abc import Callable
from typing import Any

from ._child import dump_error
from ._parcel import Parcel, pack, unpack

#: Whether it is an answer, and that or an exception as `_child.dump_error` encodes it.
Reply = tuple[bool, "Parcel | bytes"]


class Server:
    """Constructs an object and hands it messages; it raises nothing itself."""

    def __init__(self, name: str, zero_copy: bool) -> None:  # noqa: FBT001 - Ray passes it on
        """Take what errors call the actor, and whether its buffers are views."""
        self._name = name
        self._zero_copy = zero_copy
        self._object: Any = None

    def pid(self) -> int:
        """Return this process's id, which also says that the actor has a place."""
        return os.getpid()

    def construct(self, pickled: bytes, buffers: Any, references: list[Any]) -> Reply:  # noqa: ANN401
        """Construct the object of a parcel that has class and arguments."""

        def construct() -> None:
            cls, args, kwargs = self._open((pickled, buffers, references))
            self._object = cls(*args, **kwargs)

        return self._reply(construct)

    def receive(self, kind: str, pickled: bytes, buffers: Any, references: list[Any]) -> Reply:  # noqa: ANN401
        """Handle a message, or call a function or a method of the object."""
        parcel = pickled, buffers, references
        return self._reply(lambda: getattr(self, f"_{kind}")(*self._open(parcel)))

    def stop(self) -> Reply:
        """Have the object do what is to be done after the last message."""
        return self._reply(self._stop)

    def _message(self, message: object) -> object:
        return self._object.handle(message)

    def _call(self, function: Any, args: Any, kwargs: Any) -> object:  # noqa: ANN401
        return function(*args, **kwargs or {})

    def _method(self, name: str, args: Any, kwargs: Any) -> object:  # noqa: ANN401
        return getattr(self._object, name)(*args, **kwargs or {})

    def _stop(self) -> None:
        # Executors take classes that are no actors.
        if hasattr(self._object, "on_stop"):
            self._object.on_stop()

    def _open(self, parcel: Parcel) -> Any:  # noqa: ANN401 - as many parts as there were
        return unpack(parcel, zero_copy=self._zero_copy)

    def _reply(self, work: Callable[[], object]) -> Reply:
        try:
            # Ray puts the buffers into its shared memory as it returns them.
            return True, pack(work(), f"the answer of actor {self._name}", list)
        except BaseException as error:  # noqa: BLE001 - it is the message's future's
            return False, dump_error(error)
