"""`Options`: what `MyActor.options(...)` returns, to start an actor with them."""

from typing import Any, Generic

from ._core import ProcessActor, ThreadActor
from ._spawn import check_start_method
from ._types import P, Started


class Options(Generic[P, Started]):
    """An actor class, and how its actors are to be started."""

    def __init__(self, actor_class: type[Any], given: dict[str, object]) -> None:
        """Check what was given; an unknown option is a `TypeError` that names it."""
        self.actor_class = actor_class
        self.start_method: str | None = None
        for name, value in given.items():
            if name != "start_method":
                raise TypeError(
                    f"{actor_class.__name__}.options() has no option {name!r}; "
                    "there is start_method"
                )
            if not issubclass(actor_class, ProcessActor):
                raise TypeError(f"option {name!r} is for process actors; this is a thread's")
            self.start_method = None if value is None else check_start_method(value)

    def executor(self, /, *args: P.args, **kwargs: P.kwargs) -> Started:
        """Start an actor with these options and return its executor.

        Every argument goes to the constructor.
        """
        # Of the type that `Actor.options` says.
        executor: Any
        if issubclass(self.actor_class, ThreadActor):
            start: Any = self.actor_class.executor
            executor = start(*args, **kwargs)
        else:
            from .process_actor import ProcessActorExecutor

            executor = ProcessActorExecutor(self, *args, **kwargs)
        return executor  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        """Show the call that makes it."""
        return f"{self.actor_class.__name__}.options(start_method={self.start_method!r})"
