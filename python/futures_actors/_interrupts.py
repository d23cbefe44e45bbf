"""Tells whether Ctrl-C finds an async actor in code of its author, where it may be raised."""

from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, TypeVar

from ._core import LoopMessage

_F = TypeVar("_F", bound=Callable[..., Any])

_callers: set[CodeType] = set()
_modules: set[str] = set()


def calls_users_code(function: _F) -> _F:
    """Say that this function calls code of the actor's author, by its variable `message` if any."""
    _callers.add(function.__code__)
    _modules.add(function.__module__)
    return function


def is_in_users_code(frame: FrameType | None) -> bool:
    """Whether this is the frame of code that the actor's author wrote, or that such code called."""
    called = None
    while frame is not None:
        if frame.f_globals.get("__name__") in _modules:
            if frame.f_code not in _callers:
                return False
            if called is None:
                # Code of C that a message calls, such as `time.sleep`, has no frame.
                message = frame.f_locals.get("message")
                return isinstance(message, LoopMessage) and message.is_in_call
            return not called.f_globals.get("__name__", "").startswith("futures_actors.")
        called, frame = frame, frame.f_back
    return False
