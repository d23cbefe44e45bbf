"""`ActorFuture`: what `post` returns."""

from concurrent import futures
from typing import TypeVar

from . import _core

T = TypeVar("T")


class ActorFuture(_core.FutureCore[T], futures.Future[T]):
    """A `concurrent.futures.Future` that can also be awaited. Its state lives in the core.

    Its `__name__` is `Future`, so that it prints like the standard one.
    """

    __slots__ = ()


ActorFuture.__name__ = ActorFuture.__qualname__ = "Future"
# Where its name says that it is.
Future = ActorFuture
