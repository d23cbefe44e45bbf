"""Actors that live in a Ray cluster. It needs Ray: `pip install 'ray>=2.60,<3'`.

Extend `RayActor` instead of `ProcessActor`, and the actor lives where Ray finds room for it.
"""

from collections.abc import Callable
from typing import Any

try:
    import ray  # noqa: F401 - for a clear error if it is missing
except ImportError as error:
    raise ImportError(
        "futures_actors.ray needs Ray 2.60 or later, which cannot be imported here "
        f"({error}): pip install 'ray>=2.60,<3'"
    ) from error

from . import _core
from ._base_actor import ActorExecutor
from ._core import Actor
from ._ray.carrier import Carrier
from ._ray.options import RayOptions, keep_keywords
from ._types import Answer, Message, P

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Self

    from ._options import Options

__all__ = ["RayActor", "RayActorExecutor", "RayOptions"]


class RayActor(Actor[Message, Answer]):
    """Base class of actors that live in a process of a Ray cluster."""

    def __init_subclass__(cls, **options: Any) -> None:  # noqa: ANN401 - Ray's own options, too
        """Take options of the class: `class Fetch(RayActor, num_cpus=2)`."""
        super().__init_subclass__()
        keep_keywords(cls, options)

    @classmethod
    def executor(
        cls: Callable[P, Actor[Message, Answer]], /, *args: P.args, **kwargs: P.kwargs
    ) -> "RayActorExecutor[Message, Answer]":
        """Start an actor of this class in the cluster and return its executor.

        If Ray is not initialised, this calls `ray.init()`. Every argument goes to the constructor,
        which runs at once in the actor's process. Class and arguments are pickled; raises
        `TypeError` or `pickle.PicklingError` if they cannot be. If the constructor raises, every
        message fails with `ActorInitError`.
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
        **ray: Any,  # noqa: ANN401 - Ray's own options
    ) -> "RayOptions[P, RayActorExecutor[Message, Answer]]":
        """Return an object whose `executor(...)` starts actors of this class with options.

        `RayOptions` lists the options. All others are passed to Ray.
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
        """Start an actor of this class with `options`."""
        # `options` of this class has made them.
        ray_options: RayOptions[..., Any] = options  # type: ignore[assignment]
        return RayActorExecutor(ray_options, *args, **kwargs)


class RayActorExecutor(_core.RemoteExecutorCore[Message, Answer], ActorExecutor[Message, Answer]):
    """The executor of a `RayActor`."""

    def __new__(cls, options: RayOptions[..., Any], /, *args: Any, **kwargs: Any) -> "Self":  # noqa: ANN401
        """Start an actor with `options`; raise `TypeError` if its class is async."""
        if _core.is_async(options.actor_class):
            raise TypeError(
                f"{options.actor_class.__name__} is async, which actors on Ray cannot be: extend "
                "ProcessActor or ThreadActor, or make its methods plain ones"
            )
        return super().__new__(cls, options, Carrier(options, args, kwargs), options.window or 1)
