"""Enums that cannot be imported cross by value; their members are the same ones in the child."""

import sys

import pytest

ENUMS = """
import abc, dataclasses, datetime, enum, functools
from futures_actors import ProcessActor

class Op(enum.Enum):
    ADD = "+"
    PLUS = "+"
    def apply(self, left, right):
        return left + right
    @property
    def nice(self):
        return self.name.lower()
    def __str__(self):
        return f"<{self.value}>"
    @classmethod
    def _missing_(cls, value):
        return cls.ADD
    @classmethod
    def parse(cls, text):
        return TABLE[cls(text)]

TABLE = {Op.ADD: "add"}

class Planet(enum.Enum):
    EARTH = 5.9, 6.3
    def __init__(self, mass, radius):
        self.mass = mass

class Coordinate(bytes, enum.Enum):
    def __new__(cls, value, label):
        self = bytes.__new__(cls, [value])
        self._value_ = value
        self.label = label
        return self
    X = 0, "x axis"
    Y = 1, "y axis"

class Permission(enum.Flag):
    R = 4
    W = 2
    RW = 6
    NONE = 0

class Bits(enum.IntFlag):
    A = 1
    B = 2
    AB = 3

class Number(enum.IntEnum):
    ONE = enum.auto()
    TWO = enum.auto()
    def twice(self):
        return self * 2

class Text(str, enum.Enum):
    def _generate_next_value_(name, *_):
        return name.lower()
    A = enum.auto()

@dataclasses.dataclass(frozen=True)
class Size:
    width: int
    height: int = 2
    def area(self):
        return self.width * self.height

class Sizes(Size, enum.Enum):
    S = 1, 3

class Day(datetime.date, enum.Enum):
    FIRST = 2020, 1, 1

class AbstractMeta(abc.ABCMeta, enum.EnumMeta):
    pass

class Abstract(enum.Enum, metaclass=AbstractMeta):
    @abc.abstractmethod
    def where(self): ...

class Concrete(Abstract):
    HERE = 1
    def where(self):
        return self.name

class Lists(enum.Enum):
    A = []
    B = [1]

class Functions(enum.Enum):
    ADD = "+", lambda left, right: Op.ADD.apply(left, right)
    MORE = "++", lambda left, right: Functions.ADD(left, right) + 1
    def __call__(self, left, right):
        return self.value[1](left, right)

class Outer:
    class Inner(enum.Enum):
        A = 1
        def is_a(self):
            return self is Outer.Inner.A

Made = enum.Enum("Made", "A B")

def look():
    return [
        Op.ADD.apply(1, 2), Op.ADD.nice, str(Op.ADD), Op("?"), Op["PLUS"], list(Op.__members__),
        Op.parse("+"), Planet.EARTH.mass, Planet((5.9, 6.3)), Coordinate.Y == bytes([1]),
        Coordinate(0).label, Permission.RW is Permission.R | Permission.W, Permission["RW"],
        Permission(0).name, list(Permission.__members__), ~Permission.R, Bits.AB + 0, Bits["AB"],
        Bits.A | Bits.B is Bits.AB, Number.TWO.twice(), Number(1), Text("a"), Text.A.upper(),
        Sizes.S.area(), Sizes.S, Day.FIRST.isoformat(), Concrete.HERE.where(), Lists([1]),
        Functions.MORE(1, 2), Outer.Inner.A.is_a(), Made.B.value, hash(Op.ADD) == hash("ADD"),
        isinstance(Concrete.HERE, Abstract), repr(Permission.RW), str(Bits.AB), TABLE,
    ]

class Looks(ProcessActor):
    def handle(self, message):
        return message, look()

ENUMS = Op, Planet, Coordinate, Permission, Bits, Number, Text, Sizes, Day, Concrete, Lists, Made
members = [member for kind in ENUMS for member in kind.__members__.values()]
members += [Outer.Inner.A, Permission.R | Permission.W, Functions.ADD]
here = look()
with Looks.executor() as looks:
    for _ in range(2):
        back, there = looks.post([ENUMS, members]).result(30)
        assert there == here, [pair for pair in zip(there, here) if pair[0] != pair[1]]
        assert all(got is sent for got, sent in zip([*back[0], *back[1]], [*ENUMS, *members]))
assert look() == here
"""


NEWER_ENUMS = """
import enum
from futures_actors import ProcessActor

class Shout(enum.StrEnum):
    A = enum.auto()
    @property
    def loud(self):
        return self.upper()

class Keeps(enum.Flag, boundary=enum.KEEP):
    A = 1

class Parts(enum.Enum):
    SIZE = enum.member(len)
    @enum.nonmember
    def three():
        return 3
    @enum.property
    def name(self):
        return "the " + self._name_

class Named(enum.Enum):
    value = 1
    name = 2

def look():
    return [
        str(Shout.A), f"{Shout.A}", Shout.A.loud, Keeps(6).value, Parts.SIZE.value("abc"),
        Parts.three(), Parts.SIZE.name, len(Parts), Named["value"].value, Named(2).name,
    ]

class Looks(ProcessActor):
    def handle(self, message):
        return message, look()

with Looks.executor() as looks:
    assert looks.post(Parts.SIZE).result(30) == (Parts.SIZE, look())
"""


def test_enums_of_a_script_are_the_same_in_the_child(script):
    script(ENUMS).check()


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.11 has them")
def test_newer_enums_of_a_script_are_the_same_in_the_child(script):
    script(NEWER_ENUMS).check()
