"""`ActorFuture`: what `post` returns."""

from concurrent import futures
from typing import TypeVar

from . import _core

T = TypeVar("T")


class Future(_core.FutureCore[T], futures.Future[T]):
    """A `concurrent.futures.Future` whose state lives in the core, and which can be awaited.

    Import it as `ActorFuture`. It is called `Future` so that it prints as the standard one does.
    """

    __slots__ = ()


ActorFuture = Future
