"""Actors that live in a Ray cluster: `pip install 'futures_actors[ray]'`.

Extend `RayActor` instead of `ProcessActor`, and the actor lives wherever Ray has room for it.
"""

from collections.abc import Callable
from typing import Any

try:
    import ray  # noqa: F401 - to say what is missing before the rest needs it
except ImportError as error:
    raise ImportError(
        "futures_actors.ray needs Ray 2.60 or later, which cannot be imported here "
        f"({error}): pip install 'futures_actors[ray]'"
    ) from error

from . import _core
from ._base_actor import ActorExecutor
from ._core import Actor
from ._ray.carrier import Carrier
from ._ray.options import RayOptions
from ._types import Answer, Message, P

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Self

    from ._options import Options

__all__ = ["RayActor", "RayActorExecutor", "RayOptions"]


class RayActor(Actor[Message, Answer]):
    """Base class of actors that live in a process of a Ray cluster."""

    @classmethod
    def executor(
        cls: Callable[P, Actor[Message, Answer]], /, *args: P.args, **kwargs: P.kwargs
    ) -> "RayActorExecutor[Message, Answer]":
        """Start an actor of this class in the cluster and return its executor.

        Ray is initialised if it is not: `ray.init()`. Every argument goes to the constructor, which
        runs in the actor's process, at once. Class and arguments are pickled; raises `TypeError` or
        `pickle.PicklingError` if they cannot be. If the constructor raises, every message fails
        with `ActorInitError`.
        """
        return RayActorExecutor(RayOptions(cls, {}), *args, **kwargs)

    @classmethod
    def options(
        cls: Callable[P, Actor[Message, Answer]],
        *,
        name: str | None = None,
        mailbox_size: int | None = None,
        window: int | None = None,
        start_timeout: float | None = None,
        zero_copy: bool | None = None,
        **ray: Any,  # noqa: ANN401 - what Ray has
    ) -> "RayOptions[P, RayActorExecutor[Message, Answer]]":
        """Return an object whose `executor(...)` starts actors of this class with options.

        What options there are, `RayOptions` says; what it does not know goes to Ray.
        """
        given = {
            "name": name,
            "mailbox_size": mailbox_size,
            "window": window,
            "start_timeout": start_timeout,
            "zero_copy": zero_copy,
        }
        given = {option: value for option, value in given.items() if value is not None}
        return RayOptions(cls, given | ray)

    @classmethod
    def _start(
        cls, options: "Options[..., Any]", args: tuple[object, ...], kwargs: dict[str, object]
    ) -> ActorExecutor[Any, Any]:
        """For `options(...)`: start an actor of this class with them."""
        # They are those that `options` has made.
        ray_options: RayOptions[..., Any] = options  # type: ignore[assignment]
        return RayActorExecutor(ray_options, *args, **kwargs)


class RayActorExecutor(_core.RemoteExecutorCore[Message, Answer], ActorExecutor[Message, Answer]):
    """The executor of a `RayActor`."""

    def __new__(cls, options: RayOptions[..., Any], /, *args: Any, **kwargs: Any) -> "Self":  # noqa: ANN401
        """Start an actor with `options`."""
        return super().__new__(cls, options, Carrier(options, args, kwargs), options.window or 1)
