"""The Rust core of `futures_actors`; import its names from `futures_actors`.

This is the reference manual of the classes that the core defines. Its texts are the ones that
`help()` shows; a test holds them equal.
"""

from collections.abc import Callable, Generator
from threading import Condition
from types import GenericAlias
from typing import Any, Final, Generic, NoReturn, SupportsIndex, final

from typing_extensions import Self, TypeVar, disjoint_base

from ._base_actor import ActorExecutor
from ._future import ActorFuture
from ._options import Options
from ._stats import Stats
from ._types import Answer, Calls, Message, P, Result
from .process_actor import ProcessActorExecutor
from .thread_actor import ThreadActorExecutor

__version__: Final[str]

__all__ = [
    "Actor",
    "ExecutorCore",
    "FutureCore",
    "ProcessActor",
    "ProcessExecutorCore",
    "RemoteExecutorCore",
    "RoomSeat",
    "ServerExitCodes",
    "ThreadActor",
    "ThreadExecutorCore",
    "__version__",
    "after_fork_in_child",
    "after_fork_in_parent",
    "before_fork",
    "check_answer",
    "drain",
    "dumps",
    "handling",
    "loads",
    "log_to_parent",
    "serve",
    "set_loading",
    "start_logging",
    "unshare_pages",
]

_T = TypeVar("_T")

# Of `executor` and `options`: `cls` is what makes an actor, so that `P` is the constructor's.
# pyright: reportArgumentType=false

class Actor(Generic[Message, Answer]):
    """What an actor is: a class that handles messages one at a time.

    Extend `ThreadActor` or `ProcessActor`.
    """

    @classmethod
    def executor(
        cls: Callable[P, Actor[Message, Answer]], *args: P.args, **kwargs: P.kwargs
    ) -> ActorExecutor[Message, Answer]:
        """Start an actor of this class and return its executor.

        Every argument goes to the constructor, which runs in the actor's own thread or process.
        """
    @classmethod
    def options(
        cls: Callable[P, Actor[Message, Answer]],
        *,
        name: str | None = None,
        mailbox_size: int | None = None,
    ) -> Options[P, ActorExecutor[Message, Answer]]:
        """Return an object whose `executor(...)` starts actors of this class with options.

        What options there are, `Options` says. An unknown one is a `TypeError`, a bad value a
        `TypeError` or `ValueError`, which names it.
        """
    @classmethod
    def _start(
        cls, options: Options[..., Any], args: tuple[object, ...], kwargs: dict[str, object]
    ) -> ActorExecutor[Any, Any]:
        """For `options(...)`: start an actor of this class with them."""
    def handle(self, message: Message, /) -> Answer:
        """Answer a message: what this returns, or raises, goes to the message's future."""
    def on_stop(self) -> None:
        """Do what is to be done after the last message, in the actor's thread or process.

        Called after `shutdown`, when the executor is dropped, and at the interpreter's exit; not
        after `terminate` or `kill`, nor if the constructor raised. What it raises is logged on
        logger `futures_actors`.
        """
    @classmethod
    def __class_getitem__(cls, item: Any, /) -> GenericAlias: ...

class ThreadActor(Actor[Message, Answer]):
    """Base class of actors that live in a thread of their own."""

    @classmethod
    def executor(
        cls: Callable[P, Actor[Message, Answer]], *args: P.args, **kwargs: P.kwargs
    ) -> ThreadActorExecutor[Message, Answer]:
        """Start an actor of this class in a thread of its own and return its executor.

        Every argument goes to the constructor, which runs in that thread, at once. If it raises,
        every message fails with `ActorInitError`.
        """
    @classmethod
    def options(
        cls: Callable[P, Actor[Message, Answer]],
        *,
        name: str | None = None,
        mailbox_size: int | None = None,
    ) -> Options[P, ThreadActorExecutor[Message, Answer]]:
        """Return an object whose `executor(...)` starts actors of this class with options.

        What options there are, `Options` says. An unknown one is a `TypeError`, a bad value a
        `TypeError` or `ValueError`, which names it.
        """
    @classmethod
    def _start(
        cls, options: Options[..., Any], args: tuple[object, ...], kwargs: dict[str, object]
    ) -> ThreadActorExecutor[Any, Any]:
        """For `options(...)`: start an actor of this class with them."""

class ProcessActor(Actor[Message, Answer]):
    """Base class of actors that live in a process of their own."""

    @classmethod
    def executor(
        cls: Callable[P, Actor[Message, Answer]], *args: P.args, **kwargs: P.kwargs
    ) -> ProcessActorExecutor[Message, Answer]:
        """Start an actor of this class in a process of its own and return its executor.

        Every argument goes to the constructor, which runs in that process, at once. Class and
        arguments are pickled; raises `TypeError` or `pickle.PicklingError` if they cannot be. If
        the constructor raises, every message fails with `ActorInitError`.
        """
    @classmethod
    def options(
        cls: Callable[P, Actor[Message, Answer]],
        *,
        name: str | None = None,
        mailbox_size: int | None = None,
        max_restarts: int | None = None,
        restart_window: float | None = None,
        start_method: str | None = None,
        shared_memory: int | None = None,
    ) -> Options[P, ProcessActorExecutor[Message, Answer]]:
        """Return an object whose `executor(...)` starts actors of this class with options.

        What options there are, `Options` says. An unknown one is a `TypeError`, a bad value a
        `TypeError` or `ValueError`, which names it.
        """
    @classmethod
    def _start(
        cls, options: Options[..., Any], args: tuple[object, ...], kwargs: dict[str, object]
    ) -> ProcessActorExecutor[Any, Any]:
        """For `options(...)`: start an actor of this class with them."""

@final
class RoomSeat:
    """For `apost`: a turn in the queue for room, and a future that is done once it is granted."""

    @property
    def future(self) -> ActorFuture[None]: ...
    def leave(self) -> None:
        """Give up the turn, or the place if it has been granted."""

@disjoint_base
class ExecutorCore(Generic[Message, Answer]):
    """The core of an executor: one actor and its mailbox."""

    def post(self, message: Message, *, timeout: float | None = None) -> ActorFuture[Answer]:
        """Send a message to the actor and return the future of its answer.

        Messages of one thread are handled in the order they were posted. With option
        `mailbox_size`, it waits while so many messages have not begun; raises `MailboxFull` if that
        takes more than `timeout` seconds, and at once in the actor's own thread. Raises
        `RuntimeError` after `shutdown`, and `BrokenActor` if the actor could not start or has died.
        """
    def tell(self, message: Message, *, timeout: float | None = None) -> None:
        """Send a message whose answer nobody awaits: no future, nothing to cancel.

        It is handled in mailbox order. What `handle` raises is logged with its traceback on logger
        `futures_actors`, and counted. Waits for room and raises as `post` does, and what pickling
        raises; a message that was accepted and is lost, since the actor has died, is logged.
        """
    def stats(self) -> Stats:
        """Return what can be told of the actor without asking it: its state and counts."""
    def _wait_for_room(self) -> RoomSeat:
        """For `apost`: queue for room, and return the seat in that queue."""
    def _post_into_room(self, seat: RoomSeat, message: Message) -> ActorFuture[Answer]:
        """For `apost`: post into the room that was waited for."""
    def submit(
        self, fn: Callable[P, Result], /, *args: P.args, **kwargs: P.kwargs
    ) -> ActorFuture[Result]:
        """Run `fn(*args, **kwargs)` in the actor's thread or process, in mailbox order.

        Returns the future of its result; waits and raises as `post` does.
        """
    def proxy(self) -> Calls:  # type: ignore[type-var] # the context tells, or the default
        """Return an object whose method calls are messages: `proxy.name(...)` returns a future.

        It calls the actor's methods of that name, in mailbox order, for classes that have no
        `handle`. A name that starts with "_", and one that is no method of the actor's class, is an
        `AttributeError`. Annotate the result with a protocol to have calls type-checked.
        """
    def _call_method(self, name: str, /, *args: Any, **kwargs: Any) -> ActorFuture[Any]:
        """For proxies: call the actor's method `name`, in mailbox order, and return the future."""
    def shutdown(
        self, wait: bool = True, *, cancel_futures: bool = False, timeout: float | None = None
    ) -> None:
        """Accept no more messages, and let the actor end when it has handled those it has.

        With `wait`, return when it has ended; raises `TimeoutError` if that takes more than
        `timeout` seconds, and it goes on to end. With `cancel_futures`, cancel every message that
        `handle` has not begun. It can be called again, from any thread; the actor's own, in
        `handle` or in a callback, does not wait for itself.
        """
    def terminate(self) -> None:
        """Shut down without waiting for what the actor has: a process gets SIGTERM.

        No message begins after this. When the process has ended, every pending future fails with
        `ActorDied`; if it catches the signal, it first handles the message that it has begun. A
        thread cannot be ended from outside: the message that runs is handled to its end, and the
        others fail at once with `BrokenActor`. `on_stop` is not called. Never waits.
        """
    def kill(self) -> None:
        """Shut down as `terminate` does, but a process gets SIGKILL, which it cannot catch."""
    def terminate_workers(self) -> None:
        """Do what `terminate` does, by the name that process pools have for it."""
    def kill_workers(self) -> None:
        """Do what `kill` does, by the name that process pools have for it."""
    def dump_traceback(self, *, timeout: float | None = None) -> str:
        """Return where the actor is at this moment: the stacks of its threads, as text.

        A process actor is interrupted for it by a signal, so it works while `handle` hangs, in C
        code too; Linux alone. Of a thread actor it is the stack of its thread. `timeout` is in
        seconds; None waits without end. Raises `TimeoutError` when it has passed, `BrokenActor` if
        the actor could not start or has died, and `RuntimeError` if it has ended.
        """
    @classmethod
    def __class_getitem__(cls, item: Any, /) -> GenericAlias: ...

class ThreadExecutorCore(ExecutorCore[Message, Answer]):
    """The core of a `ThreadActorExecutor`."""

    def __new__(cls, actor: type | Options[..., Any], /, *args: Any, **kwargs: Any) -> Self: ...

class RemoteExecutorCore(ExecutorCore[Message, Answer]):
    """The core of the executor of an actor that a carrier has elsewhere."""

    def __new__(cls, actor: type | Options[..., Any], carrier: object, window: int, /) -> Self: ...

@final
class ServerExitCodes:
    """The exit codes of a fork server's children, which it writes to a pipe.

    Python holds it with the end of the pipe that the server is given.
    """

    def __new__(cls) -> ServerExitCodes: ...
    @property
    def writer(self) -> int | None:
        """The descriptor to give to the server, or None once it is closed here."""
    def close_writer(self) -> None:
        """Close this process's copy of the descriptor, so that the server's end is learned."""

class ProcessExecutorCore(ExecutorCore[Message, Answer]):
    """The core of a `ProcessActorExecutor`."""

    def __new__(cls, actor: type | Options[..., Any], /, *args: Any, **kwargs: Any) -> Self: ...

@disjoint_base
class FutureCore(Generic[_T]):
    """The state of an `ActorFuture`."""

    def __new__(cls) -> FutureCore[_T]: ...
    def __init__(self) -> None: ...
    def cancel(self) -> bool:
        """Cancel the message if `handle` has not begun on it; return whether it is cancelled.

        True means that `handle` will never see the message. Callbacks run before this returns.
        """
    def cancelled(self) -> bool:
        """Return whether the message was cancelled."""
    def running(self) -> bool:
        """Return whether `handle` has the message now."""
    def done(self) -> bool:
        """Return whether the message was cancelled, answered, or failed."""
    def result(self, timeout: float | None = None) -> _T:
        """Return what `handle` returned, or raise what it raised, waiting until it has.

        `timeout` is in seconds; None waits without end. Raises `TimeoutError` when it has passed,
        and `CancelledError` if the message was cancelled.
        """
    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return what `handle` raised, or None, waiting until it is known.

        `timeout` is in seconds; None waits without end. Raises `TimeoutError` when it has passed,
        and `CancelledError` if the message was cancelled.
        """
    def add_done_callback(self, fn: Callable[[ActorFuture[_T]], object], /) -> None:
        """Call `fn(future)` when the future is done, or now if it is.

        Callbacks run in the order they were added, in this process, and before a thread that waits
        in `result` goes on, unless they take longer than some milliseconds. An exception that one
        raises is logged on logger `concurrent.futures`.
        """
    def set_running_or_notify_cancel(self) -> bool:
        """For executors and tests: mark the future running, or tell that it was cancelled."""
    def set_result(self, result: _T) -> None:
        """For executors and tests: end the future with an answer."""
    def set_exception(self, exception: BaseException | None) -> None:
        """For executors and tests: end the future with an exception."""
    def __await__(self) -> Generator[Any, None, _T]: ...
    def __reduce_ex__(self, _protocol: SupportsIndex, /) -> NoReturn: ...
    def _get_snapshot(self) -> tuple[bool, bool, _T | None, BaseException | None]:
        """Return `(done, cancelled, result, exception)`."""
    _state: str
    _result: _T | None
    _exception: BaseException | None
    _condition: Condition
    _waiters: list[Any]
    _done_callbacks: list[Callable[[ActorFuture[_T]], object]]
    @classmethod
    def __class_getitem__(cls, item: Any, /) -> GenericAlias: ...

def dumps(object: object, what: str) -> bytes:
    """Pickle `object`: as plain pickle does if that will do, else by value.

    An error says what it was (`what`, such as "the message for actor
    Counter") and what refused.
    """

def loads(pickle: bytes) -> Any:
    """Unpickle what `dumps` has made, in this process or in one that talks to it."""

def check_answer(actor: str, called: str, answer: _T) -> _T:
    """Return `answer`, or raise a `TypeError` if it is a generator or a coroutine.

    For actors that a carrier has elsewhere. `called` says what was called for the message.
    """

def handling() -> bool:
    """Return whether the constructor or `handle` runs at this moment."""

def log_to_parent(record: bytes) -> None:
    """Send an encoded log record to the parent, before any answer that is given after it."""

def unshare_pages() -> None:
    """Copy what memory this process shares with the one that forked it, before it is needed."""

def serve(
    request: int,
    answer: int,
    shared: int,
    parent: int,
    prepare: Callable[[str, Any], object],
    dump_error: Callable[..., bytes],
) -> None:
    """Serve the parent until it says that there is no more.

    `request`, `answer` and `shared` are this process's descriptors of the two pipes and of the
    shared memory; `parent` is the pid of the process that started it;
    `prepare(name, surroundings)` is called before anything of the user's;
    `dump_error(exception, is_loaded)` returns the bytes of what is raised.
    """

def drain() -> None:
    """Refuse new messages and wait until every actor has handled what it has.

    Registered with `threading` to run at interpreter exit. A first Ctrl-C cancels what has not
    begun and gives what has two seconds; after that, or at a second one, the process ends as an
    interrupted one does.
    """

def before_fork() -> None:
    """Have this process and the one that it is about to fork each own the arrays that it has."""

def after_fork_in_parent() -> None:
    """Go on as before the fork, whether or not there is a new process."""

def after_fork_in_child() -> None:
    """Mark every executor that a forked process has copied as broken."""

def set_loading(loading: bool) -> None:
    """Say whether this process imports what another one has told it to."""

def start_logging() -> None:
    """Send the core's log records to the Python logger `futures_actors`."""
