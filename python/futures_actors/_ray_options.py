"""`RayOptions`: what `options(...)` of a Ray actor returns."""

from typing import TYPE_CHECKING, Any

from ._options import _OPTIONS, Options

if TYPE_CHECKING:
    from .ray import RayActorExecutor

#: What Ray has and an actor of this package cannot have, and why.
_REFUSED = {
    "max_restarts": "Ray would start the actor again without the state that it had",
    "max_task_retries": "Ray would handle a message twice",
    "max_concurrency": "an actor handles one message at a time",
    "concurrency_groups": "an actor handles one message at a time",
    "allow_out_of_order_execution": "messages are handled in the order they were posted",
    "lifetime": "an actor lives as long as its executor does",
    "get_if_exists": "an actor has one executor",
    "max_pending_calls": "option mailbox_size bounds what waits",
}


class RayOptions(Options[..., Any]):
    """A Ray actor class, and how its actors are to be started.

    `name`, `mailbox_size`: as in `Options`; `name` is for errors and the log, not for Ray.
    `window`: how many messages Ray may have at a time, 1 unless it is given. What Ray has counts as
    running and cannot be cancelled.
    `start_timeout`: for how many seconds the actor may wait for a place in the cluster, 60 unless
    it is given; None: without end.
    `zero_copy`: whether arrays are read-only views of Ray's memory, instead of copies.
    All others go to Ray as they are: `num_cpus`, `num_gpus`, `memory`, `resources`,
    `label_selector`, `scheduling_strategy`, `runtime_env` ...
    """

    def __init__(self, actor_class: type[Any], given: dict[str, Any]) -> None:
        """Check what was given; what is wrong is an error that names option and value."""
        for name, reason in _REFUSED.items():
            if name in given:
                raise TypeError(
                    f"{actor_class.__name__}.options() has no option {name!r}: {reason}"
                )
        super().__init__(actor_class, {name: given[name] for name in given if name in _OPTIONS})
        self.ray = {name: value for name, value in given.items() if name not in _OPTIONS}
        self.window = _window(self.ray.pop("window", 1))
        self.start_timeout = _seconds(self.ray.pop("start_timeout", 60.0))
        self.zero_copy = _flag(self.ray.pop("zero_copy", False))
        self._given = given

    def executor(self, /, *args: Any, **kwargs: Any) -> "RayActorExecutor[Any, Any]":  # noqa: ANN401
        """Start an actor with these options and return its executor.

        Every argument goes to the constructor.
        """
        from .ray import RayActorExecutor

        return RayActorExecutor(self, *args, **kwargs)


def _window(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"window must be an int, not {type(value).__name__}")
    if value < 1:
        raise ValueError(f"window must be at least 1, not {value}")
    return value


def _seconds(value: object) -> float | None:
    if value is None:
        return None
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"start_timeout must be a number of seconds, not {type(value).__name__}")
    if not value > 0:
        raise ValueError(f"start_timeout must be more than 0 seconds, not {value}")
    return float(value)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"zero_copy must be a bool, not {type(value).__name__}")
    return value
