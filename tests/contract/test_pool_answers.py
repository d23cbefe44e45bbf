"""Pools: each answer goes to the message that asked for it, whatever else the pool is asked."""

import os

import pytest

import actors
import pools
import tasks
from futures_actors import ActorDied
from gates import PATIENCE


def echoes(numbers):
    return [(tasks.echo, number) for number in numbers]


def test_imap_gives_its_own_answers_whatever_was_posted_before(start_pool):
    with start_pool(3) as pool:
        before = [pool.post(message) for message in echoes(range(100))]
        assert list(pool.imap(echoes(range(100, 200)), timeout=PATIENCE)) == list(range(100, 200))
        assert [one.result(PATIENCE) for one in before] == list(range(100))


def test_iterators_that_are_read_in_turn_have_their_own_answers(start_pool):
    with start_pool(3) as pool:
        first = pool.imap(echoes(range(100)), buffersize=7, timeout=PATIENCE)
        second = pool.imap_unordered(echoes(range(100, 200)), buffersize=7, timeout=PATIENCE)
        pairs = list(zip(first, second, strict=True))
        assert [one for one, _ in pairs] == list(range(100))
        assert sorted(other for _, other in pairs) == list(range(100, 200))


@pytest.mark.parametrize("imap", ["imap", "imap_unordered"])
def test_exceptions_cost_neither_members_nor_other_answers(start_pool, imap):
    with start_pool(3) as pool:
        messages = echoes(range(90))
        for place in range(0, 90, 3):
            messages[place] = (tasks.fail, ValueError(place))
        answers = getattr(pool, imap)(messages, timeout=PATIENCE)
        got, raised = [], 0
        for _ in messages:
            try:
                got.append(next(answers))
            except ValueError:
                raised += 1
        assert next(answers, "the end") == "the end"
        assert sorted(got) == [number for number in range(90) if number % 3]
        assert raised == 30
        assert [one.result(PATIENCE) for one in pool.broadcast((tasks.echo, "here"))] == [
            "here"
        ] * 3
        assert pool.stats().failed == 30


def test_an_iterator_that_is_dropped_leaves_all_members_to_others(start_pool, gates):
    with start_pool(2) as pool:
        held, _ = pools.occupy(pool, gates, 2)
        answers = pool.imap(echoes(range(100)), buffersize=5)
        del answers
        for gate in held:
            gate.open()
        assert list(pool.imap(echoes(range(50)), timeout=PATIENCE)) == list(range(50))
        # None of the five has begun.
        assert pool.stats().cancelled == 5


@pytest.mark.parametrize("restarts", [0, 3])
def test_imap_goes_on_with_the_other_members_when_one_dies(process, restarts, gate, tmp_path):
    path = tmp_path / "pid"
    with process.actor(actors.Do).pool(3, max_restarts=restarts).executor() as pool:
        messages = [(tasks.pause_with_pid, gate, path), *echoes(range(400))]
        answers = pool.imap(messages, buffersize=100, timeout=PATIENCE)
        gate.reached()
        os.kill(int(path.read_text()), tasks.KILL)
        with pytest.raises(ActorDied) as caught:
            next(answers)
        assert caught.value.started
        assert list(answers) == list(range(400))
        # The dead one is handed no work, unless it has been started again.
        assert list(pool.imap(echoes(range(200)), timeout=PATIENCE)) == list(range(200))
