"""Pickles classes by value: a process makes a class only once, and later gets only its changes.

A class belongs to the process that made it, and only the changes of that process are sent. A
process that already has the class updates only the attributes that the owner has changed since.
cloudpickle would assign every attribute again: methods would become copies, and changes that the
receiving process has made would be lost.
"""

from __future__ import annotations

import abc
import copyreg
import itertools
import pickle
import weakref

from cloudpickle import cloudpickle

TYPE_CHECKING = False
if TYPE_CHECKING:
    import enum
    from collections.abc import Callable, Iterable
    from typing import Any

#: For each class of this process that was sent, the mark and the version of each attribute.
_sent: weakref.WeakKeyDictionary[type, dict[str, tuple[Any, int]]] = weakref.WeakKeyDictionary()
#: For each class of another process, the last version received. `_EMPTY` means that the class was
#: made, but its attributes have not been received yet.
_received: weakref.WeakKeyDictionary[type, int] = weakref.WeakKeyDictionary()
_versions = itertools.count(1)

_EMPTY = -1

#: Types whose objects are compared by hash, which is quicker than to pickle them.
_ATOMS = frozenset({type(None), bool, int, float, str, bytes})


def reduce_class(cls: type, reduced: Any) -> Any:  # noqa: ANN401 - as pickle has it
    """Return how to pickle `cls` by value, given how cloudpickle would do it."""
    make, args, state, _, _, set_state = reduced
    attributes = state[0]
    if cls in _received:
        changes, version = {}, _received[cls]
    else:
        changes = _note_changes(cls, attributes)
        version = max(changes.values(), default=0)
    tracker_id = cloudpickle._get_or_create_tracker_id(cls)  # noqa: SLF001
    news = (state, set_state, changes, version)
    return _make_class, (tracker_id, make, args), news, None, None, _set_class


def _make_class(tracker_id: str, make: Callable[..., type], args: tuple[Any, ...]) -> type:
    known: type | None = cloudpickle._DYNAMIC_CLASS_TRACKER_BY_ID.get(tracker_id)  # noqa: SLF001
    if known is not None:
        return known
    cls: type = cloudpickle._lookup_class_or_track(tracker_id, make(*args))  # noqa: SLF001
    _received.setdefault(cls, _EMPTY)
    return cls


def _set_class(cls: type, news: tuple[Any, ...]) -> None:
    state, set_state, changes, version = news
    have = _received.get(cls)
    if have is None:
        # The class belongs to this process.
        return
    if have == _EMPTY:
        set_state(cls, state)
        _received[cls] = version
        return
    attributes = state[0]
    newer = {name for name, changed in changes.items() if changed > have}
    set_state(cls, ({name: attributes[name] for name in newer if name in attributes}, {}))
    for name in newer.difference(attributes):
        if name in vars(cls):
            type.__delattr__(cls, name)
    _received[cls] = max(have, *changes.values()) if changes else have


def _note_changes(cls: type, attributes: dict[str, Any]) -> dict[str, int]:
    """Return the versions of the attributes that have changed since the class was first sent.

    If two threads call this at the same time, they may count a change twice, and it is sent twice.
    """
    marks = {name: _mark(value) for name, value in attributes.items() if name != "_abc_impl"}
    noted = _sent.get(cls)
    if noted is None:
        _sent[cls] = {name: (mark, 0) for name, mark in marks.items()}
        return {}
    before = dict(noted)
    for name in {*marks, *before}:
        mark = marks.get(name)
        if not _is_same(before.get(name, (None, 0))[0], mark):
            noted[name] = before[name] = (mark, next(_versions))
    return {name: version for name, (_, version) in before.items() if version}


def _mark(value: object) -> list[Any]:
    """Return a mark that differs once the value is another object or has another content.

    It must hold no reference to the value, because the value may refer to the class.
    """
    if isinstance(value, property):
        parts: tuple[object, ...] = (value.fget, value.fset, value.fdel)
    else:
        parts = (getattr(value, "__func__", value),)
    return [_mark_one(part) for part in parts]


def _mark_one(value: object) -> Any:  # noqa: ANN401 - a reference or a number
    kind = type(value)
    if kind in _ATOMS:
        return hash((kind, value))
    try:
        if callable(value) or hasattr(kind, "__get__"):
            return weakref.ref(value)
        return hash(pickle.dumps(value, pickle.HIGHEST_PROTOCOL))
    except Exception:  # noqa: BLE001 - whatever a user's class does when pickled
        return id(value)


def _is_same(before: list[Any] | None, now: list[Any] | None) -> bool:
    if before is None or now is None or len(before) != len(now):
        return before is now
    # `==` of two weak references would call the `==` of their objects.
    return all(
        one is other or (type(one) is type(other) is int and one == other)
        for one, other in zip(before, now, strict=True)
    )


# Enums. cloudpickle calls their metaclass with the values. That loses aliases, names of combined
# flags, and what `__new__` and `__init__` have done to a member. Here the members are made empty,
# before anything can refer to them. Their contents come with the attributes of the class.


def is_member(value: object) -> bool:
    """Whether an instance of an enum is a member that its class has under a name."""
    members: dict[str, Any] = getattr(type(value), "_member_map_", {})
    return members.get(getattr(value, "_name_", None) or "") is value


def reduce_member(value: enum.Enum) -> Any:  # noqa: ANN401 - as pickle has it
    """Return how to pickle a member, by its name, of an enum that crosses by value."""
    return _get_member, (type(value), value._name_)


def _get_member(cls: type[enum.Enum], name: str) -> enum.Enum:
    return cls._member_map_[name]


def reduce_enum(cls: type[enum.Enum]) -> tuple[Any, ...] | None:
    """Return what cloudpickle would return for a class; None if a member cannot be made empty."""
    members = {}
    for name, member in cls._member_map_.items():
        if member._name_ == name:
            how = _how_to_make(member)
            if how is None:
                return None
            members[name] = (how, _fields(member), _slots(member))
    bare = {name: how for name, (how, _, _) in members.items()}
    named = {"__module__": cls.__module__, "__qualname__": cls.__qualname__}
    attributes = cloudpickle._class_getstate(cls)[0]  # noqa: SLF001
    # Leave out combinations of flags: they are made on demand.
    by_value = attributes["_value2member_map_"]
    by_value = {value: member for value, member in by_value.items() if is_member(member)}
    attributes["_value2member_map_"] = by_value
    contents = {name: (fields, slots) for name, (_, fields, slots) in members.items()}
    args = (type(cls), cls.__name__, cls.__bases__, named, bare)
    return _make_enum, args, (attributes, contents), None, None, _set_enum


def _how_to_make(member: enum.Enum) -> tuple[type, tuple[Any, ...]] | None:
    """Return a class and arguments for its `__new__`, which also takes the class of the member."""
    data: Any = type(member)._member_type_  # type: ignore[attr-defined]
    # Not the reduction of the enum itself, which looks a member up by its value.
    make, args, *_ = data.__reduce_ex__(member, 2)
    if make is type(member):
        return data, args
    if make is not copyreg.__newobj__:  # type: ignore[attr-defined]
        return None
    # A `__new__` written in Python expects the arguments of the class definition.
    news = (base for base in data.__mro__ if "__new__" in vars(base))
    return next(base for base in news if not isinstance(vars(base)["__new__"], staticmethod)), args[
        1:
    ]


def _fields(member: enum.Enum) -> dict[str, Any]:
    fields = dict(vars(member))
    if "_inverted_" in fields:
        # A cached combination of flags. The other process makes it again.
        fields["_inverted_"] = None
    return fields


def _slots(member: enum.Enum) -> dict[str, Any]:
    names: Iterable[str] = copyreg._slotnames(type(member))  # type: ignore[attr-defined] # noqa: SLF001
    return {name: getattr(member, name) for name in names if hasattr(member, name)}


def _make_enum(
    metaclass: type[type],
    name: str,
    bases: tuple[type, ...],
    named: dict[str, str],
    members: dict[str, tuple[type, tuple[Any, ...]]],
) -> type:
    made: dict[str, Any] = {}
    cls: Any = type.__new__(metaclass, name, bases, {**named, "_member_map_": made})
    if issubclass(metaclass, abc.ABCMeta):
        abc._abc_init(cls)  # type: ignore[attr-defined] # noqa: SLF001
        # Its methods come later.
        cls.__abstractmethods__ = frozenset()
    for member_name, (data, args) in members.items():
        made[member_name] = data.__new__(cls, *args)
        # The hash of a member is computed from it.
        made[member_name]._name_ = member_name
    return cls  # type: ignore[no-any-return]


def _set_enum(cls: Any, state: tuple[dict[str, Any], dict[str, Any]]) -> None:  # noqa: ANN401
    attributes, contents = state
    for name, (fields, slots) in contents.items():
        member = cls._member_map_[name]
        member.__dict__.update(fields)
        for slot, value in slots.items():
            object.__setattr__(member, slot, value)
    for other in attributes.pop("_abc_impl", ()):
        cls.register(other)
    # Python deletes `__firstlineno__` when another attribute is set, so set it last.
    for name in sorted(attributes, key="__firstlineno__".__eq__):
        # The metaclass would refuse to set an attribute that it takes for a member.
        type.__setattr__(cls, name, attributes[name])
