"""Imports what children need and what takes long, before there is a child that needs it."""

import contextlib
from importlib import import_module

#: Modules of this package that a child needs when it needs that module.
_COMPANIONS = {"cloudpickle": ("futures_actors._pickling.by_value", "futures_actors._process.log")}


def import_early(name: str) -> None:
    """Import a module and what goes with it. If that fails, the child tries and reports it."""
    with contextlib.suppress(Exception):
        for module in (name, *_COMPANIONS.get(name, ())):
            import_module(module)
