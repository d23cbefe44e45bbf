"""`Stats`: what `executor.stats()` returns."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Stats:
    """An actor at one moment, as seen from its executor.

    Each message that was accepted is among `depth`, or the one that runs, or has been counted as
    `handled`, `failed` or `cancelled`.
    """

    name: str
    #: "running" and "restarting" accept messages, "stopping" no more, "stopped" has ended as it was
    #: told to, and "broken" could not start or has died.
    state: Literal["running", "restarting", "stopping", "stopped", "broken"]
    #: Of the actor's process; None for a thread, and for a process that is no more.
    pid: int | None
    #: How many messages have been accepted and not begun, wherever they are.
    depth: int
    #: For how many seconds `handle` has had the message that runs; None if none does.
    age: float | None
    #: Messages that `handle` has returned from.
    handled: int
    #: Messages that ended with an error, whether `handle` raised it or the actor died.
    failed: int
    #: Messages that were cancelled.
    cancelled: int
    #: Of all messages, those that `tell` sent.
    told: int
    #: How often the process was started again.
    restarts: int
