"""Exceptions and answers whose own code raises when they are shown, pickled or rebuilt, also what
`except Exception` does not catch. Only the message in question fails."""

import functools
import os
import signal
import threading

import pytest

import actors
import futures_actors
import tasks
from gates import PATIENCE

RAISED = [SystemExit, KeyboardInterrupt, GeneratorExit, RecursionError]
PARENT = os.getpid()

# If a result raises SystemExit while a worker of Ray sends it, the worker takes that for its own
# and ends.
pytestmark = pytest.mark.not_on_ray("such an exception can end an actor on a cluster")


def burst(kind):
    raise kind("hostile")


def burst_in(pid, kind):
    if os.getpid() == pid:
        raise kind("hostile")
    return Hostile()


class Hostile(Exception):
    """As harmless as it is."""


class Nameless(type):
    """A metaclass whose classes do not tell their name."""

    def __getattribute__(cls, name):
        if name in ("__qualname__", "__name__", "__module__"):
            raise SystemExit("hostile")
        return super().__getattribute__(name)


class NamelessError(Hostile, metaclass=Nameless):
    pass


class HostileText(str):
    __slots__ = ()

    def __reduce__(self):
        raise SystemExit("hostile")


def make(how, kind, parent):
    """Make an exception whose `how` raises `kind`; `parent` is the pid of the test's process."""

    def hostile(*_):
        raise kind("hostile")

    def state(self):
        # Without a state, `__setstate__` would not be called.
        return type(self), (), {"state": 1}

    if how == "metaclass":
        return NamelessError()
    members = {
        "__str__": {"__str__": hostile},
        "__repr__": {"__repr__": hostile, "__str__": hostile},
        "__reduce__": {"__reduce__": hostile},
        "rebuilding": {"__reduce__": lambda self: (burst, (kind,))},
        "rebuilding in the parent": {"__reduce__": lambda self: (burst_in, (parent, kind))},
        "__setstate__": {"__reduce__": state, "__setstate__": hostile},
        "notes": {"__notes__": property(hostile)},
        "text": {"__str__": lambda self: HostileText("of a class of its own")},
        "cause": {"__cause__": property(lambda self: None, hostile)},
        "__setattr__": {"__setattr__": hostile},
        "__class__": {"__class__": property(hostile)},
        "__getattribute__": {"__getattribute__": hostile},
    }[how]
    return type("Made", (Hostile,), members)()


HOWS = [
    "__str__", "__repr__", "__reduce__", "rebuilding", "rebuilding in the parent", "__setstate__",
    "notes", "text", "cause", "__setattr__", "__class__", "__getattribute__", "metaclass",
]  # fmt: skip


def raise_made(_actor, *made):
    raise make(*made)


def answer_made(_actor, kind, pid):
    return Answer(kind, pid)


class Answer:
    """An answer that the process `pid` cannot rebuild."""

    def __init__(self, kind, pid):
        self.kind, self.pid = kind, pid

    def __reduce__(self):
        return burst_in, (self.pid, self.kind)


@pytest.mark.parametrize("raised", RAISED)
def test_what_an_exceptions_own_code_raises_harms_no_other_message(kind, raised):
    with kind.start(actors.Do) as executor:
        for how in HOWS:
            before = executor.post((tasks.echo, 1))
            hostile = executor.post((raise_made, how, raised, PARENT))
            after = executor.post((tasks.echo, 2))
            assert after.result(PATIENCE) == 2, how
            assert before.result(PATIENCE) == 1, how
            error = hostile.exception(PATIENCE)
            assert issubclass(type(error), (Hostile, futures_actors.RemoteError)), how
            if kind.is_process and how in ("__reduce__", "rebuilding", "rebuilding in the parent"):
                assert type(error) is futures_actors.RemoteError, how
            # The future keeps it.
            assert hostile.exception(0) is error, how
            assert executor.post((tasks.echo, 3)).result(PATIENCE) == 3, how


def test_what_a_told_messages_exception_raises_when_it_is_shown_is_logged(kind, caplog):
    with kind.start(actors.Do) as executor:
        for how in HOWS:
            executor.tell((raise_made, how, SystemExit, PARENT))
        assert executor.post((tasks.echo, 1)).result(PATIENCE) == 1
    records = [one for one in caplog.records if one.name == "futures_actors"]
    assert len(records) == len(HOWS)
    assert all("sent by tell raised an exception" in one.getMessage() for one in records)


class FailsHostilely:
    def __init__(self, *made):
        raise make(*made)

    def handle(self, message):
        return message


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("base", [futures_actors.ThreadActor, futures_actors.ProcessActor])
def test_a_constructors_hostile_exception_is_an_init_error(base, how):
    executor = type("Fails", (FailsHostilely, base), {}).executor(how, SystemExit, PARENT)
    try:
        error = executor.post(1).exception(PATIENCE)
    except futures_actors.ActorInitError as refused:  # it was known already
        error = refused
    executor.shutdown()
    assert isinstance(error, futures_actors.ActorInitError)
    assert str(error).startswith("the constructor of actor Fails raised ")
    with pytest.raises(futures_actors.ActorInitError):
        executor.post(2)


@pytest.mark.parametrize("looked_at", ["by result", "by a callback", "in a thread", "with another"])
def test_an_answer_that_cannot_be_rebuilt_fails_only_its_own_future(process, looked_at):
    with process.start(actors.Do) as executor:
        for kind_of_error in [*RAISED, ValueError]:
            fail_to_rebuild(executor, kind_of_error, looked_at)


def fail_to_rebuild(executor, kind_of_error, looked_at):
    seen = []
    hostile = executor.post((answer_made, kind_of_error, PARENT))
    if looked_at == "by a callback":
        hostile.add_done_callback(lambda future: seen.append(type(future.exception())))
    if looked_at == "with another":
        hostile.add_done_callback(seen.append)
    if looked_at == "in a thread":
        look = functools.partial(hostile.exception, PATIENCE)
        thread = threading.Thread(target=lambda: seen.append(type(look())))
        thread.start()
        thread.join(PATIENCE)
        assert seen == [kind_of_error]
    assert executor.post((tasks.echo, 1)).result(PATIENCE) == 1
    for _ in range(2):
        with pytest.raises(kind_of_error, match="hostile"):
            hostile.result(PATIENCE)
        assert type(hostile.exception(0)) is kind_of_error


class InterruptsOnce:
    """Rebuilt while Ctrl-C comes; the second time it does not."""

    def __init__(self, parent):
        self.parent = parent

    def __reduce__(self):
        return interrupt_once, (self.parent,)


interrupts = []


def interrupt_once(pid):
    if os.getpid() == pid and not interrupts:
        interrupts.append(1)
        signal.raise_signal(signal.SIGINT)
    return "rebuilt"


class InterruptsOnceError(Hostile):
    def __reduce__(self):
        return interrupt_once_error, self.args


def interrupt_once_error(parent):
    interrupt_once(parent)
    return InterruptsOnceError(parent)


def answer_interrupts(_actor, parent):
    return InterruptsOnce(parent)


def raise_interrupts(_actor, parent):
    raise InterruptsOnceError(parent)


@pytest.mark.parametrize("what", [answer_interrupts, raise_interrupts])
def test_ctrl_c_while_an_answer_is_rebuilt_reaches_the_caller(process, what):
    """And the answer can still be had by asking again."""
    interrupts.clear()
    with process.start(actors.Do) as executor:
        future = executor.post((what, PARENT))
        with pytest.raises(KeyboardInterrupt):
            future.exception(PATIENCE)
        if what is answer_interrupts:
            assert future.result(0) == "rebuilt"
        else:
            assert type(future.exception(0)) is InterruptsOnceError
