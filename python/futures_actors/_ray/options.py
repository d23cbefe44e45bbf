"""`RayOptions`: what `options(...)` of a Ray actor returns."""

from typing import Any

from .._class_options import OPTIONS, Option, class_options, keep_own, seconds, size
from .._options import Options
from .._types import P, Started


def _flag(option: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{option} must be a bool, not {type(value).__name__}")
    return value


_OWN = {
    "window": Option(size),
    "start_timeout": Option(seconds),
    "zero_copy": Option(_flag),
}

#: Options of Ray that an actor of this package cannot have, and why.
_REFUSED = {
    "max_restarts": "Ray would start the actor again without the state that it had",
    "max_task_retries": "Ray would handle a message twice",
    "max_concurrency": "async actors do not run on Ray, and others handle one message at a time",
    "loop_factory": "async actors do not run on Ray",
    "concurrency_groups": "an actor handles one message at a time",
    "allow_out_of_order_execution": "messages are handled in the order they were posted",
    "lifetime": "an actor lives as long as its executor does",
    "get_if_exists": "an actor has one executor",
    "max_pending_calls": "option mailbox_size bounds what waits",
}


class RayOptions(Options[P, Started]):
    """A Ray actor class, and the options to start its actors with; None stands for the default.

    `name`, `mailbox_size`: as in `Options`. The name is used in errors and the log, not by Ray.
    `window`: how many messages Ray may have at a time, 1 unless it is given. What Ray has counts as
    running and cannot be cancelled.
    `start_timeout`: for how many seconds the actor may wait for a place in the cluster, 60 unless
    it is given; `math.inf`: without end.
    `zero_copy`: whether arrays are read-only views of Ray's memory, instead of copies.
    All others go to Ray as they are: `num_cpus`, `num_gpus`, `memory`, `resources`,
    `label_selector`, `scheduling_strategy`, `runtime_env` ...
    """

    window: int | None
    start_timeout: float | None
    zero_copy: bool | None

    def __init__(self, actor_class: Any, given: dict[str, Any]) -> None:  # noqa: ANN401 - a class
        """Check the options; an error names the option and its value."""
        _refuse(actor_class, class_options(actor_class) | given)
        table = OPTIONS | _OWN
        super().__init__(actor_class, {name: given[name] for name in given if name in table}, table)
        merged = class_options(actor_class) | given
        self.ray = {name: value for name, value in merged.items() if name not in table}
        self._given = given


def keep_keywords(actor_class: type[Any], options: dict[str, Any]) -> None:
    """Check the options that are keywords of a class, and keep them in it."""
    _refuse(actor_class, options)
    keep_own(actor_class, options, OPTIONS | _OWN)


def _refuse(actor_class: type[Any], given: dict[str, Any]) -> None:
    """Raise `TypeError` if an option of Ray is given that an actor of this package cannot have."""
    for name in given:
        if name in _REFUSED:
            raise TypeError(f"{actor_class.__name__} has no option {name!r}: {_REFUSED[name]}")
