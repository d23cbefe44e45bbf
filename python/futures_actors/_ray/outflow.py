"""Runs the generator of a stream in a Ray actor, as `src/py/stream/run.rs` does in others."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import ray

from .._process.child import dump_error
from .parcel import pack

#: True and the parcel of an answer, or False and an exception that `dump_error` has encoded. Of a
#: stream that has ended because it was closed, nothing, or `IGNORED`. It is a list because Ray
#: writes a list of bytes without a pickle.
Reply = list[Any]

#: What stands before the parcel of an item.
ITEM = "item"

#: A generator did not end when it was closed.
IGNORED = "ignored"

#: How often a generator that ignores `GeneratorExit` is told again.
_TRIES = 8

#: Generators that ignore it. If one were dropped, the interpreter would resume it once more.
_given_up: list[Any] = []


def make_reply(name: str, work: Callable[[], object]) -> Reply:
    """Return the reply of the actor of this name: what `work` returns or raises."""
    try:
        # Ray puts the buffers into its shared memory when it sends the reply.
        return [True, *pack(work(), f"the answer of actor {name}", list)]
    except BaseException as error:
        if hasattr(error, "ray_terminate_msg"):
            raise  # Ray ends this process, and interrupts what runs
        return [False, dump_error(error)]  # for the message's future


class Asked:
    """Whether the message that this thread handles was asked to stop: Ray keeps the flag."""

    def __init__(self) -> None:
        """For the message that begins in this thread."""
        self._is_canceled = ray.get_runtime_context().is_canceled
        self._thread = threading.get_ident()
        self._final: bool | None = None

    def __call__(self) -> bool:
        """Return whether it was; raise `RuntimeError` in another thread, where Ray cannot say."""
        if self._final is not None:
            return self._final
        if threading.get_ident() != self._thread:
            raise RuntimeError("in a Ray actor only the handler's own thread sees cancel_requested")
        return bool(self._is_canceled())

    def end(self) -> None:
        """Keep the answer: the message ends, and the flag becomes that of the next one."""
        self._final = self()


class Outflow:
    """An iterator of the items of a generator, packed; then `reply` says how that has ended.

    The thread that iterates runs the generator. `close` may be called where it stands.
    """

    def __init__(self, name: str, start: Callable[[], Iterator[Any]], asked: Asked) -> None:
        """For a generator that `start` returns, in the actor of this name."""
        self._name = name
        self._start: Callable[[], Iterator[Any]] | None = start
        self._asked = asked
        self._generator: Any = None
        self.reply: Reply = []

    def __iter__(self) -> Iterator[Reply]:
        """Return itself."""
        return self

    def __next__(self) -> Reply:
        """Have the generator go on to its next `yield`, and return the item."""
        error: BaseException | None = None
        while not self._asked():
            try:
                item = self._resume(error)
            except StopIteration as returned:
                self._finish(returned.value)
                break
            except BaseException as raised:  # noqa: BLE001 - it is for the message's future
                self._finish(raised, raises=True)
                break
            error = None
            try:
                return [ITEM, *pack(item, f"an item of actor {self._name}", list)]
            except Exception as raised:  # noqa: BLE001 - it is for the generator
                error = raised
            finally:
                del item
        self.close()
        raise StopIteration

    def _resume(self, error: BaseException | None) -> object:
        """Return what the generator yields next, after `error` was raised in it if there is one."""
        if self._start is not None:
            start, self._start = self._start, None
            self._generator = start()
        if error is None:
            return next(self._generator)
        throw = getattr(self._generator, "throw", None)
        if throw is None:
            raise error  # an iterator of another type ends with it
        return throw(error)

    def _finish(self, value: Any, *, raises: bool = False) -> None:  # noqa: ANN401
        self._generator = None

        def work() -> object:
            if raises:
                raise value
            return value

        self.reply = make_reply(self._name, work)

    def close(self) -> None:
        """End the generator at its `yield`, by `GeneratorExit`, if it has not ended."""
        self._start = None
        if self._generator is None:
            return
        for _ in range(_TRIES):
            try:
                self._resume(GeneratorExit())
            except GeneratorExit:
                self._generator = None
                return
            except StopIteration as returned:
                self._finish(returned.value)
                return
            except BaseException as raised:  # noqa: BLE001 - it is for the message's future
                self._finish(raised, raises=True)
                return
        _given_up.append(self._generator)
        self._generator = None
        self.reply = [IGNORED]
