"""Exceptions of `handle` and of the constructor, how they cross from a process, and the package's
own error classes."""

import copy
import pickle
import queue
import sys
import traceback
from concurrent import futures
from concurrent.futures.process import BrokenProcessPool

import pytest

import actors
import futures_actors
import observe
import tasks
import trouble
from gates import PATIENCE

ERRORS = [
    ValueError("no"),
    KeyError("missing"),
    OSError(2, "No such file or directory", "nowhere"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    StopIteration("stop"),
    TimeoutError("too late"),
    trouble.Custom(7, "reason"),
    futures.CancelledError(),
    futures.BrokenExecutor("not ours"),
]
ENDINGS = [KeyboardInterrupt("now"), SystemExit(3), GeneratorExit("done"), trouble.Final("last")]


@pytest.mark.parametrize("error", [*ERRORS, *ENDINGS], ids=lambda error: type(error).__name__)
def test_what_handle_raises_is_the_futures_exception_and_the_actor_lives_on(any_kind, error):
    if any_kind.is_async and isinstance(error, StopIteration):
        pytest.skip("Python makes it a RuntimeError when a coroutine raises it")
    with any_kind.start(actors.Do) as executor:
        got = executor.post((tasks.fail, error)).exception(PATIENCE)
        assert type(got) is type(error)
        assert got.args == error.args
        assert str(got) == str(error)
        assert executor.post((tasks.echo, "alive")).result(PATIENCE) == "alive"


def test_result_raises_what_handle_raised(any_kind):
    with any_kind.start(actors.Do) as executor:
        future = executor.post((tasks.fail, KeyError("missing")))
        with pytest.raises(KeyError, match="missing"):
            future.result(PATIENCE)


def test_an_exception_keeps_its_attributes(any_kind):
    with any_kind.start(actors.Do) as executor:
        error = executor.post((tasks.fail_with_notes,)).exception(PATIENCE)
        assert error.extra == {"more": 1}
        error = executor.post((tasks.fail_with, "Custom", 7, "reason")).exception(PATIENCE)
        assert error.code == 7


def test_a_failing_message_leaves_the_state_alone(any_kind):
    with any_kind.start(actors.Counter, 5) as executor:
        assert executor.post(1).result(PATIENCE) == 6
        assert isinstance(executor.post("not a number").exception(PATIENCE), TypeError)
        assert executor.post(1).result(PATIENCE) == 7


def test_failures_and_answers_interleave(any_kind):
    with any_kind.start(actors.Do) as executor:
        posted = [
            executor.post((tasks.echo, number) if number % 2 else (tasks.fail, KeyError(number)))
            for number in range(100)
        ]
        for number, future in enumerate(posted):
            if number % 2:
                assert future.result(PATIENCE) == number
            else:
                assert future.exception(PATIENCE).args == (number,)


def test_a_thread_actors_exception_is_the_very_object(thread):
    error = ValueError("no")
    with thread.start(actors.Do) as executor:
        assert executor.post((tasks.fail, error)).exception(PATIENCE) is error
    assert "fail" in "".join(traceback.format_tb(error.__traceback__))


def test_a_remote_exception_carries_the_remote_traceback_as_its_cause(any_process):
    with any_process.start(actors.Do) as executor:
        error = executor.post((tasks.fail, ValueError("no"))).exception(PATIENCE)
    text = str(error.__cause__)
    assert "Traceback (most recent call last)" in text
    assert "raise error" in text
    assert "tasks.py" in text
    assert "ValueError: no" in text


def test_an_uncaught_remote_exception_shows_where_it_happened(process):
    with process.start(actors.Do) as executor:
        error = executor.post((tasks.fail, ValueError("no"))).exception(PATIENCE)
    shown = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    assert "in fail" in shown
    assert "direct cause" in shown


def test_the_remote_traceback_shows_what_caused_the_exception(any_process):
    with any_process.start(actors.Do) as executor:
        error = executor.post((tasks.fail_twice,)).exception(PATIENCE)
    assert repr(error) == "ValueError('second trouble')"
    assert "first trouble" in str(error.__cause__)


def test_the_causes_of_a_thread_actors_exception_are_kept(thread):
    with thread.start(actors.Do) as executor:
        error = executor.post((tasks.fail_twice,)).exception(PATIENCE)
    assert isinstance(error.__cause__, KeyError)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exceptions have notes from 3.11 on")
def test_an_exception_keeps_its_notes(kind):
    error = ValueError("no")
    error.add_note("a note")
    with kind.start(actors.Do) as executor:
        assert executor.post((tasks.fail, error)).exception(PATIENCE).__notes__ == ["a note"]


@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        ("Uncrossable", ("odd",), "odd"),
        ("TwoArguments", ("one", "two"), "one"),
        ("Impostor", ("false",), "false"),
        ("Speechless", (), ""),
    ],
    ids=["unpicklable", "cannot be rebuilt", "rebuilt as something else", "speechless"],
)
def test_an_exception_that_cannot_cross_arrives_as_remote_error(process, name, arguments, text):
    with process.start(actors.Do) as executor:
        error = executor.post((tasks.fail_with, name, *arguments)).exception(PATIENCE)
        assert type(error) is futures_actors.RemoteError
        assert isinstance(error, RuntimeError)
        assert error.type_name.rpartition(".")[2] == name
        assert text in error.message
        assert "Traceback (most recent call last)" in error.traceback
        assert "in fail_with" in error.traceback
        assert name in str(error)
        assert text in str(error)
        assert executor.post((tasks.echo, "alive")).result(PATIENCE) == "alive"


@pytest.mark.parametrize("name", ["Uncrossable", "Speechless"])
def test_an_exception_that_need_not_cross_stays_itself(thread, name):
    arguments = ["odd"] * (name == "Uncrossable")
    with thread.start(actors.Do) as executor:
        error = executor.post((tasks.fail_with, name, *arguments)).exception(PATIENCE)
    assert type(error) is getattr(trouble, name)


def test_remote_error_pickles(process):
    with process.start(actors.Do) as executor:
        error = executor.post((tasks.fail_with, "Uncrossable", "odd")).exception(PATIENCE)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is futures_actors.RemoteError
    for name in ("type_name", "message", "traceback"):
        assert getattr(copy, name) == getattr(error, name)
    assert str(copy) == str(error)


def test_a_remote_exception_can_cross_again(process):
    """From an actor's actor, through its owner, to us."""
    with process.start(actors.StartsOthers, process.actor(actors.Do)) as executor:
        error = executor.post((tasks.fail, trouble.Custom(7, "reason"))).exception(PATIENCE)
        assert type(error) is trouble.Custom
        assert "in fail" in str(error.__cause__)
        error = executor.post((tasks.fail_with, "Uncrossable", "odd")).exception(PATIENCE)
        assert type(error) is futures_actors.RemoteError
        assert error.type_name.endswith("Uncrossable")


# The constructor.


def test_a_constructor_that_raises_fails_every_pending_future(kind, gate):
    with kind.start(actors.Fails, KeyError("never mind"), gate) as executor:
        posted = [executor.post(number) for number in range(5)]
        gate.open()
        errors = [future.exception(PATIENCE) for future in posted]
    assert len(set(map(id, errors))) == 5
    for error in errors:
        assert isinstance(error, futures_actors.ActorInitError)
        assert isinstance(error.__cause__, KeyError)
        assert error.__cause__.args == ("never mind",)


def test_a_constructor_that_raises_refuses_later_posts(kind):
    with kind.start(actors.Fails, KeyError("never mind")) as executor:
        observe.init_error(executor)
        for post in (lambda: executor.post(2), lambda: executor.submit(abs, 3)):
            with pytest.raises(futures_actors.ActorInitError) as caught:
                post()
            assert isinstance(caught.value.__cause__, KeyError)


def test_an_init_error_names_the_actor_and_the_trouble(kind):
    with kind.start(actors.Fails, KeyError("never mind")) as executor:
        error = observe.init_error(executor)
    assert kind.actor(actors.Fails).__name__ in str(error)
    assert "never mind" in str(error)


def test_an_init_error_is_what_callers_of_pools_catch(kind):
    with kind.start(actors.Fails, KeyError("never mind")) as executor:
        error = observe.init_error(executor)
    assert isinstance(error, futures_actors.BrokenActor)
    assert isinstance(error, futures.BrokenExecutor)
    assert isinstance(error, BrokenProcessPool) == kind.is_process


@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt("now"), trouble.Final("last")], ids=repr
)
def test_a_constructor_may_raise_anything(kind, error):
    with kind.start(actors.Fails, error) as executor:
        cause = observe.init_error(executor).__cause__
    assert type(cause) is type(error)
    assert cause.args == error.args


def test_an_init_error_of_a_process_shows_the_remote_traceback(process):
    with process.start(actors.Fails, KeyError("never mind")) as executor:
        error = observe.init_error(executor)
    shown = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    assert "in __init__" in shown
    assert "raise error" in shown


def test_what_a_constructor_raises_may_be_unable_to_cross(kind):
    with kind.start(actors.FailsOddly) as executor:
        error = observe.init_error(executor)
    if kind.is_process:
        assert type(error.__cause__) is futures_actors.RemoteError
        assert error.__cause__.type_name.endswith("Uncrossable")
    else:
        assert type(error.__cause__) is trouble.Uncrossable


def test_an_init_error_pickles(kind):
    with kind.start(actors.Fails, KeyError("never mind")) as executor:
        error = observe.init_error(executor)
    copy = pickle.loads(pickle.dumps(error))
    assert isinstance(copy, futures_actors.ActorInitError)
    assert str(copy) == str(error)


def test_messages_cancelled_before_the_constructor_failed_stay_cancelled(kind, gate):
    with kind.start(actors.Fails, KeyError("never mind"), gate) as executor:
        cancelled, pending = executor.post(1), executor.post(2)
        assert cancelled.cancel()
        gate.open()
        assert isinstance(pending.exception(PATIENCE), futures_actors.ActorInitError)
        assert cancelled.cancelled()


# The classes.


@pytest.mark.parametrize(
    ("name", "bases"),
    [
        ("BrokenActor", [futures.BrokenExecutor]),
        ("ActorInitError", ["BrokenActor"]),
        ("ActorDied", ["BrokenActor", BrokenProcessPool]),
        ("MailboxFull", [queue.Full]),
        ("RemoteError", [RuntimeError]),
        ("ActorDeadlock", [RuntimeError]),
    ],
)
def test_each_error_extends_what_callers_already_catch(name, bases):
    error = getattr(futures_actors, name)
    for base in bases:
        base = getattr(futures_actors, base) if isinstance(base, str) else base  # noqa: PLW2901
        assert issubclass(error, base)
    assert error.__module__.partition(".")[0] == "futures_actors"
    assert error.__doc__


def test_a_deadlock_keeps_its_circle_when_it_is_pickled_and_copied():
    error = futures_actors.ActorDeadlock("no end", ["A", "B"])
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(again) is futures_actors.ActorDeadlock
        assert (str(again), again.circle) == ("no end", ("A", "B"))


def test_broken_process_pool_is_the_standard_one():
    from futures_actors import process_actor

    assert process_actor.BrokenProcessPool is BrokenProcessPool
