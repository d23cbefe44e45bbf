"""Actors that live in a process of their own."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from . import _core
from ._base_actor import ActorExecutor
from ._core import ProcessActor
from ._start_methods import check_platform
from ._types import Answer, Message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["BrokenProcessPool", "ProcessActor", "ProcessActorExecutor"]


_T = TypeVar("_T")


class ProcessActorExecutor(
    _core.ProcessExecutorCore[Message, Answer], ActorExecutor[Message, Answer]
):
    """The executor of a `ProcessActor`."""

    def __new__(cls, actor: Any, /, *args: Any, **kwargs: Any) -> "Self":  # noqa: ANN401 - of any type
        """Start an actor; raise `NotImplementedError` where processes cannot be started."""
        check_platform()
        return super().__new__(cls, actor, *args, **kwargs)

    def map(
        self,
        fn: Callable[..., _T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        **options: Any,  # noqa: ANN401 - options of newer versions of Python
    ) -> Iterator[_T]:
        """Do what `concurrent.futures.Executor.map` does, in the actor's process.

        `chunksize` is checked as a pool checks it, and has no other effect: calls are always sent
        in batches.
        """
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        return super().map(fn, *iterables, timeout=timeout, chunksize=chunksize, **options)
