"""`Stats`: what `executor.stats()` returns."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Stats:
    """An actor at one moment, as seen from its executor.

    - `name`: what threads, errors and the log call it.
    - `state`: "running" and "restarting" accept messages, "stopping" no more, "stopped" has ended
      as it was told to, and "broken" could not start or has died.
    - `pid`: of the actor's process; None for a thread, and for a process that is no more.
    - `depth`: how many messages have been accepted and not begun, wherever they are.
    - `age`: for how many seconds `handle` has had the message that runs; None if none does.
    - `handled`: messages that `handle` has returned from.
    - `failed`: messages that ended with an error, whether `handle` raised it or the actor died.
    - `cancelled`: messages that were cancelled.
    - `told`: of all messages, those that `tell` sent.
    - `restarts`: how often the process was started again.

    Each message that was accepted is among `depth`, or the one that runs, or has been counted as
    `handled`, `failed` or `cancelled`.
    """

    name: str
    state: Literal["running", "restarting", "stopping", "stopped", "broken"]
    pid: int | None
    depth: int
    age: float | None
    handled: int
    failed: int
    cancelled: int
    told: int
    restarts: int
