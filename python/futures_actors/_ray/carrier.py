"""What carries messages to a Ray actor and answers back."""

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

#: How long an actor may wait for a place, in seconds, unless option start_timeout says so.
_START_S = 60.0

#: How often a thread that waits for Ray looks whether there still is one, in seconds.
_LOOK_S = 0.2

_starting = threading.Lock()


class Carrier:
    """Carries messages to a Ray actor and answers back: see `src/py/remote.rs`.

    Ray's own futures are never waited for: their callbacks put events into a queue, and no more,
    since they run on the thread that Ray receives with.
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
        """Have the object constructed, once the actor has a place; return its process's id."""
        self._deadline = time.monotonic() + self._start_s
        pid: int = self._ask("pid")
        self._pid = pid
        self._deadline = math.inf
        constructor, self._constructor = self._constructor, ()
        is_answer, *parcel = self._ask("receive", constructor)
        if not is_answer:
            self._kill()
            cause = load_error(*parcel)
            reason = "its constructor raised"
            raise ActorLost(reason, lambda name, _: process_init_error(name, cause))
        return pid

    def send(self, number: int, packed: Parcel, method: str = "receive") -> None:
        """Send a message, which is what `method` of the server takes, and wait for nothing."""
        self._check()
        try:
            call = getattr(self._actor, method)
            ref = _without_init(call._remote)(call, packed)  # noqa: SLF001 - `remote` would init
        except RayError as error:
            raise self._ray_says(error) from error
        except Exception:
            self._check()
            raise
        # Kept until it is done: Ray may abort if it is dropped under its own callback.
        self._refs[number] = ref
        events = self._events
        ref._on_completed(lambda reply: events.put((number, reply)))  # noqa: SLF001 - as ref.future does

    def receive(self) -> tuple[int, Any] | None:
        """Return the next reply and its message's number; None if there may be something to do."""
        try:
            event = self._events.get(timeout=_LOOK_S if self._refs else None)
        except queue.Empty:
            self._check()
            return None
        if event is None:
            return None
        number, reply = event
        self._refs.pop(number, None)
        # A task's error is one of Ray's about this message alone: the server raises none.
        if isinstance(reply, BaseException) and not isinstance(reply, RayTaskError):
            # Also one that may come back: what became of the message nobody can tell.
            self._kill()
            raise self._ray_says(reply)
        return number, reply

    def open(self, reply: Reply) -> Any:  # noqa: ANN401 - whatever handle returned
        """Return or raise what `handle` did."""
        if isinstance(reply, BaseException):
            raise reply
        is_answer, *parcel = reply
        if is_answer:
            return unpack(*parcel, zero_copy=bool(self._options.zero_copy))
        raise load_error(*parcel)

    def stop(self) -> None:
        """End an actor that has handled all."""
        try:
            is_answer, *parcel = self._ask("stop")
            if not is_answer:
                log_failure(self._name, "on_stop", load_error(*parcel))
            self._ask("__ray_terminate__")
        except ActorLost:
            return  # as it was to be

    def rouse(self) -> None:
        """Have `receive` return, whatever thread calls this."""
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
        """Call a method that is not for a message, and wait for what it returns."""
        self.send(0, args, method)
        while (event := self.receive()) is None:
            self._check()
        # Whoever was roused meanwhile looks again.
        self.rouse()
        _, reply = event
        if isinstance(reply, BaseException):
            raise self._ray_says(reply)
        return reply

    def _is_connected(self) -> bool:
        return ray.is_initialized() and _session() is self._session

    def _check(self) -> None:
        """Raise if there is nothing to wait for."""
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
        # What comes between is a traceback.
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
    """Return what tells one connection to a cluster from another, and costs next to nothing."""
    return ray._private.worker._global_node  # noqa: SLF001 - the public ways take 20 us


def _without_init(api: Any) -> Any:  # noqa: ANN401 - any function of Ray's
    """Return a function of Ray's without what starts a cluster if there is none."""
    return getattr(api, "__wrapped__", api)
