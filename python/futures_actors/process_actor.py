"""Actors that live in a process of their own."""

from concurrent.futures.process import BrokenProcessPool

from . import _core
from ._base_actor import ActorExecutor
from ._core import ProcessActor

__all__ = ["BrokenProcessPool", "ProcessActor", "ProcessActorExecutor"]


class ProcessActorExecutor(_core.ProcessExecutorCore, ActorExecutor):
    """The executor of a `ProcessActor`."""
