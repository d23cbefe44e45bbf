"""Carries messages to a Ray actor, and its answers back."""

import math
import pickle
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError, TaskCancelledError

from .._errors import (
    ActorDied,
    ActorLost,
    BrokenActor,
    load_error,
    log_failure,
    process_init_error,
)
from .inflow import Inflow
from .options import RayOptions
from .outflow import IGNORED, ITEM, Reply
from .parcel import Parcel, pack, unpack
from .server import Server

#: For how many seconds an actor may wait for a place by default (option `start_timeout`).
_START_S = 60.0

#: How many seconds pass between checks, in a thread that waits for Ray, that Ray still runs.
_LOOK_S = 0.2

#: How many seconds after a stream was cancelled it is released: Ray's two messages take ways of
#: their own to the actor, and the first should arrive first.
_RELEASE_S = 0.02

#: What Ray reports of a message: its reply; the next item of a stream; or that a stream that was
#: cancelled has ended.
_REPLY, _NEXT, _CANCELLED = "reply", "next", "cancelled"

_starting = threading.Lock()


class Carrier:
    """Carries messages to a Ray actor and answers back: see `src/py/remote/mod.rs`.

    It never waits for Ray's own futures. Their callbacks only put events into a queue, because they
    run on the thread by which Ray receives.
    """

    def __init__(
        self, options: RayOptions[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """Ask Ray for a place."""
        with _starting:
            if not ray.is_initialized():
                ray.init()
        if ray.util.client.ray.is_connected():
            raise RuntimeError("RayActor needs a program on a node of the cluster, not ray://")
        self._session = _session()
        self._options = options
        self._name = options.name or options.actor_class.__name__
        self._events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._refs: dict[int, Any] = {}
        self._streams: dict[int, Inflow] = {}
        self._pid: int | None = None
        self._forced: str | None = None
        self._start_s = options.start_timeout or _START_S
        self._deadline = math.inf
        parts = options.actor_class, args, kwargs
        self._constructor: Parcel = self.pack("construct", parts, "class or arguments")
        server = ray.remote(Server).options(max_restarts=0, max_task_retries=0, **options.ray)
        self._actor: Any = server.remote(self._name, bool(options.zero_copy), options.window or 1)

    def pack(self, kind: str, parts: tuple[Any, ...], what: str = "the message") -> Parcel:
        """Make a message: `kind` is "message", "call" or "method"."""
        return pack((kind, parts), f"{what} for actor {self._name}", self._store)

    def start(self) -> int:
        """Wait until the actor has a place, construct its object, and return its process's id."""
        self._deadline = time.monotonic() + self._start_s
        pid: int = self._ask("pid")
        self._pid = pid
        self._deadline = math.inf
        constructor, self._constructor = self._constructor, ()
        self._begin("constructor", self._ask("receive", constructor))
        self._begin("on_start", self._ask("start"))
        return pid

    def _begin(self, stage: str, reply: Any) -> None:  # noqa: ANN401 - the server's
        """Give up the actor if it has raised in this stage of its start."""
        is_answer, *parcel = reply
        if not is_answer:
            self._kill()
            cause = load_error(*parcel)
            reason = f"its {stage} raised"
            raise ActorLost(reason, lambda name, _: process_init_error(name, cause, stage))

    def send(self, number: int, packed: Parcel, method: str = "receive") -> None:
        """Send a message to `method` of the server, without waiting."""
        ref = self._call(method, packed)
        # Keep the reference until the call ends: Ray may abort if its own callback drops it.
        self._refs[number] = ref
        events = self._events
        ref._on_completed(lambda reply: events.put((number, _REPLY, reply)))  # noqa: SLF001 - as ref.future does

    def send_stream(self, number: int, packed: Parcel, ahead: int) -> None:
        """Send a message whose items come by a stream, which may be `ahead` items ahead."""
        # Ray has 64 bits for it.
        most = min(ahead, 1 << 60)
        generator = self._call(
            "stream",
            (number, *packed),
            num_returns="streaming",
            _generator_backpressure_num_objects=most,
        )
        events = self._events
        stream = Inflow(generator, lambda reply: events.put((number, _NEXT, reply)))
        self._streams[number] = stream
        self._with_ray(stream.expect)

    def _call(self, method: str, args: Parcel, **options: Any) -> Any:  # noqa: ANN401
        self._check()
        try:
            call = getattr(self._actor, method)
            return _without_init(call._remote)(call, args, **options)  # noqa: SLF001 - `remote` would init
        except RayError as error:
            raise self._ray_says(error) from error
        except Exception:
            self._check()
            raise

    def count_taken(self, number: int, count: int) -> None:
        """So many items of a stream have been taken."""
        if number in self._streams:
            self._with_ray(self._streams[number].consume, count)

    def close_stream(self, number: int) -> None:
        """End a stream at the next `yield` of its generator, without waiting."""
        if number in self._streams:
            stream = self._streams[number]
            stream.is_closing = True
            # If it is cancelled before the actor has it, Ray finds the actor unavailable.
            if stream.has_begun:
                self._cancel(number, stream)

    def _cancel(self, number: int, stream: Inflow) -> None:
        events = self._events
        report = lambda reply: events.put((number, _CANCELLED, reply))  # noqa: E731 - see Inflow
        self._with_ray(stream.cancel, report)

    def _with_ray(self, do: Callable[..., object], *args: object) -> None:
        """Call what needs Ray, and raise `ActorLost` if Ray fails."""
        try:
            do(*args)
        except Exception as error:
            self._check()
            self._kill()
            raise self._ray_says(error) from error

    def receive(self) -> tuple[int, Any, bool] | None:
        """Return a message's number, its reply or an item of it, and whether that is an item.

        Returns None to let the caller check. The reply of a stream that has ended because it was
        closed is an empty list.
        """
        lingering = [stream for stream in self._streams.values() if stream.lingers]
        wait = _LOOK_S if self._refs or self._streams else None
        try:
            event = self._events.get(timeout=_RELEASE_S if lingering else wait)
        except queue.Empty:
            for stream in lingering:
                stream.release()
            self._check()
            return None
        if event is None:
            return None
        number, kind, reply = event
        if kind == _REPLY:
            self._refs.pop(number, None)
            self._look_at(reply)
            # If it is a stream that was cancelled, this is what has become of it.
            if self._streams.pop(number, None) is not None and reply == [IGNORED]:
                error = RuntimeError("generator ignored GeneratorExit: it is not resumed again")
                log_failure(self._name, "a stream that was closed", error)
                reply = []
            return number, reply, False
        if number not in self._streams:
            return None
        stream = self._streams[number]
        if stream.is_cancelled:
            if kind == _CANCELLED:
                if not isinstance(reply, TaskCancelledError):
                    self._look_at(reply)
                self.send(number, (number,), "recall")
            return None
        self._look_at(reply)
        return self._receive_next(number, stream, reply)

    def _receive_next(
        self,
        number: int,
        stream: Inflow,
        reply: Any,  # noqa: ANN401
    ) -> tuple[int, Any, bool] | None:
        stream.receive()
        is_last = isinstance(reply, RayTaskError) or (reply and reply[0] != ITEM)
        if is_last:
            # A `RayTaskError` is such as an item for which Ray has no room: it ends the stream.
            self._with_ray(stream.finish)
            del self._streams[number]
            return number, reply, False
        if stream.is_closing:
            self._cancel(number, stream)
            return None
        self._with_ray(stream.expect)
        if reply:
            return number, reply[1:], True
        # It has begun.
        self._with_ray(stream.consume, 0)
        return None

    def _look_at(self, reply: object) -> None:
        """Raise `ActorLost` if Ray's reply says that the actor is lost."""
        # A `RayTaskError` concerns only this message. The server itself never raises.
        if isinstance(reply, BaseException) and not isinstance(reply, RayTaskError):
            # Even if the actor may come back, what became of the message cannot be known.
            self._kill()
            raise self._ray_says(reply)

    def open_item(self, parcel: Parcel) -> Any:  # noqa: ANN401 - whatever the generator has yielded
        """Return an item of a stream. The thread that takes it calls this."""
        return unpack(*parcel, zero_copy=bool(self._options.zero_copy))

    def open(self, reply: Reply) -> Any:  # noqa: ANN401 - whatever handle returned
        """Return or raise what `handle` has returned or raised."""
        if isinstance(reply, BaseException):
            raise reply
        is_answer, *parcel = reply
        if is_answer:
            return unpack(*parcel, zero_copy=bool(self._options.zero_copy))
        raise load_error(*parcel)

    def stop(self) -> None:
        """End an actor that has handled all its messages."""
        try:
            is_answer, *parcel = self._ask("stop")
            if not is_answer:
                log_failure(self._name, "on_stop", load_error(*parcel))
            self._ask("__ray_terminate__")
        except ActorLost:
            return  # it has ended, as intended

    def rouse(self) -> None:
        """Make `receive` return. Any thread may call this."""
        if self._events.empty():
            self._events.put(None)

    def kill(self, method: str) -> None:
        """End the actor at once; `method` is what the user called."""
        self._forced = method
        self._kill()
        self._events.put(None)

    def _store(self, buffers: list[pickle.PickleBuffer]) -> Any:  # noqa: ANN401 - an ObjectRef
        if not self._is_connected():
            raise self._lost("Ray was shut down").make(self._name, False)  # noqa: FBT003
        return _without_init(ray.put)(buffers)

    def _ask(self, method: str, args: Parcel = ()) -> Any:  # noqa: ANN401
        """Call a method of the server that handles no message, and return its result."""
        self.send(0, args, method)
        while (event := self.receive()) is None:
            self._check()
        # This loop may have taken another caller's wake-up: pass it on.
        self.rouse()
        _, reply, _ = event
        if isinstance(reply, BaseException):
            raise self._ray_says(reply)
        return reply

    def _is_connected(self) -> bool:
        return ray.is_initialized() and _session() is self._session

    def _check(self) -> None:
        """Raise if waiting is in vain: Ray was shut down, or the deadline has passed."""
        if not self._is_connected():
            raise self._lost("Ray was shut down")
        if time.monotonic() > self._deadline:
            self._kill()
            raise self._lost(
                f"it had no place in the cluster within {self._start_s:g} s (option start_timeout)"
            )

    def _kill(self) -> None:
        if self._is_connected():
            _without_init(ray.kill)(self._actor)

    def _ray_says(self, error: BaseException) -> ActorLost:
        # The lines between the first and the last are a traceback.
        lines = str(error).strip().splitlines() or [""]
        text = " ... ".join(dict.fromkeys([lines[0], lines[-1].strip()]))
        return self._lost(f"Ray says {type(error).__name__}: {text}")

    def _lost(self, reason: str) -> ActorLost:
        if self._forced is not None:
            reason = f"{self._forced}() was called"
        pid = self._pid

        def make(name: str, started: bool) -> BrokenActor:  # noqa: FBT001
            if pid is None:
                return BrokenActor(f"actor {name} could not start: {reason}")
            when = "while it was being handled, or on its way" if started else "before it was sent"
            return ActorDied(
                f"the process of actor {name} (pid {pid}) terminated abruptly, for this message "
                f"{when}: {reason}", pid, None, started,
            )  # fmt: skip

        return ActorLost(reason, make)


def _session() -> object:
    """Return an object that identifies the connection to a cluster, at next to no cost."""
    return ray._private.worker._global_node  # noqa: SLF001 - the public functions take 20 us


def _without_init(api: Any) -> Any:  # noqa: ANN401 - any function of Ray's
    """Return a function of Ray's without its wrapper, which would start a missing cluster."""
    return getattr(api, "__wrapped__", api)
