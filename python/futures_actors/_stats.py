"""`Stats`: what `executor.stats()` returns."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Stats:
    """An actor at one moment, as its executor sees it.

    - `name`: the actor's name in threads, errors and the log.
    - `state`: an actor that is "running" or "restarting" accepts messages; one that is "stopping"
      does not; one that is "stopped" has ended as it was told to; one that is "broken" could not
      start or has died.
    - `pid`: the id of the actor's process; None for a thread, and after the process has ended.
    - `depth`: how many accepted messages have not begun, wherever they are.
    - `running`: how many messages run at this moment: more than one only in an async actor.
    - `age`: how many seconds ago `handle` began the current message, of several the oldest; None if
      there is none.
    - `handled`: how many messages `handle` has returned from.
    - `failed`: how many messages ended with an error: `handle` raised it, or the actor died.
    - `cancelled`: how many messages were cancelled.
    - `told`: how many of all messages `tell` sent.
    - `restarts`: how often the process was started again.
    - `members`: of a pool, the same of each member; of an actor, nothing. The pool's numbers are
      the sums, with its own mailbox, and its `age` is that of the message that has run longest.

    Each accepted message is counted in `depth`, `handled`, `failed` or `cancelled`, unless it is
    a current one or the answer of a process is on its way.
    """

    __module__ = "futures_actors"

    name: str
    state: Literal["running", "restarting", "stopping", "stopped", "broken"]
    pid: int | None
    depth: int
    running: int
    age: float | None
    handled: int
    failed: int
    cancelled: int
    told: int
    restarts: int
    members: "tuple[Stats, ...]" = ()
