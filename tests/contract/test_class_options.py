"""Options that are keywords of a class: what they hold for, how they are inherited and refused."""

import abc
import pickle
from dataclasses import dataclass
from typing import Generic, TypeVar

import cloudpickle
import pytest

import actors
import futures_actors
import tasks
from gates import PATIENCE

T = TypeVar("T")


def options_of(cls, **given):
    options = cls.options(**given)
    return {name: getattr(options, name) for name in ("name", "mailbox_size")}


def test_a_keyword_of_the_class_is_an_option_of_its_actors(kind):
    class Sized(kind.actor(actors.Do), name="sized", mailbox_size=1):
        pass

    for start in (Sized.executor, Sized.options().executor):
        with start() as executor:
            assert " 'sized'" in repr(executor).replace('"', "'")
            assert executor.post((tasks.echo, 1)).result(PATIENCE) == 1


def test_a_bound_of_the_class_bounds_the_mailbox(kind, gate):
    class Sized(kind.actor(actors.Do), mailbox_size=1):
        pass

    with Sized.executor() as executor:
        executor.post((tasks.pause, gate))
        gate.reached()
        executor.post((tasks.echo, 1))
        with pytest.raises(futures_actors.MailboxFull):
            executor.post((tasks.echo, 2), timeout=0)
        gate.open()


def test_each_option_comes_from_the_nearest_class_that_has_it(kind):
    class Base(kind.actor(actors.Do), name="base", mailbox_size=3):
        pass

    class Left(Base, name="left"):
        pass

    class Right(Base, name="right", mailbox_size=4):
        pass

    class Both(Left, Right):
        pass

    class Anew(Both, mailbox_size=None):
        pass

    assert options_of(Base) == {"name": "base", "mailbox_size": 3}
    assert options_of(Left) == {"name": "left", "mailbox_size": 3}
    assert options_of(Both) == {"name": "left", "mailbox_size": 4}
    assert options_of(Anew) == {"name": "left", "mailbox_size": None}


def test_options_override_the_keywords_of_the_class(kind):
    class Sized(kind.actor(actors.Do), name="sized", mailbox_size=3):
        pass

    assert options_of(Sized, mailbox_size=5) == {"name": "sized", "mailbox_size": 5}
    assert repr(Sized.options(mailbox_size=5)) == "Sized.options(mailbox_size=5)"


def test_none_overrides_the_keyword_of_the_class_with_the_default(thread):
    class Sized(thread.actor(actors.Do), mailbox_size=3):
        pass

    assert options_of(Sized, mailbox_size=None) == {"name": None, "mailbox_size": None}


def test_a_base_that_is_no_actor_of_a_kind_has_options_for_both():
    class Base(futures_actors.Actor, mailbox_size=3, max_restarts=2):
        def handle(self, message):
            return message

    class Far(Base, futures_actors.ProcessActor):
        pass

    class Near(Base, futures_actors.ThreadActor):
        pass

    assert Far.options().max_restarts == 2
    for start in (Near.options, Near.executor):
        with pytest.raises(TypeError, match="'max_restarts' is for process actors, and Near is"):
            start()


@pytest.mark.not_on_ray("an option that is not ours is one of Ray's")
@pytest.mark.parametrize("mixin", [object, abc.ABC, Generic[T]], ids=str)
@pytest.mark.parametrize("is_first", [False, True])
def test_an_unknown_keyword_is_an_error_that_names_it(kind, mixin, is_first):
    base = kind.actor(actors.Do)
    bases = (base,) if mixin is object else (mixin, base) if is_first else (base, mixin)
    with pytest.raises(TypeError, match=r"class Sized has no option 'nmae'; there are name, "):

        class Sized(*bases, nmae="a"):
            pass


class Tagged:
    def __init_subclass__(cls, tag=None, **others):
        super().__init_subclass__(**others)
        cls.tag = tag


@pytest.mark.not_on_ray("an option that is not ours is one of Ray's")
@pytest.mark.parametrize("is_first", [False, True])
def test_a_keyword_of_another_base_goes_there(kind, is_first):
    bases = [kind.actor(actors.Do), Tagged]

    class Sized(*bases[:: -1 if is_first else 1], tag="t", mailbox_size=3):
        pass

    assert Sized.tag == "t"
    assert options_of(Sized)["mailbox_size"] == 3
    with pytest.raises(TypeError, match=r"no option .*'gat'; there are"):

        class Wrong(*bases[:: -1 if is_first else 1], tag="t", gat="t"):
            pass


@pytest.mark.not_on_ray("an option that is not ours is one of Ray's")
def test_what_another_base_says_to_a_keyword_is_not_hidden(kind):
    class Refuses:
        def __init_subclass__(cls, tag):
            raise TypeError(f"no {tag}")

    with pytest.raises(TypeError, match=r"^no t$"):

        class Wrong(kind.actor(actors.Do), Refuses, tag="t"):
            pass


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"mailbox_size": 0}, ValueError, "mailbox_size must be at least 1, not 0"),
        ({"mailbox_size": "1"}, TypeError, "mailbox_size must be an int, not str"),
        ({"name": ""}, ValueError, "name must be printable text"),
    ],
    ids=str,
)
def test_a_bad_value_is_an_error_when_the_class_is_made(kind, given, error, text):
    with pytest.raises(error, match=text):
        type("Sized", (kind.actor(actors.Do),), {}, **given)


def test_a_bad_value_for_processes_is_an_error_when_the_class_is_made(process, thread):
    with pytest.raises(ValueError, match="start_method must be one of"):
        type("Sized", (process.actor(actors.Do),), {}, start_method="fork")
    with pytest.raises(ValueError, match="max_restarts must not be negative"):
        type("Sized", (futures_actors.Actor,), {}, max_restarts=-1)
    with pytest.raises(TypeError, match="'max_restarts' is for process actors, and Sized is not"):
        type("Sized", (thread.actor(actors.Do),), {}, max_restarts=1)


def test_a_window_of_the_class_may_wait_for_restarts_that_options_give(process):
    class Windowed(process.actor(actors.Do), restart_window=5):
        pass

    assert Windowed.options(max_restarts=1).restart_window == 5
    assert Windowed.options(max_restarts=0).max_restarts == 0
    with pytest.raises(ValueError, match="restart_window has no effect without max_restarts"):
        Windowed.executor()


def test_a_dataclass_with_slots_keeps_its_options(kind):
    @dataclass(slots=True)
    class Sized(kind.actor(actors.Do), name="sized", mailbox_size=3):
        log: object = None

    class Smaller(Sized, mailbox_size=2):
        pass

    assert options_of(Sized) == {"name": "sized", "mailbox_size": 3}
    assert options_of(Smaller) == {"name": "sized", "mailbox_size": 2}


def start_and_look(_actor, cls):
    """In the actor: start one of class `cls`, and return its options and how it is shown."""
    with cls.options().executor() as executor:
        executor.post((tasks.echo, 1)).result(PATIENCE)
        return options_of(cls), repr(executor)


def test_a_class_that_crosses_by_value_keeps_its_options(process, thread):
    class Sized(thread.actor(actors.Do), name="sized", mailbox_size=3):
        pass

    class Smaller(Sized, mailbox_size=2):
        pass

    with process.start(actors.Do) as executor:
        found, shown = executor.post((start_and_look, Smaller)).result(PATIENCE)
    assert found == {"name": "sized", "mailbox_size": 2}
    assert '"sized"' in shown
    again = pickle.loads(cloudpickle.dumps(Smaller))
    assert options_of(again) == {"name": "sized", "mailbox_size": 2}


PLAIN = """
import sys
from futures_actors import ProcessActor, ThreadActor

loaded = set(sys.modules)

class Plain(ThreadActor):
    pass

assert not set(sys.modules) - loaded

class Sized(ProcessActor, mailbox_size=3, max_restarts=1):
    pass

more = set(sys.modules) - loaded
assert more <= {"futures_actors._class_options", "operator", "_operator", "__future__"}, more
"""


def test_a_class_loads_nothing_heavy_for_its_options(script):
    script(PLAIN).check()
