"""The exceptions of this package, and how the core makes them.

Each extends the exception of the standard library that callers of executors already catch. All can
be pickled and copied. Their `__module__` is the package, from which users import them.
"""

import logging
import queue
import signal
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import BrokenExecutor
from typing import Any

from ._core import loads
from ._texts import attempt, name_of, repr_of, text_of

try:
    from concurrent.futures.process import BrokenProcessPool
except (ImportError, RuntimeError):
    # It cannot be imported once the interpreter has begun to exit, or where processes cannot be
    # started. Then no code can have it, so none can miss it as a base class.
    BrokenProcessPool = BrokenExecutor  # type: ignore[misc,assignment]


class BrokenActor(BrokenExecutor):
    """The actor can handle no more messages. `post` raises it, and pending messages fail with it.

    Start another actor. This class itself is the error of an actor that was ended by force, or that
    belongs to the parent of a forked process. Its subclasses are for all other reasons.
    """

    __module__ = "futures_actors"


class ActorInitError(BrokenActor):
    """The actor's constructor or `on_start` raised, or a process could not load its class.

    `__cause__` is the exception that was raised, and the text says which of these happened.
    Messages that were posted before this was known fail with it, and later `post` raises it. For a
    process actor it is a `concurrent.futures.process.BrokenProcessPool`, too.
    """

    __module__ = "futures_actors"


class ProcessActorInitError(ActorInitError, BrokenProcessPool):
    """An `ActorInitError` of a process actor. Users see it by the name of its base."""

    __module__ = "futures_actors"

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle by a function, because another class has this one's name."""
        rest: Any = super().__reduce__()[1:]
        return (_process_init_error, *rest)


ProcessActorInitError.__name__ = ProcessActorInitError.__qualname__ = ActorInitError.__name__


def _process_init_error(*args: object) -> ProcessActorInitError:
    return ProcessActorInitError(*args)


class ActorDied(BrokenActor, BrokenProcessPool):
    """The actor's process ended before this message was answered.

    `pid` is the process's id. `exitcode` is its exit code, negative for the signal that killed it,
    or None if it is not known. `started` is whether `handle` had begun this very message.
    """

    __module__ = "futures_actors"

    def __init__(
        self,
        text: str,
        pid: int | None = None,
        exitcode: int | None = None,
        started: bool = False,  # noqa: FBT001, FBT002 - pickle gives arguments by position
    ) -> None:
        """Keep `text` as the message that `str()` shows."""
        super().__init__(text)
        self.pid = pid
        self.exitcode = exitcode
        self.started = started

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        """Pickle by constructor arguments."""
        return type(self), (str(self), self.pid, self.exitcode, self.started)


class MailboxFull(queue.Full):
    """The actor's mailbox is full, so the message was not accepted.

    With the option `mailbox_size`, `post` and `tell` raise it when their `timeout` has passed. In
    the actor's own thread they raise it at once, because that would wait for itself; then it is an
    `ActorDeadlock`, too.
    """

    __module__ = "futures_actors"


class ActorDeadlock(RuntimeError):  # noqa: N818 - it says what happened, as `TimeoutError` does
    """The wait would never end, because actors wait for each other in a circle.

    `circle` has the names of these actors: the first waits for the second, and so on, and the last
    for the first. An actor that waits for itself is a circle of one.
    """

    __module__ = "futures_actors"

    def __init__(self, text: str, circle: Iterable[str] = ()) -> None:
        """Keep `text` as the message that `str()` shows."""
        super().__init__(text)
        self.circle = tuple(circle)

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        """Pickle by constructor arguments."""
        return type(self), (str(self), self.circle)


class RoomDeadlock(ActorDeadlock, MailboxFull):
    """An `ActorDeadlock` of a wait for room in a full mailbox."""


class LevelError(TypeError):
    """A reference cannot go where it is sent. The text says who can refer to the actor."""


class RemoteError(RuntimeError):
    """Stands for an exception that could not cross from the actor's process.

    `type_name` is the qualified name of its class, `message` its text, and `traceback` the remote
    traceback as text.
    """

    __module__ = "futures_actors"

    def __init__(self, type_name: str, message: str, traceback: str = "") -> None:
        """Keep the three texts."""
        super().__init__(type_name, message, traceback)
        self.type_name = type_name
        self.message = message
        self.traceback = traceback

    def __str__(self) -> str:
        """Return the last line that an uncaught exception would print."""
        return f"{self.type_name}: {self.message}" if self.message else self.type_name


class RemoteTraceback(Exception):  # noqa: N818 - it is a cause to be shown, not raised
    """The text of a remote traceback. It is the `__cause__` of an exception from a process."""

    __module__ = "futures_actors"

    def __str__(self) -> str:
        """Return the traceback as the actor's process would print it."""
        return f'\n"""\n{self.args[0]}"""'


def load_error(encoded: bytes) -> BaseException:
    """Rebuild an exception that `_process.child.dump_error` has encoded."""
    type_name, message, traceback, pickled, _ = loads(encoded)
    error: object = None
    if pickled is not None:
        error, failed = attempt(lambda: loads(pickled))
        if failed is not None:
            message = f"{message} (it cannot be rebuilt here: {repr_of(failed)})"
    # A class of the user's can redefine `isinstance` and assignment, so use neither here.
    if not issubclass(type(error), BaseException):
        error = RemoteError(type_name, message, traceback)
    _CAUSE.__set__(error, RemoteTraceback(traceback))
    return error  # type: ignore[return-value]


_CAUSE = vars(BaseException)["__cause__"]


def init_error(name: str, cause: BaseException, stage: str) -> ActorInitError:
    """Make the error of a message to a thread actor that raised `cause` when it started."""
    return _with_cause(ActorInitError, name, cause, stage)


def process_init_error(name: str, cause: BaseException, stage: str) -> ActorInitError:
    """Make the error of a message to a process actor that raised `cause` when it started."""
    return _with_cause(ProcessActorInitError, name, cause, stage)


def load_init_error(name: str, encoded: bytes) -> ActorInitError:
    """Make the error of a message to an actor whose process has sent why it could not start."""
    *_, stage = loads(encoded)
    return _with_cause(ProcessActorInitError, name, load_error(encoded), stage)


#: What is said of an actor that could not start, by the stage that raised.
_COULD_NOT_START = {
    "constructor": "the constructor of actor {name} raised {cause}",
    "loop_factory": "actor {name} has no event loop: {cause}",
    "on_start": "on_start of actor {name} raised {cause}",
    "loading": (
        "the class or the constructor arguments of actor {name} cannot be loaded in its process, "
        "whose traceback is below: {cause}"
    ),
}


def _with_cause(
    kind: type[ActorInitError],
    name: str,
    cause: BaseException,
    stage: str = "constructor",
) -> ActorInitError:
    # Like the last line of a traceback, but without the module.
    raised = f"{name_of(type(cause)).rpartition('.')[2]}: {text_of(cause)}"
    error = kind(
        f"{_COULD_NOT_START[stage].format(name=name, cause=raised)}; this actor handles no messages"
    )
    error.__cause__ = cause
    return error


_NOT_BEGUN = ", before this message was begun; start another actor and post it again"


def actor_died(  # noqa: PLR0913, PLR0917 - called by the core
    name: str,
    pid: int,
    exitcode: int | None,
    started: bool,  # noqa: FBT001 - called by the core
    reason: str | None,
    has_begun: bool,  # noqa: FBT001
) -> ActorDied:
    """Make the error of a message to a process actor that has died."""
    if sys.platform == "win32" and exitcode is not None and exitcode not in _ENDED_HERE:
        exitcode &= 0xFFFFFFFF  # as `subprocess` says it
    text = f"the process of actor {name} (pid {pid}) terminated abruptly: "
    text += f"{reason}, and " if reason else ""
    text += _how(exitcode)
    if not has_begun and not reason:
        text += (
            f" before it could serve (was it a Python interpreter that can import futures_actors? "
            f"sys.executable is {sys.executable})"
        )
    text += ", while this message was being handled" if started else _NOT_BEGUN
    return ActorDied(text, pid, exitcode, started)


class ActorLost(Exception):  # noqa: N818 - a carrier raises it, and no message fails with it
    """An actor elsewhere has ended. `make(name, started)` returns the error of a message."""

    def __init__(self, reason: str, make: Callable[[str, bool], BaseException]) -> None:
        """Keep both."""
        super().__init__(reason)
        self.make = make


def lost_error(name: str, lost: BaseException, started: bool) -> BaseException:  # noqa: FBT001
    """Make the error of a message to an actor whose carrier raised `lost`."""
    if isinstance(lost, ActorLost):
        return lost.make(name, started)
    text = f"actor {name} was ended by a fault inside futures_actors: {repr_of(lost)}"
    error = BrokenActor(text)
    error.__cause__ = lost
    return error


def log_failure(name: str, what: str, error: BaseException) -> None:
    """Log an exception that an actor raised in `what`, for which there is no future."""
    log = logging.getLogger("futures_actors").error
    text = "actor %s: %s raised an exception"
    _, failed = attempt(lambda: log(text, name, what, exc_info=error))
    if failed is not None:
        # Most likely code of the exception itself raised: log once more without it.
        text += ", and logging that raised %s: %s"
        log(text, name, what, repr_of(failed), text_of(error))


def log_lost(name: str, lost: int, begun: int, error: BaseException) -> None:
    """Log that an actor has ended before it handled all messages that `tell` sent."""
    logging.getLogger("futures_actors").error(
        "actor %s: %d messages sent by tell() are lost, and %d of them had begun: %s",
        name, lost, begun, str(error).removesuffix(_NOT_BEGUN),
    )  # fmt: skip


#: On Windows only the processes that this package ends have the negative number of a signal.
_ENDED_HERE = (-15, -9)
#: Above are the errors of Windows, such as an access violation.
_HIGHEST_CODE = 0x7FFFFFFF


def _how(exitcode: int | None) -> str:
    if exitcode is None:
        return "its exit code is not known"
    if exitcode > _HIGHEST_CODE:
        return f"it exited with code {exitcode:#x}"
    if exitcode >= 0:
        return f"it exited with code {exitcode}"
    try:
        return f"it was killed by {signal.Signals(-exitcode).name}"
    except ValueError:
        return f"it was killed by signal {-exitcode}"
