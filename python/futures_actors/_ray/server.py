"""The Ray actor, which has the user's object and may run on another machine."""

import os
from collections.abc import Callable
from typing import Any

from .._core import check_answer
from .._process.child import dump_error
from .parcel import pack, unpack

#: True and the parcel of an answer, or False and an exception that `dump_error` has encoded. It is
#: a list because Ray writes a list of bytes without a pickle.
Reply = list[Any]


class Server:
    """Constructs an object and gives it messages. It raises only what ends the process."""

    def __init__(self, name: str, zero_copy: bool) -> None:  # noqa: FBT001 - Ray passes it on
        """Take the actor's name in errors, and whether its buffers are views."""
        self._name = name
        self._zero_copy = zero_copy
        self._object: Any = None

    def pid(self) -> int:
        """Return this process's id. A reply means that the actor has a place."""
        return os.getpid()

    def receive(self, *parcel: Any) -> Reply:  # noqa: ANN401 - what `parcel.pack` makes
        """Call the method `do_...` that the parcel names, with the arguments in it."""

        def work() -> object:
            kind, args = unpack(*parcel, zero_copy=self._zero_copy)
            return getattr(self, f"do_{kind}")(*args)

        return self._reply(work)

    def start(self) -> Reply:
        """Call `on_start` of the object, before its first message."""

        def work() -> None:
            # Executors accept classes that are not actor classes and have no `on_start`.
            getattr(self._object, "on_start", lambda: None)()

        return self._reply(work)

    def stop(self) -> Reply:
        """Call `on_stop` of the object, after its last message."""
        # Executors accept classes that are not actor classes and have no `on_stop`.
        return self._reply(getattr(self._object, "on_stop", lambda: None))

    def do_construct(self, cls: type, args: Any, kwargs: Any) -> None:  # noqa: ANN401
        """Construct the object."""
        self._object = cls(*args, **kwargs)

    def do_message(self, message: object) -> object:
        """Let the object handle a message."""
        return check_answer(self._name, "handle", self._object.handle(message))

    def do_call(self, function: Any, args: Any, kwargs: Any) -> object:  # noqa: ANN401
        """Call a function."""
        return check_answer(self._name, "the submitted function", function(*args, **kwargs or {}))

    def do_method(self, name: str, args: Any, kwargs: Any) -> object:  # noqa: ANN401
        """Call a method of the object."""
        answer = getattr(self._object, name)(*args, **kwargs or {})
        return check_answer(self._name, f"method {name}", answer)

    def _reply(self, work: Callable[[], object]) -> Reply:
        try:
            # Ray puts the buffers into its shared memory when it sends the reply.
            return [True, *pack(work(), f"the answer of actor {self._name}", list)]
        except BaseException as error:
            if hasattr(error, "ray_terminate_msg"):
                raise  # Ray ends this process, and interrupts what runs
            return [False, dump_error(error)]  # for the message's future
