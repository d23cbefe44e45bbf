"""`ActorFuture`: what `post` returns."""

from concurrent import futures
from typing import TypeVar

from . import _core

T = TypeVar("T")


class Future(_core.FutureCore[T], futures.Future[T]):
    """A `concurrent.futures.Future` that can also be awaited. Its state lives in the core.

    Import it as `ActorFuture`. Its name is `Future` so that it prints like the standard one.
    """

    __slots__ = ()


ActorFuture = Future
