"""The exceptions of this package, and how the core makes them.

Each extends the exception of the standard library that a caller of an executor catches already.
All can be pickled and copied.
"""

import logging
import queue
import signal
import sys
from collections.abc import Callable
from concurrent.futures import BrokenExecutor

from ._core import loads
from ._texts import attempt, name_of, repr_of, text_of

try:
    from concurrent.futures.process import BrokenProcessPool
except (ImportError, RuntimeError):
    # It cannot be loaded once the interpreter has begun to exit, nor where processes cannot be
    # started. Then nobody can hold it, and nobody can miss it as a base.
    BrokenProcessPool = BrokenExecutor  # type: ignore[misc,assignment]


class BrokenActor(BrokenExecutor):
    """The actor can handle no more messages: `post` raises it, and what was pending fails with it.

    Start another one. It is itself the error of an actor that was ended by force, or that a fork
    has left to the other process; its subclasses say what else there was.
    """


class ActorInitError(BrokenActor):
    """The actor's constructor raised, or a process could not load the class or its arguments.

    `__cause__` is what was raised, and the text says which it was. Every message that was
    posted before that was known fails with it, and `post` raises it after.
    A process actor's is a `concurrent.futures.process.BrokenProcessPool`, too.
    """


class ProcessActorInitError(ActorInitError, BrokenProcessPool):
    """An `ActorInitError` of a process actor."""


class ActorDied(BrokenActor, BrokenProcessPool):
    """The actor's process ended before this message was answered.

    `pid` is the process's id; `exitcode` is its exit code, negative for the signal that killed it,
    or None if it is not known; `started` tells whether `handle` had begun on this very message.
    """

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
    """The actor's mailbox has no room for another message, which was not accepted.

    Raised with option `mailbox_size`, by `post` and `tell` when their `timeout` has passed, and at
    once in the actor's own thread, which would wait for itself.
    """


class RemoteError(RuntimeError):
    """Stands for an exception that could not cross from the actor's process.

    `type_name` is the qualified name of its class, `message` its text, and `traceback` the remote
    traceback as text.
    """

    def __init__(self, type_name: str, message: str, traceback: str = "") -> None:
        """Keep the three texts."""
        super().__init__(type_name, message, traceback)
        self.type_name = type_name
        self.message = message
        self.traceback = traceback

    def __str__(self) -> str:
        """Show what an uncaught exception's last line would."""
        return f"{self.type_name}: {self.message}" if self.message else self.type_name


class RemoteTraceback(Exception):  # noqa: N818 - it is a cause to be shown, not raised
    """The traceback of an exception in the actor's process, as text; the `__cause__` of that."""

    def __str__(self) -> str:
        """Show the traceback as the process would have."""
        return f'\n"""\n{self.args[0]}"""'


def load_error(encoded: bytes) -> BaseException:
    """Rebuild an exception from what `_process.child.dump_error` made of it."""
    type_name, message, traceback, pickled, _ = loads(encoded)
    error: object = None
    if pickled is not None:
        error, failed = attempt(lambda: loads(pickled))
        if failed is not None:
            message = f"{message} (it cannot be rebuilt here: {repr_of(failed)})"
    # Not by `isinstance`, nor by an assignment: a class may have its own idea of either.
    if not issubclass(type(error), BaseException):
        error = RemoteError(type_name, message, traceback)
    _CAUSE.__set__(error, RemoteTraceback(traceback))
    return error  # type: ignore[return-value]


_CAUSE = vars(BaseException)["__cause__"]


def init_error(name: str, cause: BaseException) -> ActorInitError:
    """Make the error of a message to a thread actor whose constructor raised `cause`."""
    return _with_cause(ActorInitError, name, cause)


def process_init_error(name: str, cause: BaseException) -> ActorInitError:
    """Make the error of a message to a process actor whose constructor raised `cause`."""
    return _with_cause(ProcessActorInitError, name, cause)


def load_init_error(name: str, encoded: bytes) -> ActorInitError:
    """Make the error of a message to an actor whose process has sent why there is none."""
    *_, is_loaded = loads(encoded)
    what = _CONSTRUCTOR_RAISED if is_loaded else _NOT_LOADED
    return _with_cause(ProcessActorInitError, name, load_error(encoded), what)


_CONSTRUCTOR_RAISED = "the constructor of actor {name} raised {cause}"
_NOT_LOADED = (
    "the class or the constructor arguments of actor {name} cannot be loaded in its process, "
    "whose traceback is below: {cause}"
)


def _with_cause(
    kind: type[ActorInitError],
    name: str,
    cause: BaseException,
    what: str = _CONSTRUCTOR_RAISED,
) -> ActorInitError:
    # As a traceback's last line says it, without the module.
    raised = f"{name_of(type(cause)).rpartition('.')[2]}: {text_of(cause)}"
    error = kind(f"{what.format(name=name, cause=raised)}; this actor handles no messages")
    error.__cause__ = cause
    return error


def actor_died(  # noqa: PLR0913, PLR0917 - called by the core
    name: str,
    pid: int,
    exitcode: int | None,
    started: bool,  # noqa: FBT001 - called by the core
    reason: str | None,
    has_begun: bool,  # noqa: FBT001
) -> ActorDied:
    """Make the error of a message to a process actor that is no more."""
    text = f"the process of actor {name} (pid {pid}) terminated abruptly: "
    text += f"{reason}, and " if reason else ""
    text += _how(exitcode)
    if not has_begun and not reason:
        text += (
            f" before it could serve (was it a Python interpreter that can import futures_actors? "
            f"sys.executable is {sys.executable})"
        )
    text += (
        ", while this message was being handled"
        if started
        else ", before this message was begun; start another actor and post it again"
    )
    return ActorDied(text, pid, exitcode, started)


class ActorLost(Exception):  # noqa: N818 - it is what a carrier says, and no message's error
    """An actor elsewhere is no more: `make(name, started)` is the error of each message."""

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
    """Log what an actor raised where there is no future to take it: in `what`."""
    log = logging.getLogger("futures_actors").error
    text = "actor %s: %s raised an exception"
    _, failed = attempt(lambda: log(text, name, what, exc_info=error))
    if failed is not None:
        # By code of the exception's own, most likely: once more without that.
        text += ", and logging that raised %s: %s"
        log(text, name, what, repr_of(failed), text_of(error))


def log_lost(name: str, lost: int, begun: int, error: BaseException) -> None:
    """Log that an actor has ended before it had handled what it was told."""
    logging.getLogger("futures_actors").error(
        "actor %s: %d messages that were told are lost, and it had begun %d of them: %s",
        name, lost, begun, error,
    )  # fmt: skip


def _how(exitcode: int | None) -> str:
    if exitcode is None:
        return "its exit code is not known"
    if exitcode >= 0:
        return f"it exited with code {exitcode}"
    try:
        return f"it was killed by {signal.Signals(-exitcode).name}"
    except ValueError:
        return f"it was killed by signal {-exitcode}"
