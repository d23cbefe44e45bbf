"""What each option may be, and the options that an actor class gives itself by its keywords.

A class keeps its keywords in its own `__dict__`, under `OWN`. So code that makes the class again
from that, without keywords, such as `dataclass(slots=True)` and pickling by value, keeps them.

A child process that loads such a class imports this, so it imports nothing heavy itself.
"""

from __future__ import annotations

import operator
import sys

from ._core import ProcessActor, ThreadActor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: The attribute of a class with the options that are keywords of this very class.
OWN = "__actor_options__"


def keep(cls: type[Any], keywords: dict[str, Any], go_on: Callable[..., None]) -> None:
    """For `__init_subclass__` of the base classes: check the options of `cls`, and keep them.

    `go_on` is the next `__init_subclass__`. It gets the keywords that are no options.
    """
    own = {name: value for name, value in keywords.items() if name in OPTIONS}
    others = {name: value for name, value in keywords.items() if name not in OPTIONS}
    # A class that is neither a thread's nor a process's can become the base of both.
    is_base = not issubclass(cls, (ThreadActor, ProcessActor))
    keep_own(cls, own, OPTIONS, is_base=is_base)
    try:
        go_on(**others)
    except TypeError as error:
        # What `object` says to keywords that nobody has taken.
        if not others or not str(error).endswith("takes no keyword arguments"):
            raise
        names = " or ".join(map(repr, others))
        raise TypeError(
            f"class {cls.__name__} has no option {names}; there are {', '.join(OPTIONS)}"
        ) from None


def keep_own(
    cls: type[Any], own: dict[str, Any], table: dict[str, Option], *, is_base: bool = False
) -> None:
    """Check the options of `cls` that `table` has, and keep all of them in the class."""
    for name, value in own.items():
        if name in table:
            check(cls, name, value, table[name], is_base=is_base)
    if own:
        setattr(cls, OWN, own)


def class_options(cls: type[Any]) -> dict[str, Any]:
    """Return the options of a class: each from the nearest class that has it."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        found.update(base.__dict__.get(OWN, {}))
    return found


def check(
    cls: type[Any],
    name: str,
    value: object,
    option: Option,
    *,
    is_base: bool = False,
) -> object:
    """Return what the option is; raise if `value` is no good, or not for this kind of actor."""
    if option.process_only and not is_base and not issubclass(cls, ProcessActor):
        raise TypeError(f"option {name!r} is for process actors, and {cls.__name__} is not one")
    return None if value is None else option.check(name, value)


def _name(option: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{option} must be a str, not {type(value).__name__}")
    if not value or not value.isprintable():
        raise ValueError(f"{option} must be printable text, not {value!r}")
    return value


def size(option: str, value: object) -> int:
    size = _count(option, value)
    if size < 1:
        raise ValueError(f"{option} must be at least 1, not {size}")
    return size


def _count(option: str, value: Any) -> int:  # noqa: ANN401 - checked here
    if isinstance(value, bool) or not hasattr(type(value), "__index__"):
        raise TypeError(f"{option} must be an int, not {type(value).__name__}")
    count = operator.index(value)
    if count < 0:
        raise ValueError(f"{option} must not be negative, but is {count}")
    # A larger number has the same effect.
    return min(count, sys.maxsize)


def seconds(option: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{option} must be a number of seconds, not {type(value).__name__}")
    if not value > 0:
        raise ValueError(f"{option} must be more than 0 seconds, not {value}")
    return float(value)


def limited_size(option: str, value: object) -> int:
    count = size(option, value)
    if count > _MOST:
        raise ValueError(f"{option} must be at most {_MOST}, not {value}")
    return count


#: For a process, each message that runs needs a word in a table of this size. A pool cannot have
#: more threads or processes either.
_MOST = 65_536


def _loop_factory(option: str, value: object) -> object:
    if not callable(value):
        raise TypeError(f"{option} must be callable, not {type(value).__name__}")
    return value


def _start_method(_option: str, value: object) -> str:
    from ._start_methods import check_start_method

    return check_start_method(value)


def _bytes(option: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{option} must be an int, a number of bytes, not {type(value).__name__}")
    if not 0 <= value < 1 << 63:
        raise ValueError(f"{option} must be a number of bytes from 0 on, not {value!r}")
    return value


class Option:
    """How to check a value that is not None, and whether only process actors have the option."""

    __slots__ = ("check", "process_only")

    def __init__(self, check: Callable[[str, Any], object], *, process_only: bool = False) -> None:
        """Describe an option."""
        self.check = check
        self.process_only = process_only


OPTIONS = {
    "name": Option(_name),
    "mailbox_size": Option(size),
    "max_concurrency": Option(limited_size),
    "loop_factory": Option(_loop_factory),
    "max_restarts": Option(_count, process_only=True),
    "restart_window": Option(seconds, process_only=True),
    "start_method": Option(_start_method, process_only=True),
    "shared_memory": Option(_bytes, process_only=True),
}
