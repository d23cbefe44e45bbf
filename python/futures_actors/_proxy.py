"""`Proxy`: calls the methods of an actor as if it were an object here, and returns futures."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any
from weakref import WeakKeyDictionary

from ._core import Actor, RefCore
from ._future import ActorFuture

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._stream import ActorStream

#: What every actor class has from its base: ways to start an actor, which are no messages.
_OF_THE_CLASS = {name for name in dir(Actor) if name != "handle"}


class Proxy:
    """Stands for an actor: `proxy.name(...)` sends a message that calls the actor's method `name`.

    `proxy()` of an executor or a reference makes it. The actor lives while the proxy exists.
    """

    __module__ = "futures_actors"

    __slots__ = ("_actor_class", "_reference")

    def __init__(self, reference: RefCore, actor_class: type) -> None:
        """Stand for the actor of `reference`, an instance of `actor_class`."""
        self._reference = reference
        self._actor_class = actor_class

    def __getattr__(self, name: str, /) -> Callable[..., ActorFuture[Any]]:
        """Return a function that sends a message which calls the method `name`."""
        if name.startswith("_"):
            raise AttributeError(
                f"{name!r} is private: a proxy calls only public methods", name=name, obj=self
            )
        actor_class = self._actor_class
        if name in _OF_THE_CLASS or not callable(getattr(actor_class, name, None)):
            raise AttributeError(
                f"{actor_class.__name__} has no method {name!r} that its proxy could call; "
                f"it has {', '.join(dir(self)) or 'none'}",
                name=name,
                obj=self,
            )
        return self._calls(name)

    def _calls(self, name: str) -> Callable[..., Any]:
        return partial(self._reference._call_method, name)  # noqa: SLF001

    def __dir__(self) -> list[str]:
        """List the methods that can be called."""
        return _methods(self._actor_class)

    def __repr__(self) -> str:
        """Name the class."""
        return f"<proxy of {self._actor_class.__name__}>"


class StreamProxy(Proxy):
    """Stands for an actor: `proxy.name(...)` returns a stream of what the method `name` yields.

    `stream_proxy()` of an executor or a reference makes it.
    """

    __module__ = "futures_actors"

    __slots__ = ("_ahead",)

    def __init__(self, reference: RefCore, actor_class: type, ahead: int) -> None:
        """Stand for the actor of `reference`; its streams are `ahead` items ahead at most."""
        super().__init__(reference, actor_class)
        self._ahead = ahead

    if TYPE_CHECKING:

        def __getattr__(self, name: str, /) -> Callable[..., ActorStream[Any]]:  # type: ignore[override]
            """Return a function that sends a message which streams from the method `name`."""

    def _calls(self, name: str) -> Callable[..., Any]:
        return partial(self._reference._stream_method, self._ahead, name)  # noqa: SLF001


def _methods(actor_class: type) -> list[str]:
    return [
        name
        for name in dir(actor_class)
        if not name.startswith("_")
        and name not in _OF_THE_CLASS
        and callable(getattr(actor_class, name, None))
    ]


def describe(actor_class: type) -> tuple[str, tuple[str, ...]]:
    """Return what a process that cannot import the class needs to know of it: see `stand_in`."""
    described = _described.get(actor_class)
    if described is None:
        described = actor_class.__name__, tuple(_methods(actor_class))
        _described[actor_class] = described
    return described


_described: "WeakKeyDictionary[type, tuple[str, tuple[str, ...]]]" = WeakKeyDictionary()


@lru_cache(maxsize=256)
def stand_in(name: str, methods: tuple[str, ...]) -> type:
    """Return a class with this name and methods of these names, for the proxies of an actor."""
    return type(name, (), dict.fromkeys(methods, _elsewhere))


def _elsewhere(*_args: object) -> None:
    """Stand for a method of an actor's class."""
    raise NotImplementedError("this method is in the actor's process: call it by a proxy")
