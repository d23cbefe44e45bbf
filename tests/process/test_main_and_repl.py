"""Actors work from anywhere: a plain script without a main guard, `python -c`, standard input, an
interactive session, a terminal, a notebook. What crossed by value comes back the same class."""

import sys
from pathlib import Path

import pytest

import programs

EXAMPLES = Path(__file__).parents[2] / "examples"
SUPPORT_ON_PATH = f"import sys\nsys.path.insert(0, {str(programs.SUPPORT)!r})\n"
END = "\nprint('reached ' + 'the end')\n"


@pytest.fixture(params=programs.MEANS)
def how(request):
    return request.param


@pytest.fixture
def told(script, how):
    """Run a program by each of the means and return what it printed, line by line."""

    def run(source, **options):
        ended = script(source + END, how, **options).check()
        *lines, last = ended.out.splitlines()
        assert last == "reached the end", ended
        return lines

    return run


def test_the_example_of_a_thread_runs(told):
    assert told((EXAMPLES / "account.py").read_text()) == ["150 ValueError('only 150 left') 110"]


def test_the_example_of_a_process_runs(told):
    lines = told((EXAMPLES / "kitchen.py").read_text())
    # The callbacks of messages that end meanwhile print whenever they run.
    assert sorted(lines) == sorted(
        [
            "cancelled",
            "ready: soup by Ada",
            "ready: salad by Ada",
            "ready: fish by Ada",
            "refused: nobody here can juggle",
            "Ada has served soup, salad, fish",
            "no cake: True  a kitchen: True",
        ]
    )


def test_the_class_of_an_answer_is_the_class(told):
    source = (EXAMPLES / "kitchen.py").read_text().partition("with Kitchen")[0]
    lines = told(
        source
        + """
kitchen = Kitchen.executor("Bea", seconds=0)
visited = kitchen.post({"action": "visit"}).result(30)
print(type(visited) is Kitchen, visited.cook, type(kitchen).__name__)
kitchen.shutdown()
"""
    )
    assert lines == ["True Bea ProcessActorExecutor"]


def test_a_round_trip_by_value_leaves_the_parents_class_alone(told):
    """Attributes that the child, or in the meantime the parent, has changed are not overwritten."""
    assert told("""
from futures_actors import ProcessActor

class Counts(ProcessActor):
    here = "parent"
    born = []
    def handle(self, message):
        type(self).here = "child"
        self.born.append(message)
        return self

executor = Counts.executor()
first = executor.post(1).result(30)
Counts.here = "parent, later"
handle = Counts.handle
second = executor.post(2).result(30)
print(type(first) is Counts, type(second) is Counts)
print(Counts.here, Counts.born, Counts.handle is handle)
executor.shutdown()
""") == ["True True", "parent, later [] True"]


def test_classes_and_exceptions_of_main_are_the_same_when_they_come_back(told):
    assert told("""
from dataclasses import dataclass
from futures_actors import ProcessActor

@dataclass
class Point:
    x: int

class NoPoint(Exception):
    pass

class Moves(ProcessActor):
    def handle(self, message):
        if not isinstance(message, Point):
            raise NoPoint(message)
        message.x += 1
        return message

executor = Moves.executor()
try:
    executor.post("nothing").result(30)
except NoPoint as error:
    print("caught", error)

moved = executor.post(Point(1)).result(30)
print(type(moved) is Point, moved, moved == Point(2))
executor.shutdown()
""") == ["caught nothing", "True Point(x=2) True"]


def test_functions_and_globals_of_main_are_there(told):
    assert told("""
import collections
from futures_actors import ProcessActor

FACTOR = 3

def times(value):
    return value * FACTOR

class Base(ProcessActor):
    def __init__(self):
        self.seen = collections.Counter()

class Multiplies(Base):
    def __init__(self):
        super().__init__()
        self.calls = 0
    def handle(self, message):
        self.calls += 1
        self.seen[message] += 1
        return times(message), self.calls

executor = Multiplies.executor()
print(executor.post(2).result(30), executor.post(2).result(30))
print(executor.submit(times, 5).result(30), executor.submit(lambda: FACTOR + 1).result(30))
executor.shutdown()
""") == ["(6, 1) (6, 2)", "15 4"]


def test_thread_actors_of_main_work(told):
    assert told("""
from futures_actors import ThreadActor

class Adds(ThreadActor):
    def __init__(self):
        self.total = 0
    def handle(self, message):
        self.total += message
        return self

executor = Adds.executor()
answer = executor.post(2).result(30)
print(type(answer) is Adds, answer.total)
executor.shutdown()
""") == ["True 2"]


def test_a_plain_script_is_not_run_again_in_the_child(told):
    assert told("""
import os
from futures_actors import ProcessActor

class Echo(ProcessActor):
    def handle(self, message):
        return message

print("once")
executor = Echo.executor()
print(executor.post("answer").result(30))
executor.shutdown()
""") == ["once", "answer"]


def test_an_imported_actor_works_without_a_main_guard(told):
    """Nothing of `__main__` crosses here."""
    assert told(
        SUPPORT_ON_PATH
        + """
import actors
executor = actors.ProcessCounter.executor(5)
print(executor.post(1).result(30))
executor.shutdown()
"""
    ) == ["6"]


def test_an_actor_of_main_can_start_another_one(told):
    assert told("""
from futures_actors import ProcessActor

class Inner(ProcessActor):
    def handle(self, message):
        return message * 2

class Outer(ProcessActor):
    def __init__(self):
        self.inner = Inner.executor()
    def handle(self, message):
        return self.inner.post(message).result(30) + 1

executor = Outer.executor()
print(executor.post(20).result(30))
executor.shutdown()
""") == ["41"]


def test_a_program_may_end_without_a_shutdown(told):
    told("""
from futures_actors import ProcessActor

class Echo(ProcessActor):
    def handle(self, message):
        return message

executor = Echo.executor()
future = executor.post(1)
""")


def test_a_module_run_with_m(script, tmp_path):
    (tmp_path / "package").mkdir()
    (tmp_path / "package/__init__.py").touch()
    (tmp_path / "package/shared.py").write_text("VALUE = 7\n")
    (tmp_path / "package/__main__.py").write_text("""
from futures_actors import ProcessActor
from . import shared

class Adds(ProcessActor):
    def handle(self, message):
        from .shared import VALUE
        return message + VALUE, shared.VALUE, self

executor = Adds.executor()
total, value, actor = executor.post(1).result(30)
print(total, value, type(actor) is Adds)
""")
    source = "import runpy; runpy.run_module('package', run_name='__main__', alter_sys=True)"
    assert script(source, "command").check().out == "8 7 True\n"
    program = script("", shell=f"exec {sys.executable} -m package")
    assert program.check().out == "8 7 True\n"


def test_a_script_with_a_main_guard_works_too(script):
    assert (
        script("""
from futures_actors import ProcessActor

class Echo(ProcessActor):
    def handle(self, message):
        return message, __name__

def main():
    with Echo.executor() as executor:
        print(executor.post(1).result(30)[0])

if __name__ == "__main__":
    main()
""")
        .check()
        .out
        == "1\n"
    )


# Modules that start an actor when they are imported.

SERVICE = """if True:
    import os
    from futures_actors import ProcessActor
    with open("imports", "a") as file:
        file.write(f"{os.getpid()}\\n")
        assert file.tell() < 100, "processes without end"
    class Doubles(ProcessActor):
        def handle(self, number):
            return 2 * number
    doubles = Doubles.executor()
"""


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_an_actor_that_its_module_starts_is_refused_in_its_process(script, tmp_path, method):
    """Each process would start the next one."""
    (tmp_path / "service.py").write_text(SERVICE)
    source = f"""if True:
        import futures_actors
        futures_actors.set_start_method({method!r})
        import service
        error = service.doubles.post(21).exception(30)
        print(isinstance(error, futures_actors.ActorInitError), type(error.__cause__).__name__)
        print("start it in a function" in str(error))
    """
    lines = script(source, "command").check().out.splitlines()
    assert lines == ["True RuntimeError", "True"]
    assert len((tmp_path / "imports").read_text().split()) == 2


def test_an_actor_that_a_module_starts_when_it_comes_in_a_message_starts_no_others(
    script, tmp_path
):
    """The first process may import it, but the process of the actor that it starts may not."""
    (tmp_path / "service.py").write_text(SERVICE)
    source = """if True:
        import service
        import actors, tasks
        with actors.ProcessDo.executor() as executor:
            print(executor.post((tasks.call, service.Doubles.handle, None, 21)).result(30))
        service.doubles.shutdown()
    """
    assert script(source, "command").out == "42\n"
    assert len((tmp_path / "imports").read_text().split()) == 4


def test_a_module_that_starts_an_actor_cannot_be_preloaded(script, tmp_path):
    (tmp_path / "service.py").write_text(SERVICE)
    source = """if True:
        import futures_actors
        import actors
        futures_actors.set_start_method("forkserver")
        futures_actors.preload("service")
        try:
            actors.ProcessDo.executor()
        except ImportError as error:
            print("start it in a function" in str(error))
    """
    assert script(source, "command").check().out == "True\n"
    assert len((tmp_path / "imports").read_text().split()) == 1
