"""What cannot be imported crosses by value, and is what it was: what `functools` makes of
functions, lines of source, classes that change, closures, lambdas, classes made in functions.
`test_enums.py` has enums."""

import functools
import linecache
import sys
import traceback

import cloudpickle
import pytest

import actors
import tasks
from futures_actors import ProcessActor
from gates import PATIENCE

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


# Closures, lambdas, classes of functions.


def test_a_class_made_in_a_function(kind):
    offset = 100

    class Local(getattr(actors, f"{kind.base}Actor")):
        def __init__(self, start):
            super().__init__()
            self.total = start

        def handle(self, message):
            self.total += message
            return self.total + offset, self

    with Local.executor(1) as executor:
        value, actor = executor.post(2).result(PATIENCE)
        assert value == 103
        assert type(actor) is Local
        assert actor.total == 3


def test_a_class_made_in_a_function_twice_is_two_classes(process):
    def make(number):
        class Local(actors.ProcessActor):
            def handle(self, message):
                return number, self

        return Local

    one, two = make(1), make(2)
    with one.executor() as first, two.executor() as second:
        for cls, executor, number in ((one, first, 1), (two, second, 2)):
            answer, actor = executor.post(None).result(PATIENCE)
            assert answer == number
            assert type(actor) is cls


def test_lambdas_and_closures_are_messages_and_answers(kind):
    shift = 10
    with kind.start(actors.Do) as executor:
        answer = executor.post((lambda actor, value: lambda more: value + more + shift, 1))
        assert answer.result(PATIENCE)(2) == 13


def test_a_lambda_is_a_constructor_argument(kind):
    shift = 10
    with kind.start(actors.Arguments, lambda value: value + shift) as executor:
        ((function,), _) = executor.post(None).result(PATIENCE)
        assert function(1) == 11


def test_an_object_of_a_local_class_comes_back_as_that_class(kind):
    class Local:
        def __init__(self, value):
            self.value = value

    with kind.start(actors.Echo) as executor:
        answers = [executor.post(Local(number)).result(PATIENCE) for number in range(2)]
        assert [type(answer) for answer in answers] == [Local, Local]
        assert [answer.value for answer in answers] == [0, 1]


def test_a_local_exception_comes_back_as_that_class(kind):
    class LocalError(Exception):
        pass

    with kind.start(actors.Do) as executor:
        error = executor.post((tasks.fail, LocalError("here"))).exception(PATIENCE)
        assert type(error) is LocalError
        assert str(error) == "here"


def test_a_constructor_may_raise_a_local_exception(kind):
    class LocalError(Exception):
        pass

    with kind.start(actors.Fails, LocalError("here")) as executor:
        try:
            error = executor.post(1).exception(PATIENCE)
        except RuntimeError as raised:
            error = raised
    assert type(error.__cause__) is LocalError
