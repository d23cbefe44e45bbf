"""What cannot be imported crosses by value, and is what it was: enums, what `functools` makes of
functions, lines of source, classes that change; connections and sockets are duplicated."""

import functools
import linecache
import multiprocessing
import socket
import sys
import traceback
from multiprocessing import resource_sharer

import cloudpickle
import pytest

import actors
from futures_actors import ProcessActor
from gates import PATIENCE

# Enums.

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


# What functools makes.


def test_what_functools_makes_in_a_script_works_in_the_child(script):
    script("""
import functools
from futures_actors import ProcessActor

@functools.cache
def fibonacci(n):
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

class Local:
    pass

@functools.singledispatch
def kind(value):
    return "something"

@kind.register
def _(value: int):
    return "a number"

@kind.register(Local)
def _(value):
    return "ours"

@kind.register(list)
def _(values):
    return [kind(value) for value in values]

def twice(function):
    @functools.wraps(function)
    def inner(*args):
        return function(*args) * 2
    return inner

@twice
def increase(number):
    "Add one."
    return number + 1

class Uses(ProcessActor):
    def __init__(self):
        self.calls = 0
    @functools.lru_cache(maxsize=7)
    def method(self, number):
        self.calls += 1
        return number
    @functools.cached_property
    def value(self):
        self.calls += 1
        return 5
    @functools.singledispatchmethod
    def which(self, value):
        return "something"
    @which.register
    def _(self, value: int):
        return "a number"
    @which.register
    def _(self, value: Local):
        return "ours"
    nine = functools.partialmethod(method, 9)
    @staticmethod
    @functools.cache
    def static(number):
        return number
    @classmethod
    @functools.lru_cache
    def of_class(cls, number):
        return cls.__name__, number
    def handle(self, message):
        return [
            fibonacci(90), fibonacci.cache_info().misses, kind([1, "", Local()]), increase(1),
            increase.__doc__, functools.partial(increase, 2)(), self.method(1), self.method(1),
            Uses.method.cache_parameters()["maxsize"], self.value, self.value, self.calls,
            [self.which(value) for value in (1, "", Local())], self.nine(), self.static(1),
            self.of_class(2),
        ]

here = Uses().handle(1)
with Uses.executor() as uses:
    assert uses.post(1).result(30) == here, uses.post(1).result(30)
    assert uses.post(1).result(30)[1] == 91  # its own cache is still there
    assert uses.submit(fibonacci, 30).result(30) == 832040
    assert uses.submit(kind, [1]).result(30) == ["a number"]
    assert uses.post(1).result(30)[1] == 91
""").check()


def test_a_cached_function_of_a_function_crosses_and_comes_back(process):
    @functools.lru_cache(maxsize=3)
    def double(number):
        return number * 2

    with process.start(actors.Echo) as executor:
        got = executor.post(double).result(PATIENCE)
        assert executor.submit(double, 2).result(PATIENCE) == 4
    assert got(4) == 8
    assert got.cache_parameters() == {"maxsize": 3, "typed": False}
    assert got.__qualname__ == double.__qualname__


# Source.


def test_a_remote_traceback_has_the_file_and_the_line(process):
    def fails(actor):
        raise ValueError("here")  # this very line

    with process.start(actors.Do) as executor:
        error = executor.post((fails,)).exception(PATIENCE)
    said = "".join(traceback.format_exception(error))
    assert f'File "{__file__}"' in said
    assert 'raise ValueError("here")  # this very line' in said


def test_source_that_no_file_has_goes_along(process):
    """As cells of a notebook, whose lines only the parent's `linecache` has."""
    source = "def fails(actor):\n    raise ValueError('of a cell')\n"
    name = "<cell 7>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    try:
        namespace = {"__name__": "__main__"}
        exec(compile(source, name, "exec"), namespace)
        with process.start(actors.Do) as executor:
            error = executor.post((namespace["fails"],)).exception(PATIENCE)
    finally:
        del linecache.cache[name]
    said = "".join(traceback.format_exception(error))
    assert f'File "{name}", line 2, in fails\n    raise ValueError' in said


# Classes that change.


def make_class():
    class Price:
        currency = "EUR"
        rates = {"EUR": 1}  # noqa: RUF012
        seen = 0

        def show(self):
            return f"{self.currency} {sorted(self.rates)}"

        @property
        def short(self):
            return self.currency[0]

        @classmethod
        def name(cls):
            return "price"

    return Price


def look_at(price):
    return price.show(), price.short, price.name(), getattr(price, "more", None)


class Looks(ProcessActor):
    def handle(self, price):
        type(price).seen += 1
        return look_at(price), type(price).seen


def test_a_class_that_has_changed_arrives_as_it_is_now():
    cls = make_class()
    with Looks.executor() as executor:

        def look():
            return executor.post(cls()).result(PATIENCE)

        assert look() == (look_at(cls()), 1)
        cls.show = lambda self: "changed"
        assert look() == (("changed", "E", "price", None), 2)
        cls.short = property(lambda self: "property")
        cls.name = classmethod(lambda cls: "class method")
        cls.more = "more"
        assert look() == (("changed", "property", "class method", "more"), 3)
        del cls.more
        cls.show = lambda self: sorted(self.rates)
        cls.rates["USD"] = 2
        assert look() == ((["EUR", "USD"], "property", "class method", None), 4)
        cls.seen = 10
        assert look()[1] == 11


def test_a_class_that_has_not_changed_keeps_what_the_child_has_set():
    cls = make_class()
    with Looks.executor() as executor:
        seen = [executor.post(cls()).result(PATIENCE)[1] for _ in range(3)]
        assert seen == [1, 2, 3]
    assert cls.seen == 0


def test_a_change_in_the_child_does_not_reach_the_class_here():
    cls = make_class()
    show = cls.show
    with Looks.executor() as executor:
        executor.submit(setattr, cls, "show", None).result(PATIENCE)
        assert type(executor.submit(cls).result(PATIENCE)) is cls
    assert cls.show is show


# Modules by value.


@pytest.fixture
def module_of_here(tmp_path, monkeypatch):
    """A module that a child cannot import."""
    (tmp_path / "module_of_here.py").write_text(
        "LIMIT = 1\ndef limit():\n    return LIMIT\nclass Thing:\n    value = 5\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import module_of_here

    monkeypatch.undo()
    yield module_of_here
    del sys.modules["module_of_here"]


def test_a_module_that_is_registered_with_cloudpickle_goes_by_value(process, module_of_here):
    module_of_here.LIMIT = 3
    with process.start(actors.Echo) as executor:
        error = executor.post(module_of_here.Thing()).exception(PATIENCE)
        assert isinstance(error, ImportError)
        cloudpickle.register_pickle_by_value(module_of_here)
        try:
            assert executor.submit(module_of_here.limit).result(PATIENCE) == 3
            got = executor.post({"deep": [module_of_here.Thing()]}).result(PATIENCE)
            assert type(got["deep"][0]) is module_of_here.Thing
        finally:
            cloudpickle.unregister_pickle_by_value(module_of_here)
        assert executor.post(1).result(PATIENCE) == 1


def test_cloudpickle_is_not_loaded_for_what_pickle_can_do(script):
    script("""if True:
        import actors, sys
        with actors.ProcessEcho.executor() as executor:
            for message in (1, "__main__", {"a": [1.5, None]}, actors.Counter, ValueError("x")):
                executor.post(message).result(30)
        assert "cloudpickle" not in sys.modules
    """).check()


# Connections and sockets.


@pytest.fixture
def duplicates():
    """Ends the thread that hands out duplicates, which lives on from the first of them."""
    yield
    resource_sharer.stop(PATIENCE)


of_connections = pytest.mark.usefixtures("duplicates")


class Sends(ProcessActor):
    def __init__(self, connection=None):
        self.connection = connection

    def handle(self, message):
        (message or self.connection).send("hello")
        return message


@of_connections
@pytest.mark.parametrize("where", ["message", "argument"])
def test_an_end_of_a_pipe_works_in_the_child(where):
    ours, theirs = multiprocessing.Pipe()
    with ours, theirs, Sends.executor(*[theirs] * (where == "argument")) as executor:
        executor.post(theirs if where == "message" else None).result(PATIENCE)
        assert ours.poll(PATIENCE)
        assert ours.recv() == "hello"


@of_connections
def test_an_end_of_a_pipe_comes_back_as_another_descriptor():
    ours, theirs = multiprocessing.Pipe()
    with ours, theirs, Sends.executor() as executor:
        got = executor.post(theirs).result(PATIENCE)
        assert got.fileno() != theirs.fileno()
        assert ours.recv() == "hello"
        got.send("again")
        assert ours.recv() == "again"
        got.close()


def test_an_end_of_a_pipe_crosses_where_multiprocessing_was_loaded_late(script):
    """The child must have the parent's key nevertheless."""
    script("""if True:
        from futures_actors import ProcessActor

        class Makes(ProcessActor):
            def handle(self, message):
                import multiprocessing
                ours, theirs = multiprocessing.Pipe()
                message.send("from the child")
                self.kept = ours
                return theirs

            def say(self):
                self.kept.send("in an answer")

        with Makes.executor() as executor:
            executor.submit(abs, 1).result(30)
            import multiprocessing
            ours, theirs = multiprocessing.Pipe()
            answer = executor.post(theirs).result(30)
            assert ours.recv() == "from the child"
            executor.proxy().say().result(30)
            assert answer.recv() == "in an answer"
    """).check()


@of_connections
def test_a_socket_works_in_the_child(process):
    ours, theirs = socket.socketpair()
    with ours, theirs, process.start(actors.Echo) as executor:
        assert executor.submit(socket.socket.send, theirs, b"hello").result(PATIENCE) == 5
        assert ours.recv(10) == b"hello"
