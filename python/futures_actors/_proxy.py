"""`Proxy`: an actor whose methods are called as if it were here, and answer with futures."""

from collections.abc import Callable
from functools import partial
from typing import Any

from ._core import Actor, ExecutorCore
from ._future import ActorFuture

#: What every actor has from its base: how one is started, and no message.
_OF_THE_CLASS = {name for name in dir(Actor) if name != "handle"}


class Proxy:
    """Stands for an actor: `proxy.name(...)` is a message that calls the actor's method `name`.

    Made by `executor.proxy()`. It keeps the executor; shut the actor down through that.
    """

    __slots__ = ("_actor_class", "_executor")

    def __init__(self, executor: ExecutorCore, actor_class: type) -> None:
        """Stand for the actor of `executor`, which is one of `actor_class`."""
        self._executor = executor
        self._actor_class = actor_class

    def __getattr__(self, name: str, /) -> Callable[..., ActorFuture[Any]]:
        """Return what sends a message that calls the method `name`."""
        if name.startswith("_"):
            raise AttributeError(
                f"{name!r} is private: a proxy calls public methods alone", name=name, obj=self
            )
        actor_class = self._actor_class
        if name in _OF_THE_CLASS or not callable(getattr(actor_class, name, None)):
            raise AttributeError(
                f"{actor_class.__name__} has no method {name!r} that its proxy could call; "
                f"it has {', '.join(dir(self)) or 'none'}",
                name=name,
                obj=self,
            )
        return partial(self._executor._call_method, name)  # noqa: SLF001

    def __dir__(self) -> list[str]:
        """List the methods that can be called."""
        return [
            name
            for name in dir(self._actor_class)
            if not name.startswith("_")
            and name not in _OF_THE_CLASS
            and callable(getattr(self._actor_class, name, None))
        ]

    def __repr__(self) -> str:
        """Name the class."""
        return f"<proxy of {self._actor_class.__name__}>"
