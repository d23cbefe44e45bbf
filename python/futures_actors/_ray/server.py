"""The Ray actor, which has the user's object and may run on another machine."""

import os
from collections.abc import Callable, Iterator
from typing import Any

from .._core import check_answer, check_stream, enter_message, leave_message
from .outflow import Asked, Outflow, Reply, make_reply
from .parcel import unpack


def _is_not_asked() -> bool:
    """Return False: only streams can be asked to stop."""
    return False


class Server:
    """Constructs an object and gives it messages. It raises only what ends the process."""

    def __init__(self, name: str, zero_copy: bool, window: int) -> None:  # noqa: FBT001 - Ray passes it on
        """Take the actor's name in errors, whether buffers are views, and option `window`."""
        self._name = name
        self._zero_copy = zero_copy
        self._window = window
        self._object: Any = None
        #: The last streams, by number: `recall` may ask for as many as Ray may have at a time.
        self._streams: dict[int, Outflow] = {}

    def pid(self) -> int:
        """Return this process's id. A reply means that the actor has a place."""
        return os.getpid()

    def receive(self, *parcel: Any) -> Reply:  # noqa: ANN401 - what `parcel.pack` makes
        """Call the method `do_...` that the parcel names, with the arguments in it."""
        enter_message(_is_not_asked)
        try:
            return make_reply(self._name, lambda: self._work(parcel, check_answer))
        finally:
            leave_message()

    def stream(self, number: int, *parcel: Any) -> Iterator[Reply]:  # noqa: ANN401 - as above
        """Like `receive`, but yield what the method yields.

        At first, when it has begun, yield an empty list; then each item; and at last its reply. Ray
        ends this generator where it stands once the caller has cancelled it: see `recall`.
        """
        while len(self._streams) >= self._window:
            del self._streams[next(iter(self._streams))]
        asked = Asked()
        enter_message(asked)
        flow = Outflow(self._name, lambda: self._work(parcel, check_stream), asked)
        self._streams[number] = flow
        is_wanted = True
        try:
            yield []
            for item in flow:  # noqa: UP028 - Ray sends values in, of which the flow knows nothing
                yield item
        except GeneratorExit:
            is_wanted = False
        flow.close()
        asked.end()
        leave_message()
        if is_wanted:
            yield flow.reply

    def recall(self, number: int) -> Reply:
        """Return the reply of a stream that was cancelled: an empty one if it has ended by that."""
        flow = self._streams.pop(number, None)
        if flow is None:
            return []
        flow.close()
        return flow.reply

    def start(self) -> Reply:
        """Call `on_start` of the object, before its first message."""
        # Executors accept classes that are not actor classes and have no `on_start`.
        return make_reply(self._name, getattr(self._object, "on_start", lambda: None))

    def stop(self) -> Reply:
        """Call `on_stop` of the object, after its last message."""
        # Executors accept classes that are not actor classes and have no `on_stop`.
        return make_reply(self._name, getattr(self._object, "on_stop", lambda: None))

    def _work(self, parcel: Any, check: Callable[[str, str, Any], Any]) -> Any:  # noqa: ANN401
        """Do what a parcel names, and have `check` look at what that returns."""
        kind, args = unpack(*parcel, zero_copy=self._zero_copy)
        return getattr(self, f"do_{kind}")(check, *args)

    def do_construct(self, _check: object, cls: type, args: Any, kwargs: Any) -> None:  # noqa: ANN401
        """Construct the object."""
        self._object = cls(*args, **kwargs)

    def do_message(self, check: Any, message: object) -> object:  # noqa: ANN401
        """Let the object handle a message."""
        return check(self._name, "handle", self._object.handle(message))

    def do_call(self, check: Any, function: Any, args: Any, kwargs: Any) -> object:  # noqa: ANN401
        """Call a function."""
        return check(self._name, "the submitted function", function(*args, **kwargs or {}))

    def do_method(self, check: Any, name: str, args: Any, kwargs: Any) -> object:  # noqa: ANN401
        """Call a method of the object."""
        answer = getattr(self._object, name)(*args, **kwargs or {})
        return check(self._name, f"method {name}", answer)
