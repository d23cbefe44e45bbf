"""`Options`: what `MyActor.options(...)` returns, to start an actor with them.

Each option is a line of the table `OPTIONS`, and an attribute that `src/py/options.rs` reads.
"""

from typing import Any, Generic

from ._class_options import OPTIONS, Option, check, class_options
from ._core import is_async
from ._types import P, Started

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable


class Options(Generic[P, Started]):
    """An actor class, and the options to start its actors with; None stands for the default.

    An option can also be a keyword of the class: `class Fetch(ProcessActor, mailbox_size=8)`. It
    holds for subclasses, too, and `options(...)` overrides it.

    - `name`: the actor's name in threads, errors and the log; by default the name of its class.
    - `mailbox_size`: how many accepted messages may wait to begin; by default any number.

    Only for async actors:

    - `max_concurrency`: how many messages are handled at a time; by default 1.
    - `loop_factory`: makes the event loop, such as `uvloop.new_event_loop`.

    Only for process actors:

    - `max_restarts`: how often the process is started again after it has died; by default 0.
    - `restart_window`: the seconds within which `max_restarts` counts; by default the actor's life.
    - `start_method`: "forkserver" or "spawn"; by default the one of `set_start_method`.
    - `shared_memory`: how many bytes of shared memory the big buffers of messages may take at a
      time; those of answers may take as many. A buffer that finds no room crosses through the pipe;
      with 0, every one does. By default only the system sets a limit.
    """

    __module__ = "futures_actors"

    name: str | None
    mailbox_size: int | None
    max_concurrency: int | None
    loop_factory: "Callable[[], AbstractEventLoop] | None"
    max_restarts: int | None
    restart_window: float | None
    start_method: str | None
    shared_memory: int | None

    def __init__(
        self,
        actor_class: type[Any],
        given: dict[str, object],
        table: dict[str, Option] | None = None,
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
        merged = class_options(actor_class) | given
        for name, option in table.items():
            value = check(actor_class, name, merged[name], option) if name in merged else None
            setattr(self, name, value)
        # A window of the class is no mistake if `options` turns restarts off.
        turned_off = "max_restarts" in given and "restart_window" not in given
        if self.restart_window is not None and not self.max_restarts and not turned_off:
            raise ValueError("restart_window has no effect without max_restarts: give both")

        if (self.max_concurrency or 1) > 1 and not is_async(actor_class):
            raise ValueError(
                f"max_concurrency is for async actors, and {actor_class.__name__} has no "
                "`async def handle`: use a pool of actors instead, `pool(n)`"
            )

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
