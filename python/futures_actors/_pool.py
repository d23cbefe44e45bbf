"""`ActorPool`: several actors of one class behind one mailbox, as `MyActor.pool(n)` makes."""

import os
from typing import Any

from . import _core
from ._base_actor import ActorExecutor
from ._class_options import class_options, limited_size
from ._core import ProcessActor, ThreadActor
from ._options import Options
from ._reference import ActorRef
from ._start_methods import check_platform
from ._types import Answer, Message, P, Started

#: How often the process of a pool's member is started again, and within how many seconds, if the
#: options do not say.
RESTARTS = 3
RESTART_WINDOW = 60.0


class PoolRef(_core.PoolRefCore[Message, Answer], ActorRef[Message, Answer]):
    """Refers to a pool: sends it messages, and cannot end it. `pool.ref()` makes one."""

    __module__ = "futures_actors"


class ActorPool(_core.PoolCore[Message, Answer], ActorExecutor[Message, Answer]):
    """The executor of a pool: several actors of one class behind one mailbox.

    `MyActor.pool(n).executor(...)` starts one. A message is handled by the first member that is
    idle, or has a free place if it is async; a message with a key by the member that has this
    key. `submit`, `map`, `imap` and `tell` go to the first that is idle, too; for those of one key
    or member use `keyed` and `members`.
    No message begins before the constructors of all members have returned. If one raises, the
    pool handles no message: every one fails with the `ActorInitError` of that member.
    """

    __module__ = "futures_actors"

    def _width(self) -> int:
        return len(self)


class PoolOptions(Options[P, Started]):
    """The options of a pool, and how many members it has."""

    def __init__(self, actor_class: type[Any], members: object, given: dict[str, object]) -> None:
        """Check number and options; `members` is None for one member on each usable CPU."""
        self.pool_size = (
            _usable_cpus() if members is None else limited_size("the size of a pool", members)
        )
        self._restarts_by_default = (
            issubclass(actor_class, ProcessActor)
            and "max_restarts" not in class_options(actor_class) | given
        )
        shown = dict(given)
        if self._restarts_by_default:
            given = {"restart_window": RESTART_WINDOW, **given, "max_restarts": RESTARTS}
        super().__init__(actor_class, given)
        self._given = shown

    def executor(self, /, *args: P.args, **kwargs: P.kwargs) -> Started:
        """Start a pool with these options and return its executor.

        Every argument goes to the constructor of every member.
        """
        if not issubclass(self.actor_class, (ThreadActor, ProcessActor)):
            raise NotImplementedError(
                "use ProcessActor or ThreadActor for a pool; of other actors, such as those on a "
                "Ray cluster, start several executors and post to one after the other"
            )
        if issubclass(self.actor_class, ProcessActor):
            check_platform()
        pool: Any = ActorPool(self, *args, **kwargs)
        return pool  # type: ignore[no-any-return] # of the type that `Actor.pool` says

    def __repr__(self) -> str:
        """Show the call that makes it."""
        given = [f"{name}={value!r}" for name, value in self._given.items()]
        call = ", ".join([str(self.pool_size), *given])
        return f"{self.actor_class.__name__}.pool({call})"


def _usable_cpus() -> int:
    if hasattr(os, "process_cpu_count"):
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
