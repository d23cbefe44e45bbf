"""Finds an actor's references to itself, which do not keep it alive."""

import gc
import sys
from types import FrameType, FunctionType, ModuleType
from typing import Any

from ._core import RefCore

#: How many objects of an actor are searched at most. An actor in which that does not find all
#: references to itself lives until it is shut down.
_MOST = 100_000


def holds_all(actor: object, number: int, count: int) -> bool:
    """Whether all `count` references of the actor `number` to itself are only inside `actor`.

    It compares how many references to each of these objects are found inside with how many exist.
    No code of the user's runs.
    """
    # For each that is found: the object, and how often it was found.
    found: dict[int, list[Any]] = {}
    seen = {id(vars(module)) for module in list(sys.modules.values()) if type(module) is ModuleType}
    todo: list[object] = [actor]
    while todo and len(seen) < _MOST:
        for inner in _referents(todo.pop()):
            kind = type(inner)
            if issubclass(kind, RefCore):
                if RefCore._is_own(inner, number):  # noqa: SLF001 - its class may have redefined it
                    found.setdefault(id(inner), [inner, 0])[1] += 1
            elif id(inner) not in seen and not issubclass(kind, (type, ModuleType, FrameType)):
                seen.add(id(inner))
                todo.append(inner)
        inner = None
    if len(found) != count:
        return False
    # What this function adds to each count differs between versions of Python.
    found[0] = [object(), 0]
    entries = list(found.values())
    surplus = sys.getrefcount(found.pop(0)[0])
    return all(sys.getrefcount(entry[0]) == surplus + entry[1] for entry in entries[:-1])


def _referents(value: object) -> list[Any]:
    """Return what an object refers to; of a function not its module's globals."""
    if type(value) is FunctionType:
        parts = (value.__closure__, value.__defaults__, value.__kwdefaults__, value.__dict__)
        return [part for part in parts if part is not None]
    return gc.get_referents(value)
