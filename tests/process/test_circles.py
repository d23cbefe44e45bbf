"""Circles of actors that wait for each other, where some of them are processes."""

import contextlib
import os
from concurrent import futures

import pytest

import actors
import programs
import relays
import tasks
from futures_actors import ActorDeadlock, ActorDied, MailboxFull
from gates import PATIENCE

#: A letter for each actor, in the order in which they wait: a thread or a process.
CIRCLES = ["tp", "pt", "pp", "ppp", "tpp", "ptpt"]


@pytest.fixture
def start(thread, process):
    """Start actors, a letter for each: `start("tp", mailbox_size=1)`."""
    kinds = {"t": thread, "p": process}
    with contextlib.ExitStack() as started:

        def start(letters, **options):
            found = []
            for number, letter in enumerate(letters):
                actor = kinds[letter].actor(actors.Do)
                executor = actor.options(name=f"{letter}{number}", **options).executor()
                found.append(started.enter_context(executor))
            return found

        yield start


@pytest.mark.parametrize("letters", CIRCLES)
@pytest.mark.parametrize("timeout", [None, PATIENCE])
def test_a_circle_of_waits_is_found_in_one_of_them(start, letters, timeout):
    executors = start(letters)
    way = [*executors[1:], executors[0]]
    error = executors[0].post((relays.pass_along, way, timeout)).exception(PATIENCE)
    assert type(error) is ActorDeadlock
    assert sorted(error.circle) == sorted(executor.name for executor in executors)


@pytest.mark.parametrize("letters", CIRCLES)
def test_the_circle_is_named_in_order_and_the_actors_go_on(start, letters):
    executors = start(letters)
    names = tuple(executor.name for executor in executors)
    for _ in range(2):
        way = [*executors[1:], executors[0]]
        circle = executors[0].post((relays.find_circle, way)).result(PATIENCE)
        first = circle.index(names[0])
        assert circle[first:] + circle[:first] == names


@pytest.mark.parametrize(
    "how", [("result",), ("result", PATIENCE), ("exception",), ("exception", 0.01)]
)
def test_an_actor_that_waits_for_itself_is_told_at_once(start, how):
    (executor,) = start("p")
    error = executor.post((relays.wait_for_itself, executor, *how)).exception(PATIENCE)
    assert type(error) is ActorDeadlock
    assert error.circle == (executor.name,)
    assert "would wait for itself" in str(error)
    assert executor.post((tasks.echo, "lives on")).result(PATIENCE) == "lives on"


def test_an_actor_without_room_for_itself_is_told_at_once(start, gate):
    (executor,) = start("p", mailbox_size=1)
    filling = executor.post((relays.fill_up, executor, gate, 3))
    gate.open()
    error = filling.exception(PATIENCE)
    assert isinstance(error, ActorDeadlock)
    assert isinstance(error, MailboxFull)
    assert error.circle == (executor.name,)
    # What had a place was accepted, and nothing else.
    assert executor.post((tasks.recall,)).result(PATIENCE) == [0]


@pytest.mark.parametrize("letters", ["tp", "pt", "pp"])
def test_a_circle_of_a_wait_for_room_and_one_for_an_answer_is_found(start, gate, letters):
    filling, asking = start(letters, mailbox_size=1)
    first = filling.post((relays.fill_up, asking, gate, 3))
    second = asking.post((relays.ask_later, filling, gate, (tasks.echo, 1)))
    gate.reached()
    gate.reached()
    gate.open(2)
    found = relays.deadlock_among(first, second)
    assert sorted(found.circle) == sorted([filling.name, asking.name])


@pytest.mark.parametrize("letters", ["tp", "pt", "pp"])
def test_a_wait_that_has_ended_closes_no_circle(start, gates, letters):
    """The first has waited for the second, in vain, long enough to be looked at."""
    one, two = start(letters)
    begins, goes_on = gates(), gates()
    asking = two.post((relays.ask_later, one, begins, (tasks.echo, "no circle")))
    begins.reached()
    waiting = one.post((relays.give_up_and_go_on, two, goes_on, 0.3))
    goes_on.reached()
    begins.open()
    assert futures.wait([asking], timeout=0.4).not_done  # it is looked at after 0.2 s
    goes_on.open()
    assert waiting.result(PATIENCE) == "gave up"
    assert asking.result(PATIENCE) == "no circle"


def test_a_long_wait_that_ends_is_no_deadlock(start, gate):
    slow, asking = start("pp")
    for _ in range(2):
        asked = asking.post((relays.ask, slow, (tasks.pause, gate)))
        gate.reached()
        assert futures.wait([asked], timeout=0.4).not_done  # it is looked at after 0.2 s
        gate.open()
        assert asked.result(PATIENCE) == "passed"


def test_threads_of_a_process_may_wait_for_its_actor(start, gate):
    (executor,) = start("p")
    executor.post((relays.wait_in_a_thread, executor, gate)).result(PATIENCE)
    gate.reached()


def test_an_actor_that_dies_in_its_wait_leaves_no_circle(start, gate):
    """Its wait was looked at before it died, and its next process waits for nothing."""
    (slow,) = start("t")
    (dying,) = start("p", max_restarts=1)
    slow.post((tasks.pause, gate))
    gate.reached()
    pid = dying.post((tasks.get_pid,)).result(PATIENCE)
    asked = dying.post((relays.ask, slow, (tasks.echo, 1)))
    # Otherwise the next process would begin it, and wait for the slow one.
    programs.wait_until(asked.running)
    assert futures.wait([asked], timeout=0.4).not_done  # it is looked at after 0.2 s
    os.kill(pid, tasks.KILL)
    assert isinstance(asked.exception(PATIENCE), ActorDied)
    gate.open()
    asked = slow.post((relays.ask, dying, (tasks.echo, "no circle")))
    assert asked.result(PATIENCE) == "no circle"
