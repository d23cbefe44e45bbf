"""`ActorFuture`: what `post` returns."""

from concurrent.futures import Future
from typing import TypeVar

from . import _core

T = TypeVar("T")


class ActorFuture(_core.FutureCore[T], Future[T]):
    """A `concurrent.futures.Future` whose state lives in the core, and which can be awaited."""

    __slots__ = ()
