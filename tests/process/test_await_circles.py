"""Circles of actors that wait for each other, where handlers of some of them await."""

import contextlib
import os
from concurrent import futures

import pytest

import actors
import asynchronous
import circles
import relays
import tasks
from futures_actors import ActorDeadlock, ActorDied
from gates import PATIENCE

#: A letter for each actor, in the order in which they wait: a thread or a process, in capitals if
#: it is async.
CIRCLES = ["Pt", "tP", "Pp", "pP", "PT", "TP", "PP", "TT", "PPP", "TPtp", "ptPT"]

AWAITS = {"T": asynchronous.ThreadAwaits, "P": asynchronous.ProcessAwaits}


@pytest.fixture
def start(thread, process):
    """Start actors, a letter for each; return a way through them."""
    with contextlib.ExitStack() as started:

        def start(letters, **options):
            way = []
            for number, letter in enumerate(letters):
                kind = thread if letter in "tT" else process
                actor = AWAITS[letter] if letter in AWAITS else kind.actor(actors.Do)
                executor = actor.options(name=f"{letter}{number}", **options).executor()
                way.append((started.enter_context(executor), letter.isupper()))
            return way

        yield start


def names(way):
    return sorted(executor.name for executor, _ in way)


@pytest.mark.parametrize("letters", CIRCLES)
def test_a_circle_of_awaits_is_found_and_the_actors_go_on(start, letters):
    way = start(letters)
    for _ in range(2):
        error = circles.go([*way, way[0]]).exception(PATIENCE)
        assert type(error) is ActorDeadlock
        assert sorted(error.circle) == names(way)
        answers = [executor.post((tasks.echo, "lives on")).result(PATIENCE) for executor, _ in way]
        assert answers == ["lives on"] * len(way)


@pytest.mark.parametrize("how", circles.HOWS)
@pytest.mark.parametrize("letters", ["Tt", "Pt", "Pp", "P"])
def test_a_circle_is_found_however_a_handler_awaits(start, letters, how):
    way = start(letters)
    error = circles.go([*way, way[0]], how).exception(PATIENCE)
    if isinstance(error, BaseException) and hasattr(error, "exceptions"):
        (error,) = error.exceptions
    assert isinstance(error, ActorDeadlock)
    assert sorted(error.circle) == names(way)


@pytest.mark.parametrize("find", [circles.find_by_room, circles.find_by_item])
@pytest.mark.parametrize("letters", ["Tt", "Tp", "TT", "TP", "Pt", "Pp", "PT", "PP"])
def test_a_circle_is_found_in_which_a_handler_awaits_room_or_an_item(start, letters, find):
    way = start(letters, mailbox_size=1)
    (first, _), second = way
    for _ in range(2):
        assert first.post((find, *second)).result(PATIENCE) == names(way)
        answers = [executor.post((tasks.echo, "lives on")).result(PATIENCE) for executor, _ in way]
        assert answers == ["lives on"] * 2


@pytest.mark.parametrize("how", circles.OTHERS)
@pytest.mark.parametrize("letters", ["Tt", "Tp", "Pt", "Pp"])
def test_a_handler_that_something_else_wakes_is_in_no_circle(start, letters, how):
    """The second actor waits for the first, which then goes on by itself."""
    first, second = start(letters)
    message = circles.await_with_others, [second, first], how
    assert first[0].post(message).exception(PATIENCE) is None
    assert second[0].post((tasks.echo, "lives on")).result(PATIENCE) == "lives on"


def test_a_handler_that_was_looked_at_frees_what_it_lets_go():
    with asynchronous.ThreadAwaits.executor() as executor:
        assert executor.post((circles.let_go_after_a_wait,)).result(PATIENCE) is True


@pytest.mark.parametrize("letters", ["P", "T"])
def test_handlers_that_take_every_place_are_told_and_no_others(start, gates, letters):
    ((executor, _),) = start(letters, max_concurrency=2)
    assert circles.go([(executor, True)] * 2).result(PATIENCE) == "at the end"
    error = circles.go([(executor, True)] * 3).exception(PATIENCE)
    assert isinstance(error, ActorDeadlock)
    assert error.circle == (executor.name,)


@pytest.mark.parametrize("letters", ["Tt", "Tp", "Pt", "Pp"])
def test_an_await_that_has_ended_closes_no_circle(start, gates, letters):
    """The first has awaited the second, in vain, long enough to be looked at."""
    (one, _), (two, _) = start(letters)
    begins, goes_on, holds = gates(), gates(), gates()
    held = two.post((tasks.pause, holds))
    asking = two.post((relays.ask_later, one, begins, (tasks.echo, "no circle")))
    holds.reached()
    waiting = one.post((circles.give_up_and_block, two, goes_on, (tasks.echo, 1)))
    goes_on.reached()
    holds.open()
    begins.reached()
    begins.open()
    assert futures.wait([asking], timeout=0.4).not_done  # it is looked at after 0.2 s
    goes_on.open()
    assert (held.result(PATIENCE), waiting.result(PATIENCE)) == ("passed", "gave up")
    assert asking.result(PATIENCE) == "no circle"


@pytest.mark.parametrize(
    ("body", "ask"),
    [(actors.ProcessDo, relays.ask_later), (asynchronous.ProcessAwaits, circles.ask_later)],
    ids=["sync", "async"],
)
def test_the_end_of_the_last_free_member_of_a_pool_is_found(gates, tmp_path, body, ask):
    """Two members wait for the third. It dies, and one of the two is told: the other goes on."""
    pid = tmp_path / "pid"
    with body.pool(3, max_restarts=0).executor() as pool:
        held = [gates() for _ in range(3)]
        asked = [pool.post((ask, pool, gate, (tasks.echo, "answered"))) for gate in held[:2]]
        dying = pool.post((tasks.pause_with_pid, held[2], str(pid)))
        for gate in held:
            gate.reached()
        for gate in held[:2]:
            gate.open()
        assert len(futures.wait(asked, timeout=0.4).not_done) == 2  # they are looked at after 0.2 s
        os.kill(int(pid.read_text()), tasks.KILL)
        assert isinstance(dying.exception(PATIENCE), ActorDied)
        found = relays.deadlock_among(*asked)
        assert set(found.circle) <= {member.name for member in pool.members}


@pytest.mark.parametrize("body", [actors.ThreadDo, actors.ProcessDo, asynchronous.ProcessAwaits])
def test_a_circle_of_actors_that_an_actor_has_started_is_found(process, body):
    is_async = body is asynchronous.ProcessAwaits
    with process.start(actors.Do) as executor:
        names = executor.post((circles.circle_inside, body, is_async)).result(PATIENCE)
    assert names == ["inner 0", "inner 1"]
