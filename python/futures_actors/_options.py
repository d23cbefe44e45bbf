"""`Options`: what `MyActor.options(...)` returns, to start an actor with them.

Each option is a line of the table `OPTIONS`, and an attribute that `src/py/options.rs` reads.
"""

import operator
import sys
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, SupportsIndex

from ._core import ProcessActor
from ._start_methods import check_start_method
from ._types import P, Started


class Options(Generic[P, Started]):
    """An actor class, and the options to start its actors with; None stands for the default.

    - `name`: the actor's name in threads, errors and the log; by default the name of its class.
    - `mailbox_size`: how many accepted messages may wait to begin; by default any number.

    Only for process actors:

    - `max_restarts`: how often the process is started again after it has died; by default 0.
    - `restart_window`: the seconds within which `max_restarts` counts; by default the actor's life.
    - `start_method`: "forkserver" or "spawn"; by default the one of `set_start_method`.
    - `shared_memory`: how many bytes of shared memory the big buffers of messages may take at a
      time; those of answers may take as many. A buffer that finds no room crosses through the pipe;
      with 0, every one does. By default only the system sets a limit.
    """

    name: str | None
    mailbox_size: int | None
    max_restarts: int | None
    restart_window: float | None
    start_method: str | None
    shared_memory: int | None

    def __init__(
        self,
        actor_class: type[Any],
        given: dict[str, object],
        table: "dict[str, Option] | None" = None,
    ) -> None:
        """Check the options; an error names the option and its value."""
        self.actor_class = actor_class
        self._given = given
        table = OPTIONS if table is None else table
        for name in given:
            if name not in table:
                raise TypeError(
                    f"{actor_class.__name__}.options() has no option {name!r}; "
                    f"there are {', '.join(table)}"
                )
            if table[name].process_only and not issubclass(actor_class, ProcessActor):
                raise TypeError(
                    f"option {name!r} is for process actors, and {actor_class.__name__} is not one"
                )
        for name, option in table.items():
            value = given.get(name)
            setattr(self, name, None if value is None else option.check(name, value))
        if self.restart_window is not None and not self.max_restarts:
            raise ValueError("restart_window has no effect without max_restarts: give both")

    def executor(self, /, *args: P.args, **kwargs: P.kwargs) -> Started:
        """Start an actor with these options and return its executor.

        Every argument goes to the constructor.
        """
        started: Any = self.actor_class._start(self, args, kwargs)  # noqa: SLF001 - ours
        return started  # type: ignore[no-any-return] # of the type that `Actor.options` says

    def __repr__(self) -> str:
        """Show the call that makes it."""
        given = ", ".join(f"{name}={value!r}" for name, value in self._given.items())
        return f"{self.actor_class.__name__}.options({given})"


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


def _count(option: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
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


def _start_method(_option: str, value: object) -> str:
    return check_start_method(value)


def _bytes(option: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{option} must be an int, a number of bytes, not {type(value).__name__}")
    if not 0 <= value < 1 << 63:
        raise ValueError(f"{option} must be a number of bytes from 0 on, not {value!r}")
    return value


class Option(NamedTuple):
    """How to check a value that is not None, and whether only process actors have the option."""

    check: Callable[[str, object], object]
    process_only: bool = False


OPTIONS = {
    "name": Option(_name),
    "mailbox_size": Option(size),
    "max_restarts": Option(_count, process_only=True),
    "restart_window": Option(seconds, process_only=True),
    "start_method": Option(_start_method, process_only=True),
    "shared_memory": Option(_bytes, process_only=True),
}
