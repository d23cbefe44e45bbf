"""Carries messages to a Ray actor, and its answers back."""

import math
import pickle
import queue
import threading
import time
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from .._errors import (
    ActorDied,
    ActorLost,
    BrokenActor,
    load_error,
    log_failure,
    process_init_error,
)
from .options import RayOptions
from .parcel import Parcel, pack, unpack
from .server import Reply, Server

#: For how many seconds an actor may wait for a place by default (option `start_timeout`).
_START_S = 60.0

#: How many seconds pass between checks, in a thread that waits for Ray, that Ray still runs.
_LOOK_S = 0.2

_starting = threading.Lock()


class Carrier:
    """Carries messages to a Ray actor and answers back: see `src/py/remote.rs`.

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
        self._pid: int | None = None
        self._forced: str | None = None
        self._start_s = options.start_timeout or _START_S
        self._deadline = math.inf
        parts = options.actor_class, args, kwargs
        self._constructor: Parcel = self.pack("construct", parts, "class or arguments")
        server = ray.remote(Server).options(max_restarts=0, max_task_retries=0, **options.ray)
        self._actor: Any = server.remote(self._name, bool(options.zero_copy))

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
        self._check()
        try:
            call = getattr(self._actor, method)
            ref = _without_init(call._remote)(call, packed)  # noqa: SLF001 - `remote` would init
        except RayError as error:
            raise self._ray_says(error) from error
        except Exception:
            self._check()
            raise
        # Keep the reference until the call ends: Ray may abort if its own callback drops it.
        self._refs[number] = ref
        events = self._events
        ref._on_completed(lambda reply: events.put((number, reply)))  # noqa: SLF001 - as ref.future does

    def receive(self) -> tuple[int, Any] | None:
        """Return the next reply and the number of its message; None to let the caller check."""
        try:
            event = self._events.get(timeout=_LOOK_S if self._refs else None)
        except queue.Empty:
            self._check()
            return None
        if event is None:
            return None
        number, reply = event
        self._refs.pop(number, None)
        # A `RayTaskError` concerns only this message. The server itself never raises.
        if isinstance(reply, BaseException) and not isinstance(reply, RayTaskError):
            # Even if the actor may come back, what became of the message cannot be known.
            self._kill()
            raise self._ray_says(reply)
        return number, reply

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
        _, reply = event
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
