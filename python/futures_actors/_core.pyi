"""The Rust core of `futures_actors`; import its names from `futures_actors`.

This is the reference manual of the classes that the core defines. Its texts are the ones that
`help()` shows; a test holds them equal. It is one file, although long, because it is the stub of
one extension module.
"""

import sys
from asyncio import AbstractEventLoop, Task
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Hashable, Iterator
from threading import Condition
from types import GenericAlias
from typing import Any, Final, Generic, NoReturn, SupportsIndex, final, type_check_only

from typing_extensions import Self, TypeVar, disjoint_base

from ._base_actor import ActorExecutor
from ._errors import ActorDeadlock
from ._future import ActorFuture
from ._options import Options
from ._pool import ActorPool, PoolRef
from ._reference import ActorRef
from ._stats import Stats
from ._stream import ActorStream
from ._types import Answer, Calls, Item, Message, P, Result, StreamCalls
from .process_actor import ProcessActorExecutor
from .thread_actor import ThreadActorExecutor

__version__: Final[str]

__all__ = [
    "Actor",
    "CurrentMessage",
    "ExecutorCore",
    "FutureCore",
    "LoopCore",
    "LoopMessage",
    "LoopWait",
    "PoolCore",
    "PoolRefCore",
    "ProcessActor",
    "ProcessExecutorCore",
    "RefCore",
    "RemoteExecutorCore",
    "RoomSeat",
    "ServerExitCodes",
    "StreamCore",
    "ThreadActor",
    "ThreadExecutorCore",
    "__version__",
    "after_fork_in_child",
    "after_fork_in_parent",
    "before_fork",
    "check_answer",
    "check_stream",
    "current_actor",
    "current_message",
    "drain",
    "dumps",
    "enter_message",
    "handling",
    "is_async",
    "leave_message",
    "load_reference",
    "loads",
    "log_to_parent",
    "need_event_loop",
    "note_main_thread",
    "runs_event_loop",
    "serve",
    "set_loading",
    "start_logging",
    "unshare_pages",
]

_T = TypeVar("_T")

# Of `executor` and `options`: `cls` is what makes an actor, so that `P` is the constructor's.
# pyright: reportArgumentType=false

class Actor(Generic[Message, Answer]):
    """The base class of actors, which handle messages one at a time.

    Extend `ThreadActor` or `ProcessActor`.
    """

    def __init_subclass__(
        cls,
        *,
        name: str | None = None,
        mailbox_size: int | None = None,
        max_concurrency: int | None = None,
        loop_factory: Callable[[], AbstractEventLoop] | None = None,
        max_restarts: int | None = None,
        restart_window: float | None = None,
        start_method: str | None = None,
        shared_memory: int | None = None,
    ) -> None:
        """Take options of the class, as in `class Fetch(ProcessActor, mailbox_size=8)`.

        `Options` describes them. Subclasses inherit them one by one, and `options(...)` overrides
        them. What is no option goes to the other bases. Raises as `options` does.
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
        max_concurrency: int | None = None,
        loop_factory: Callable[[], AbstractEventLoop] | None = None,
    ) -> Options[P, ActorExecutor[Message, Answer]]:
        """Return an object whose `executor(...)` starts actors of this class with options.

        `Options` describes the options. An unknown option raises `TypeError`, a bad value
        `TypeError` or `ValueError`; the error names it.
        """
    @classmethod
    def pool(
        cls: Callable[P, Actor[Message, Answer]],
        size: int | None = None,
        /,
        *,
        name: str | None = None,
        mailbox_size: int | None = None,
    ) -> Options[P, ActorPool[Message, Answer]]:
        """Return an object whose `executor(...)` starts a pool of actors of this class.

        `size` is how many; None means one for each CPU that this process may use. The options
        are those of `options`: `name` and `mailbox_size` are the pool's, all others each member's.
        Raises as `options` does.
        """
    @classmethod
    def _start(
        cls, options: Options[..., Any], args: tuple[object, ...], kwargs: dict[str, object]
    ) -> ActorExecutor[Any, Any]:
        """For `options(...)`: start an actor of this class with them."""
    def handle(self, message: Message, /) -> Answer | Coroutine[Any, Any, Answer]:
        """Answer a message: what this returns, or raises, goes to the message's future."""
    def on_start(self) -> object:
        """Get ready for the first message, in the actor's thread or process.

        This one does nothing. It is called after each construction of the object, also when the
        process is started again. If it raises, every message fails with `ActorInitError`.
        """
    def on_stop(self) -> object:
        """Clean up after the last message, in the actor's thread or process.

        This one does nothing. It is called after `shutdown`, when the executor is dropped, and at
        the interpreter's exit, but not after `terminate` or `kill`, nor if the constructor raised.
        What it raises is logged on logger `futures_actors`.
        """
    @classmethod
    def __class_getitem__(cls, item: Any, /) -> GenericAlias: ...

class ThreadActor(Actor[Message, Answer]):
    """Base class of actors that live in a thread of their own."""

    def __init_subclass__(
        cls,
        *,
        name: str | None = None,
        mailbox_size: int | None = None,
        max_concurrency: int | None = None,
        loop_factory: Callable[[], AbstractEventLoop] | None = None,
    ) -> None:
        """Take options of the class, as in `class Fetch(ProcessActor, mailbox_size=8)`.

        `Options` describes them. Subclasses inherit them one by one, and `options(...)` overrides
        them. What is no option goes to the other bases. Raises as `options` does.
        """
    @classmethod
    def executor(
        cls: Callable[P, Actor[Message, Answer]], *args: P.args, **kwargs: P.kwargs
    ) -> ThreadActorExecutor[Message, Answer]:
        """Start an actor of this class in a thread of its own and return its executor.

        Every argument goes to the constructor, which starts to run in that thread at once. If it
        raises, every message fails with `ActorInitError`.
        """
    @classmethod
    def options(
        cls: Callable[P, Actor[Message, Answer]],
        *,
        name: str | None = None,
        mailbox_size: int | None = None,
        max_concurrency: int | None = None,
        loop_factory: Callable[[], AbstractEventLoop] | None = None,
    ) -> Options[P, ThreadActorExecutor[Message, Answer]]:
        """Return an object whose `executor(...)` starts actors of this class with options.

        `Options` describes the options. An unknown option raises `TypeError`, a bad value
        `TypeError` or `ValueError`; the error names it.
        """
    @classmethod
    def pool(
        cls: Callable[P, Actor[Message, Answer]],
        size: int | None = None,
        /,
        *,
        name: str | None = None,
        mailbox_size: int | None = None,
    ) -> Options[P, ActorPool[Message, Answer]]:
        """Return an object whose `executor(...)` starts a pool of actors of this class.

        `size` is how many; None means one for each CPU that this process may use. The options
        are those of `options`: `name` and `mailbox_size` are the pool's, all others each member's.
        Raises as `options` does.
        """
    @classmethod
    def _start(
        cls, options: Options[..., Any], args: tuple[object, ...], kwargs: dict[str, object]
    ) -> ThreadActorExecutor[Any, Any]:
        """For `options(...)`: start an actor of this class with them."""

class ProcessActor(Actor[Message, Answer]):
    """Base class of actors that live in a process of their own."""

    def __init_subclass__(
        cls,
        *,
        name: str | None = None,
        mailbox_size: int | None = None,
        max_concurrency: int | None = None,
        loop_factory: Callable[[], AbstractEventLoop] | None = None,
        max_restarts: int | None = None,
        restart_window: float | None = None,
        start_method: str | None = None,
        shared_memory: int | None = None,
    ) -> None:
        """Take options of the class, as in `class Fetch(ProcessActor, mailbox_size=8)`.

        `Options` describes them. Subclasses inherit them one by one, and `options(...)` overrides
        them. What is no option goes to the other bases. Raises as `options` does.
        """
    @classmethod
    def executor(
        cls: Callable[P, Actor[Message, Answer]], *args: P.args, **kwargs: P.kwargs
    ) -> ProcessActorExecutor[Message, Answer]:
        """Start an actor of this class in a process of its own and return its executor.

        Every argument goes to the constructor, which starts to run in that process at once. The
        class and the arguments are pickled; `TypeError` or `pickle.PicklingError` is raised if that
        fails. If the constructor raises, every message fails with `ActorInitError`.
        """
    @classmethod
    def options(
        cls: Callable[P, Actor[Message, Answer]],
        *,
        name: str | None = None,
        mailbox_size: int | None = None,
        max_concurrency: int | None = None,
        loop_factory: Callable[[], AbstractEventLoop] | None = None,
        max_restarts: int | None = None,
        restart_window: float | None = None,
        start_method: str | None = None,
        shared_memory: int | None = None,
    ) -> Options[P, ProcessActorExecutor[Message, Answer]]:
        """Return an object whose `executor(...)` starts actors of this class with options.

        `Options` describes the options. An unknown option raises `TypeError`, a bad value
        `TypeError` or `ValueError`; the error names it.
        """
    @classmethod
    def pool(
        cls: Callable[P, Actor[Message, Answer]],
        size: int | None = None,
        /,
        *,
        name: str | None = None,
        mailbox_size: int | None = None,
        max_restarts: int | None = None,
        restart_window: float | None = None,
        start_method: str | None = None,
        shared_memory: int | None = None,
    ) -> Options[P, ActorPool[Message, Answer]]:
        """Return an object whose `executor(...)` starts a pool of actors of this class.

        `size` is how many; None means one for each CPU that this process may use. The options
        are those of `options`: `name` and `mailbox_size` are the pool's, all others each member's.
        Raises as `options` does.
        """
    @classmethod
    def _start(
        cls, options: Options[..., Any], args: tuple[object, ...], kwargs: dict[str, object]
    ) -> ProcessActorExecutor[Any, Any]:
        """For `options(...)`: start an actor of this class with them."""

@final
class LoopCore:
    """The core of an async actor, for its event loop."""

    def take(self) -> LoopMessage | None:
        """Begin the next message and return it; None if there is none, or none any more."""
    def take_next(self, first: LoopMessage) -> LoopMessage | None:
        """Begin the next message, unless it is time for other callbacks of the loop.

        `first`: the message with which the loop came to these.
        """
    def expects_more(self) -> bool:
        """Return whether another message is there, or likely to come in a moment."""
    def has_begun_within(self, seconds: float) -> bool:
        """Return whether a message has begun in the last so many seconds."""
    def over(self) -> bool | None:
        """Return None while messages may come, and then whether `on_stop` must be called."""
    def fail(self, error: BaseException, stage: str) -> None:
        """Fail the actor with what it raised when it started."""
    def log_failure(self, what: str, error: BaseException) -> None:
        """Log an exception that goes to no future."""
    def begin(self, stop: Callable[[], object]) -> None:
        """Call `stop` when all that runs must stop, from now on."""
    def attach(self, wake: Callable[[], object], look: Callable[[int], object]) -> None:
        """Call `wake` when a message has come.

        `look` is called with the number of a message that is asked to stop, or whose stream has
        room for an item.
        """
    def detach(self) -> None:
        """Forget what `begin` and `attach` were given."""
    def is_unneeded(self, actor: Any) -> bool:
        """Return whether only the actor itself, which has no message, can send it messages."""
    def descriptor(self) -> int | None:
        """Return the descriptor that can be read when something has come; None for a thread."""
    def read(self) -> list[int] | None:
        """Read once from the descriptor; return the numbers of messages to look at.

        Return None if nothing more comes.
        """
    def wait(
        self, futures: list[FutureCore[Any]], messages: int, is_blocked: bool
    ) -> LoopWait | None:
        """Enter that so many messages have nothing to do until one of `futures` is done.

        `is_blocked`: nor has the loop, because they take every place. Return None if it cannot be
        known whether these may all never end.
        """
    def flush(self) -> None:
        """Send the answers that were held back."""

@final
class LoopMessage:
    """A message that an event loop has begun."""

    def enter(self, task: Task[None] | None) -> None:
        """Have `current_message()` return this message in the context that runs.

        Give the running task to learn from `has_left_nothing` whether it can handle another one.
        """
    def has_left_nothing(self, task: Task[None] | None) -> bool:
        """Return whether the message, which has ended, has left nothing behind in its task."""
    def call(self, actor: Any) -> Any:
        """Call what the message asks for, and return what that returns: it may be a coroutine."""
    @property
    def is_in_call(self) -> bool:
        """Whether `call` runs at this moment."""
    @property
    def number(self) -> int: ...
    def has_been_called(self) -> bool:
        """Return whether `call` has been called."""
    @property
    def is_stream(self) -> bool:
        """Whether its items are wanted, and not an answer."""
    def check_stream(self, answer: Any) -> Any:
        """Return an answer whose items are wanted, or raise a `TypeError` if it has none."""
    def has_room(self) -> bool | None:
        """Return whether there is room for another item, or None if no more items are wanted.

        If there is no room, the loop is told to look at this message when there may be some.
        """
    def put(self, item: Any) -> None:
        """Hand on an item of the stream. An exception says that it cannot be sent."""
    def finish(self, answer: Any) -> None:
        """End the message with its answer."""
    def finish_stream(self, value: Any) -> None:
        """End the stream with what its generator has returned."""
    def fail(self, error: BaseException) -> None:
        """End the message with an exception."""
    def stop(self) -> None:
        """End the stream, which was closed."""
    def give_up(self, generator: Any) -> None:
        """Log that a generator ignores `GeneratorExit`, and make sure that it never goes on."""

@final
class RoomSeat:
    """For `apost` and `atell`: a turn in the queue, and a future that is done once granted."""

    @property
    def future(self) -> ActorFuture[None]:
        """What is done once a place is granted. Code that blocks the event loop can exchange it."""
    def leave(self) -> None:
        """Give up the turn, or the place if it has been granted."""

@final
class LoopWait:
    """A wait of an event loop, from `LoopCore.wait` until `end`."""

    def refused(self) -> tuple[int, ActorDeadlock] | None:
        """Return the place of an await that would never end, and its error; None if all may end."""
    def end(self) -> None:
        """Say that the event loop has something to do."""

@disjoint_base
class RefCore(Generic[Message, Answer]):
    """The core of a reference to an actor."""

    def __new__(cls) -> Self: ...
    def post(self, message: Message, *, timeout: float | None = None) -> ActorFuture[Answer]:
        """Send a message to the actor and return the future of its answer.

        Messages from one thread are handled in the order in which they were posted. With option
        `mailbox_size`, this waits while that many messages have not begun; it raises `MailboxFull`
        if that takes more than `timeout` seconds, and at once in the actor's own thread. Where an
        event loop runs, the future waits for room instead, and fails with `MailboxFull`. Raises
        `RuntimeError` after `shutdown`, and `BrokenActor` if the actor could not start or has died.
        """
    def tell(self, message: Message, *, timeout: float | None = None) -> None:
        """Send a message without a future: its answer is dropped, and it cannot be cancelled.

        It is handled in mailbox order. What `handle` raises is logged with its traceback on logger
        `futures_actors`, and counted. This waits for room and raises as `post` does, and also
        raises what pickling raises. Where an event loop runs, it blocks the loop. A message that
        was accepted and is lost because the actor died is logged.
        """
    def stream(
        self: RefCore[Message, Iterator[Item] | AsyncIterator[Item]],
        message: Message,
        *,
        ahead: int = 16,
        timeout: float | None = None,
    ) -> ActorStream[Item]:
        """Send a message whose handler yields, and return a stream of what it yields.

        The stream is an iterator, and an async iterator. The handler is a generator function. It
        runs in the actor, begins when its turn comes, and is never further ahead of the code that
        iterates than `ahead` items. Use it in a `with` block, whose end ends the generator. This
        waits for room and raises as `post` does; `timeout` is for that.
        """
    def _try_post(self, message: Message) -> ActorFuture[Answer] | None:
        """For `apost`: post a message if that needs no waiting for room; return None if not."""
    def _try_tell(self, message: Message) -> bool:
        """For `atell`: send a message if that needs no waiting for room; return whether it did."""
    def _wait_for_room(self, *, blocks: bool = False) -> RoomSeat:
        """For `apost`, `atell` and `imap`: queue for room, and return the seat in that queue.

        With `blocks`, this thread blocks until the seat's future is done.
        """
    def _post_into_room(self, seat: RoomSeat, message: Message) -> ActorFuture[Answer] | None:
        """For `apost`: post a message into the place that `seat` was granted.

        Returns None if it has none: then its future is another one.
        """
    def _tell_into_room(self, seat: RoomSeat, message: Message) -> bool:
        """For `atell`: send a message into the place that `seat` was granted.

        Returns False if it has none: then its future is another one.
        """
    def submit(
        self, fn: Callable[P, Result], /, *args: P.args, **kwargs: P.kwargs
    ) -> ActorFuture[Result]:
        """Run `fn(*args, **kwargs)` in the actor's thread or process, in mailbox order.

        Returns the future of its result. Waits and raises as `post` does.
        """
    def proxy(self) -> Calls:  # type: ignore[type-var] # the context tells, or the default
        """Return an object whose method calls are messages: `proxy.name(...)` returns a future.

        A call runs the actor's method of that name, in mailbox order. This is for classes that have
        no `handle`. A name that starts with "_" or is no method of the actor's class raises
        `AttributeError`. Annotate the proxy with a protocol to have calls type-checked.
        """
    def _call_method(self, name: str, /, *args: Any, **kwargs: Any) -> ActorFuture[Any]:
        """For proxies: call the actor's method `name`, in mailbox order, and return the future."""
    def stream_proxy(self, ahead: int = 16) -> StreamCalls:  # type: ignore[type-var]
        """Return an object whose method calls are streams: `proxy.name(...)` returns one.

        It is for methods that yield, as `proxy()` is for others. `ahead` is that of `stream`.
        """
    def _stream_method(
        self, ahead: int, name: str, /, *args: Any, **kwargs: Any
    ) -> ActorStream[Any]:
        """For stream proxies: call the method `name`, and return the stream of what it yields."""
    def is_alive(self) -> bool:
        """Return whether the actor accepts messages at this moment; it may end in the next."""
    def _index(self) -> int | None:
        """For `index`: return the member's index in its pool, if it is in one."""
    def _pool(self) -> PoolRef[Message, Answer] | None:
        """For `pool`: return a reference to the pool of a member."""
    def _is_own(self, number: int) -> bool:
        """For references of an actor to itself: whether this is one, of actor `number`."""
    def _name(self) -> str:
        """For `name`: return the actor's name."""
    def __copy__(self) -> Self:
        """Return the reference itself."""
    def __deepcopy__(self, _memo: object) -> Self:
        """Return the reference itself."""
    def __reduce_ex__(self, _protocol: SupportsIndex, /) -> NoReturn: ...
    @classmethod
    def __class_getitem__(cls, item: Any, /) -> GenericAlias: ...

class ExecutorCore(RefCore[Message, Answer]):
    """The core of an executor: one actor and its mailbox."""

    def stats(self) -> Stats:
        """Return the state and the counts of the actor, without asking the actor."""
    def shutdown(
        self, wait: bool = True, *, cancel_futures: bool = False, timeout: float | None = None
    ) -> None:
        """Accept no more messages, and let the actor end when it has handled those it has.

        With `wait`, return when it has ended; raise `TimeoutError` if that takes more than
        `timeout` seconds, though the actor still goes on to end. With `cancel_futures`, cancel
        every message that `handle` has not begun. `shutdown` can be called again, and from any
        thread; in the actor's own thread, in `handle` or in a callback, it does not wait.
        """
    def terminate(self) -> None:
        """Shut down without waiting for the actor's messages: a process gets SIGTERM.

        No message begins after this. When the process has ended, every pending future fails with
        `ActorDied`; if the process catches the signal, it first finishes the message that it has
        begun. A thread cannot be ended from outside: it finishes the message that runs, and the
        others fail at once with `BrokenActor`. `on_stop` is not called. Never waits.
        """
    def kill(self) -> None:
        """Shut down as `terminate` does, but a process gets SIGKILL, which it cannot catch."""
    def terminate_workers(self) -> None:
        """Do what `terminate` does; process pools have this method under this name."""
    def kill_workers(self) -> None:
        """Do what `kill` does; process pools have this method under this name."""
    def dump_traceback(self, *, timeout: float | None = None) -> str:
        """Return the current stacks of the actor's threads, as text.

        A process actor is interrupted by a signal, so this works while `handle` hangs, even in C
        code, but only on Linux. For a thread actor it is the stack of its thread. `timeout` is in
        seconds; None means no limit. Raises `TimeoutError` when it has passed, `BrokenActor` if the
        actor could not start or has died, and `RuntimeError` if it has ended.
        """
    def ref(self) -> ActorRef[Message, Answer]:
        """Return a reference to the actor, which can send it messages and cannot end it.

        The actor lives while its executor or a reference exists, until one of the executor's
        methods ends it.
        """

@type_check_only
class _PoolMethods(Generic[Message, Answer]):
    """The methods that `PoolCore` and `PoolRefCore` both have."""

    def post(
        self, message: Message, *, key: Hashable = ..., timeout: float | None = None
    ) -> ActorFuture[Answer]:
        """Send a message to the pool and return the future of its answer.

        A message without a key is handled by the first member that is idle. One with a `key`
        is handled by the member that has this key, always the same one, in the order of the
        posts. Equal keys are one key. Waits for room and raises as the `post` of an actor does.
        """
    def broadcast(
        self, message: Message, *, timeout: float | None = None
    ) -> list[ActorFuture[Answer]]:
        """Send a message to each member and return the futures of their answers.

        They are in the order of the members. A member that has died for good is represented
        by a future that failed. In a bounded mailbox this takes a place for each member, or
        all places if there are fewer. Waits for room and raises as `post` does; where an event
        loop runs, each message waits for a place of its own.
        """
    def keyed(self, key: Hashable) -> ActorRef[Message, Answer]:
        """Return a reference to the member that has `key`."""
    @property
    def members(self) -> tuple[ActorRef[Message, Answer], ...]:
        """References to the members, in the order of their indices."""
    def __len__(self) -> int: ...

class PoolRefCore(_PoolMethods[Message, Answer], RefCore[Message, Answer]):
    """The core of a `PoolRef`."""

    def __new__(cls) -> Self: ...

class PoolCore(_PoolMethods[Message, Answer], ExecutorCore[Message, Answer]):
    """The core of an `ActorPool`."""

    def __new__(cls, options: Options[..., Any], /, *args: Any, **kwargs: Any) -> Self: ...
    def ref(self) -> PoolRef[Message, Answer]:
        """Return a reference to the pool, which can send it messages and cannot end it.

        The pool lives while its executor or a reference to it or to a member exists, until one of
        the executor's methods ends it.
        """

class ThreadExecutorCore(ExecutorCore[Message, Answer]):
    """The core of a `ThreadActorExecutor`."""

    def __new__(cls, actor: type | Options[..., Any], /, *args: Any, **kwargs: Any) -> Self: ...

class RemoteExecutorCore(ExecutorCore[Message, Answer]):
    """The core of the executor of a remote actor, whose messages a carrier transports."""

    def __new__(cls, actor: type | Options[..., Any], carrier: object, window: int, /) -> Self: ...

@final
class ServerExitCodes:
    """The exit codes of a fork server's children, which it writes to a pipe.

    Python code keeps it together with the server, which gets the pipe's other end.
    """

    def __new__(cls) -> ServerExitCodes: ...
    @property
    def writer(self) -> int | None:
        """The descriptor to give to the server, or None once it is closed here."""
    def close_writer(self) -> None:
        """Close this process's copy of the descriptor: then the pipe ends when the server ends."""

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
    def request_cancel(self) -> bool:
        """Cancel the message if it has not begun, else ask its handler to stop.

        Returns True if the message is cancelled or has been asked, by this call or an earlier one,
        and False if it had ended. Does not wait for the handler, which sees it by
        `current_message()`; the future is cancelled if the handler then raises `CancelledError`.
        """
    def cancelled(self) -> bool:
        """Return whether the message was cancelled."""
    def running(self) -> bool:
        """Return whether `handle` is running on the message now."""
    def done(self) -> bool:
        """Return whether the message was cancelled, answered, or failed."""
    def result(self, timeout: float | None = None) -> _T:
        """Wait until the message has ended; return what `handle` returned, or raise what it raised.

        `timeout` is in seconds; None means no limit. Raises `TimeoutError` when it has passed, and
        `CancelledError` if the message was cancelled.
        """
    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait until the message has ended; return what `handle` raised, or None.

        `timeout` is in seconds; None means no limit. Raises `TimeoutError` when it has passed, and
        `CancelledError` if the message was cancelled.
        """
    def add_done_callback(self, fn: Callable[[ActorFuture[_T]], object], /) -> None:
        """Call `fn(future)` when the future is done, or now if it is.

        Callbacks run in this process, in the order in which they were added. They run before a
        thread that waits in `result` goes on, unless they take longer than a few milliseconds. An
        exception that a callback raises is logged on logger `concurrent.futures`.
        """
    def set_running_or_notify_cancel(self) -> bool:
        """For executors and tests: mark the future running, or tell waiters of its cancellation."""
    def set_result(self, result: _T) -> None:
        """For executors and tests: end the future with an answer."""
    def set_exception(self, exception: BaseException | None) -> None:
        """For executors and tests: end the future with an exception."""
    def _abandon(self) -> None:
        """For a cancelled task that awaited the answer: cancel the message if it has not begun.

        If an async actor has begun it, its coroutine is asked to stop. This does not wait for what
        becomes of the message, which the future tells later. It is for messages that another
        process passes on, and does nothing for others.
        """
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

def current_actor() -> ActorRef[Any, Any]:
    """Return a reference to the actor whose code runs in this thread.

    It works in the constructor, `on_start`, `handle`, `on_stop` and methods of a thread or process
    actor, and in functions given to its `submit`. Elsewhere it raises `RuntimeError`: in callbacks
    of futures, and in threads that an actor has started. In a pool it is the member: `.index` is
    its place in the pool, and `.pool` refers to the pool. An actor's reference to itself does not
    keep it alive, but one that it has handed to others does.
    """

@disjoint_base
class StreamCore(Generic[Item]):
    """The core of an `ActorStream`."""

    def __new__(cls) -> Self: ...
    @property
    def future(self) -> ActorFuture[Any]:
        """The future of what the generator returns or raises.

        It is cancelled if the stream was closed before that.
        """
    def next(self, timeout: float | None = None) -> Item:
        """Return the next item, and wait for it at most `timeout` seconds.

        Raises `TimeoutError` when they have passed, and `StopIteration` at the end. What the
        generator has raised is raised once, before that.
        """
    def close(self) -> None:
        """End the generator at its next `yield`, and free the items that were not taken.

        `GeneratorExit` is raised there, so that its `finally` blocks run. Never waits. A generator
        that has not begun never begins. The end of a `with` block does this, too, and so does
        dropping the stream.
        """
    def __iter__(self) -> Self: ...
    def __next__(self) -> Item: ...
    def __enter__(self) -> Self: ...
    @classmethod
    def __class_getitem__(cls, item: Any, /) -> GenericAlias: ...
    def __reduce_ex__(self, _protocol: SupportsIndex, /) -> NoReturn: ...
    def _take(self) -> tuple[Item] | ActorFuture[None] | None:
        """For `async for`: return `(item,)`, a future of a change, or None at the end."""

@final
class CurrentMessage:
    """The message that an actor handles, as its handler sees it. `current_message()` returns it.

    It may be handed to other threads of the actor's process.
    """

    @property
    def cancel_requested(self) -> bool:
        """Whether `request_cancel()` was called on the message's future since the message began."""
    def check_cancelled(self) -> None:
        """Raise `concurrent.futures.CancelledError` if the message was asked to stop.

        If that leaves the handler, the message's future is cancelled.
        """

def current_message() -> CurrentMessage:
    """Return the message that this thread handles.

    It works in `handle`, in methods that a proxy calls, and in functions given to `submit`. In an
    async actor it also works in tasks that they make, and in `asyncio.to_thread`. Elsewhere it
    raises `RuntimeError`.
    """

def dumps(object: object, what: str) -> bytes:
    """Pickle `object`, by value if plain pickle cannot do it.

    An error names the object (`what`, such as "the message for actor Counter") and the part that
    could not be pickled.
    """

def need_event_loop() -> AbstractEventLoop:
    """Return the event loop that runs in the calling thread, which what is awaited needs.

    Raises `RuntimeError` if there is none, for example under trio.
    """

def is_async(class_: type, /) -> bool:
    """Return whether an actor of this class is async.

    It is if `handle`, `on_start`, `on_stop` or a public method is a coroutine function or an async
    generator function.
    """

def loads(pickle: bytes) -> Any:
    """Unpickle what `dumps` has made, in this process or in one that it talks to."""

def load_reference(
    described: tuple[int, str, bool, int, int], class_: type, /
) -> ActorRef[Any, Any]:
    """Make the reference that was packed as this number, in a body that is being loaded."""

def check_stream(actor: str, called: str, answer: object) -> Iterator[Any]:
    """Return `answer` as an iterator, or raise a `TypeError` if it is none.

    For remote actors. `called` names what was called for the message.
    """

def enter_message(was_asked: Callable[[], bool]) -> None:
    """Have `current_message()` return a message in this context, for a remote actor.

    To call `was_asked` says whether the message was asked to stop.
    """

def leave_message() -> None:
    """End the message of this context, for a remote actor."""

def check_answer(actor: str, called: str, answer: _T) -> _T:
    """Return `answer`, or raise a `TypeError` if it is a generator or a coroutine.

    For remote actors. `called` names what was called for the message.
    """

def handling() -> bool:
    """Return whether the constructor or `handle` runs at this moment."""

def log_to_parent(record: bytes) -> None:
    """Send an encoded log record to the parent; it arrives before any answer that is sent later."""

def unshare_pages() -> None:
    """Copy the memory that this process shares with the one that forked it, before it is used."""

if sys.platform == "win32":
    def inherited() -> tuple[int, int, int]:
        """Return the priority class, the processors and the error mode, which a child inherits."""

def serve(
    descriptors: list[int],
    parent: int,
    prepare: Callable[[str, Any], object],
    dump_error: Callable[..., bytes],
) -> None:
    """Serve the parent until it sends no more messages.

    `descriptors` are this process's: of the pipe to read frames from, of that to write them to, and
    of the shared memory. On Windows they are handles, and each pipe has four. `parent` is the pid
    of the process that started it, on Windows a handle of it;
    `prepare(name, surroundings)` is called before any code of the user;
    `dump_error(exception, is_loaded)` encodes an exception as bytes.
    """

def drain() -> None:
    """Wait until every actor has handled its messages, and end the actors.

    Only code of actors and callbacks of their futures may still send messages, and only to other
    actors, until no message is left anywhere: so a pipeline handles all that was put into it.
    Registered with `threading` to run at interpreter exit. A first Ctrl-C cancels the messages that
    have not begun, and gives the others two seconds; after that, or at a second Ctrl-C, the process
    ends as an interrupted process does.
    """

def before_fork() -> None:
    """Prepare a fork: give this process and the new one each their own copy of received arrays."""

def after_fork_in_parent() -> None:
    """Go on as before the fork, whether or not it has made a new process."""

def after_fork_in_child() -> None:
    """In a forked process: mark the copies of the parent's executors as broken."""

def runs_event_loop() -> bool:
    """Return whether an event loop of asyncio runs in this thread."""

def set_loading(loading: bool) -> None:
    """Set whether this process is importing modules on behalf of another process."""

def note_main_thread(ident: int) -> None:
    """Say which thread runs signal handlers: `threading.main_thread().ident`."""

def start_logging() -> None:
    """Send the core's log records to the Python logger `futures_actors`."""
