"""Pools of processes: a member's death, what is taken back from a busy one, and big arrays."""

import contextlib
import itertools
import os
import random
from concurrent import futures

import pytest

import actors
import asynchronous
import observe
import tasks
from futures_actors import ActorDied, BrokenActor
from gates import PATIENCE

try:
    import numpy as np
except ImportError:
    np = None


@pytest.fixture(params=["Process", "AsyncProcess"])
def start(request):
    """Start a pool of processes: `start(size, body, *args, max_restarts=...)`."""

    def start(size, body=actors.Do, /, *args, **options):
        return actors.actor_class(body, request.param).pool(size, **options).executor(*args)

    return start


def outcome(future):
    try:
        return future.result(PATIENCE)
    except BrokenActor as error:
        return error


def test_messages_that_quick_ones_led_ahead_are_taken_back_from_a_slow_one(start, gate):
    with start(3) as pool:
        # From these the pool learns that many may be sent ahead.
        quick = [pool.post((tasks.echo, number)) for number in range(3000)]
        slow = pool.post((tasks.pause, gate))
        behind = [pool.post((tasks.echo, number)) for number in range(1000)]
        gate.reached()
        assert [one.result(PATIENCE) for one in quick] == list(range(3000))
        assert [one.result(PATIENCE) for one in behind] == list(range(1000))
        assert slow.running()
        gate.open()
        assert slow.result(PATIENCE) == "passed"


def test_no_message_waits_behind_a_slow_one_whatever_came_before(start, gate):
    chosen = random.Random(7)
    with start(2) as pool:
        for _ in range(30):
            messages = [(tasks.echo, number) for number in range(60)]
            slow = chosen.randrange(60)
            messages[slow] = (tasks.pause, gate)
            posted = [pool.post(message) for message in messages]
            others = [one for at, one in enumerate(posted) if at != slow]
            _, waiting = futures.wait(others, PATIENCE)
            assert not waiting
            assert not posted[slow].done()
            gate.open()
            gate.reached()
            posted[slow].result(PATIENCE)


def test_a_message_that_was_taken_back_can_be_cancelled(start, gates):
    first, second = gates(), gates()
    with start(2) as pool:
        futures.wait([pool.post((tasks.echo, number)) for number in range(2000)], PATIENCE)
        held = [pool.post((tasks.pause, gate)) for gate in (first, second)]
        behind = [pool.post((tasks.remember, number)) for number in range(200)]
        for gate in (first, second):
            gate.reached()
        assert all(one.cancel() for one in behind[::2])
        first.open()
        assert [one.result(PATIENCE) is not None for one in behind[1::2]] == [True] * 100
        second.open()
        assert [one.result(PATIENCE) for one in held] == ["passed"] * 2
        logs = [one.result(PATIENCE) for one in pool.broadcast((tasks.recall,))]
        assert sorted(itertools.chain(*logs)) == list(range(1, 200, 2))


def test_a_member_that_dies_fails_what_it_had_begun_and_others_do_the_rest(start, gate, tmp_path):
    path = tmp_path / "pid"
    with start(3) as pool:
        futures.wait([pool.post((tasks.echo, number)) for number in range(1000)], PATIENCE)
        running = pool.post((tasks.pause_with_pid, gate, path))
        behind = [pool.post((tasks.echo, number)) for number in range(300)]
        gate.reached()
        pid = int(path.read_text())
        (busy,) = [one for one in pool.stats().members if one.pid == pid]
        os.kill(busy.pid, tasks.KILL)
        error = running.exception(PATIENCE)
        assert isinstance(error, ActorDied)
        assert error.started
        assert busy.name in str(error)
        assert [one.result(PATIENCE) for one in behind] == list(range(300))
        # It is started again by default.
        assert len({one.result(PATIENCE) for one in pool.broadcast((tasks.get_pid,))}) == 3
        assert pool.stats().restarts == 1


def test_an_async_member_that_dies_fails_all_that_it_had_begun_and_the_rest_goes_on(gates):
    with asynchronous.ProcessAwaits.pool(2, max_concurrency=3).executor() as pool:
        futures.wait([pool.post((tasks.echo, number)) for number in range(1000)], PATIENCE)
        held = [gates() for _ in range(6)]
        running = [
            pool.members[number % 2].post((asynchronous.pause, gate))
            for number, gate in enumerate(held)
        ]
        for gate in held:
            gate.reached()
        free = [pool.post((tasks.remember, number)) for number in range(50)]
        keyed = [pool.members[1].post((tasks.remember, number)) for number in range(50, 60)]
        os.kill(pool.stats().members[1].pid, tasks.KILL)
        for one in running[1::2]:
            error = one.exception(PATIENCE)
            assert isinstance(error, ActorDied)
            assert error.started
        for one in [*free, *keyed]:
            one.result(PATIENCE)
        assert not any(one.done() for one in running[::2])
        for gate in held[::2]:
            gate.open()
        assert [one.result(PATIENCE) for one in running[::2]] == ["passed"] * 3
        logs = [one.result(PATIENCE) for one in pool.broadcast((tasks.recall,))]
        assert sorted(itertools.chain(*logs)) == list(range(60))
        assert [item for item in logs[1] if item >= 50] == list(range(50, 60))


def test_messages_ahead_of_an_async_member_without_a_free_place_are_taken_back(gates):
    with asynchronous.ProcessAwaits.pool(2, max_concurrency=2).executor() as pool:
        held = [gates() for _ in range(3)]
        quick = [pool.post((tasks.echo, number)) for number in range(3000)]
        slow = [pool.post((asynchronous.pause, gate)) for gate in held]
        behind = [pool.post((tasks.echo, number)) for number in range(1000)]
        for gate in held:
            gate.reached()
        assert [one.result(PATIENCE) for one in quick] == list(range(3000))
        # One of four places is free.
        assert [one.result(PATIENCE) for one in behind] == list(range(1000))
        assert all(one.running() for one in slow)
        for gate in held:
            gate.open()


def test_an_async_member_that_takes_back_slow_messages_takes_more_for_its_free_place(
    gates, tmp_path
):
    late, blocks, *held = [gates() for _ in range(5)]
    path = tmp_path / "path"
    with asynchronous.StartsLate.pool(2, max_concurrency=3).executor(path, late) as pool:
        # From these the pool learns that several may be sent ahead.
        futures.wait([pool.post((tasks.echo, number)) for number in range(3000)], PATIENCE)
        path.touch()
        os.kill(pool.stats().members[1].pid, tasks.KILL)
        late.reached()
        # The other one has two of its own, one of which blocks, and gets all that is for both.
        own = [(asynchronous.pause, held[0]), (tasks.pause, blocks)]
        running = [pool.members[0].post(message) for message in own]
        for gate in (held[0], blocks):
            gate.reached()
        running += [pool.post((asynchronous.pause, gate)) for gate in held[1:]]
        quick = [pool.post((tasks.echo, number)) for number in range(2)]
        # The half of these four that is taken back first never ends.
        late.open()
        for gate in held[1:]:
            gate.reached()
        assert quick[0].result(PATIENCE) == 0
        assert not any(one.done() for one in running)
        for gate in (blocks, *held):
            gate.open()
        assert quick[1].result(PATIENCE) == 1
        assert [one.result(PATIENCE) for one in running] == ["passed"] * 4


def test_keyed_messages_and_broadcasts_wait_for_the_next_start(start, gates):
    first = gates()
    with start(2) as pool:
        member = pool.keyed("a")
        running = pool.post((tasks.pause, first), key="a")
        first.reached()
        keyed = [pool.post((tasks.remember, number), key="a") for number in range(50)]
        sent = pool.broadcast((tasks.get_pid,))
        pid = pool.stats().members[pool.members.index(member)].pid
        os.kill(pid, tasks.KILL)
        assert isinstance(running.exception(PATIENCE), ActorDied)
        assert [one.result(PATIENCE) for one in keyed] == list(range(1, 51))
        pids = [one.result(PATIENCE) for one in sent]
        assert len(set(pids)) == 2
        assert pid not in pids
        assert member.post((tasks.recall,)).result(PATIENCE) == list(range(50))


@pytest.mark.parametrize("restarts", [0, 1])
def test_a_member_that_is_dead_for_good_fails_its_keys_and_the_rest_goes_on(start, gate, restarts):
    with start(2, max_restarts=restarts) as pool:
        member = pool.keyed("a")
        index = pool.members.index(member)
        other = next(key for key in range(50) if pool.keyed(key) != member)
        for _ in range(restarts):
            dies = pool.post((tasks.exit_at_once, 3), key="a")
            assert isinstance(dies.exception(PATIENCE), ActorDied)
        running = pool.post((tasks.pause, gate), key="a")
        gate.reached()
        keyed = [pool.post((tasks.echo, number), key="a") for number in range(20)]
        free = [pool.post((tasks.echo, number)) for number in range(100)]
        sent = pool.broadcast((tasks.echo, "sent"))
        os.kill(pool.stats().members[index].pid, tasks.KILL)
        assert running.exception(PATIENCE).started
        for one in [*keyed, sent[index]]:
            error = one.exception(PATIENCE)
            assert isinstance(error, ActorDied)
            assert not error.started
        assert [one.result(PATIENCE) for one in free] == list(range(100))
        assert sent[1 - index].result(PATIENCE) == "sent"
        assert pool.post((tasks.echo, 1), key=other).result(PATIENCE) == 1
        with pytest.raises(ActorDied):
            pool.post((tasks.echo, 1), key="a").result(PATIENCE)
        late = pool.broadcast((tasks.echo, "late"))
        assert isinstance(late[index].exception(PATIENCE), ActorDied)
        assert late[1 - index].result(PATIENCE) == "late"
        assert pool.stats().state == "running"
        assert pool.stats().members[index].state == "broken"


def test_a_member_is_started_again_three_times_within_a_minute_by_default(start):
    with start(2) as pool:
        dies = pool.keyed("a")
        for restarts in range(4):
            assert dies.post((tasks.echo, "alive")).result(PATIENCE) == "alive"
            assert pool.stats().restarts == restarts
            assert isinstance(dies.post((tasks.exit_at_once, 3)).exception(PATIENCE), ActorDied)
        assert isinstance(outcome_of(lambda: dies.post((tasks.echo, 1))), ActorDied)
        assert pool.stats().restarts == 3
        assert [pool.post((tasks.echo, n)).result(PATIENCE) for n in range(20)] == list(range(20))


def outcome_of(post):
    """What becomes of a message: that it is refused counts, too."""
    try:
        return outcome(post())
    except BrokenActor as error:
        return error


def test_when_no_member_is_left_all_fails(start, gates):
    held = [gates() for _ in range(2)]
    pool = start(2, max_restarts=0)
    running = [pool.post((tasks.pause, gate)) for gate in held]
    for gate in held:
        gate.reached()
    waiting = [pool.post((tasks.echo, number)) for number in range(50)]
    for member in pool.stats().members:
        os.kill(member.pid, tasks.KILL)
    for one in running:
        assert one.exception(PATIENCE).started
    for one in waiting:
        error = one.exception(PATIENCE)
        assert isinstance(error, ActorDied)
        assert not error.started
    with pytest.raises(ActorDied):
        pool.post((tasks.echo, 1))
    pool.shutdown()
    assert pool.stats().state == "broken"


def test_a_member_that_dies_in_its_constructor_is_started_again(start, tmp_path):
    with start(2, actors.DiesOnce, tmp_path / "died") as pool:
        assert [one.result(PATIENCE) for one in pool.broadcast(1)] == [1, 1]
        assert [pool.post(number).result(PATIENCE) for number in range(20)] == list(range(20))


def test_every_message_ends_once_and_started_is_exact_in_a_storm_of_kills(start, tmp_path):
    with start(3, max_restarts=1000) as pool:
        storm(pool, tmp_path / "begun")


def test_a_storm_of_kills_over_members_that_handle_several_messages_at_once(tmp_path):
    pool = asynchronous.ProcessAwaits.pool(3, max_concurrency=4, max_restarts=1000).executor()
    with pool:
        storm(pool, tmp_path / "begun")


def storm(pool, log):
    """Post messages, some of which kill, and kill members, which write down what they begin."""
    chosen = random.Random(11)
    posted = {}
    for number in range(600):
        key = number % 7 if chosen.random() < 0.3 else ...
        posted[number] = pool.post((tasks.begin, str(log), number, chosen.random() < 0.01), key=key)
        if number % 100 == 60:
            pids = [one.pid for one in pool.stats().members if one.pid]
            # It may have died by a message of the storm.
            with contextlib.suppress(IndexError, OSError):
                os.kill(chosen.choice(pids), tasks.KILL)
    got = {number: outcome(future) for number, future in posted.items()}
    logs = log.parent.glob(f"{log.name}.*")
    begun = [int(line) for one in logs for line in one.read_text().split()]
    assert len(begun) == len(set(begun)), "a message was handled twice"
    begun = set(begun)
    for number, what in got.items():
        if isinstance(what, ActorDied):
            # It was killed before it wrote, or after: what has not started has not written.
            assert what.started or number not in begun, number
        else:
            assert what == number
            assert number in begun
    assert pool.stats().restarts > 0


@observe.needs_numpy
def test_big_arrays_go_to_whichever_member_gets_the_message(start, gate):
    with start(3) as pool:
        array = np.arange(300_000)
        pool.post((tasks.pause, gate))
        gate.reached()
        posted = [pool.post((tasks.add, array, number)) for number in range(12)]
        posted += [pool.post((tasks.add, array, number), key=number) for number in range(12, 24)]
        posted += pool.broadcast((tasks.add, array, 24))
        gate.open()
        for number, one in enumerate(posted):
            assert (one.result(PATIENCE) == array + min(number, 24)).all()


def test_the_constructors_arguments_are_pickled_once_for_all_members(start):
    pickled = []
    with start(4, actors.Arguments, Counts(pickled)) as pool:
        assert len(pool) == 4
        for one in pool.broadcast(None):
            assert one.result(PATIENCE)
    assert pickled == [1]


class Counts:
    def __init__(self, pickled):
        self.pickled = pickled

    def __reduce__(self):
        self.pickled.append(1)
        return Counts, ([],)


def test_an_argument_that_cannot_be_pickled_starts_nothing(start):
    import threading

    with pytest.raises(TypeError, match="pickle"):
        start(3, actors.Arguments, threading.Lock())


def test_a_pool_that_is_shut_down_while_a_member_is_started_again_handles_all(start, gate):
    pool = start(2)
    running = pool.post((tasks.pause, gate))
    gate.reached()
    waiting = [pool.post((tasks.echo, number)) for number in range(100)]
    waiting += [pool.post((tasks.echo, number), key=number) for number in range(100, 200)]
    for member in pool.stats().members:
        os.kill(member.pid, tasks.KILL)
    pool.shutdown()
    assert isinstance(running.exception(), ActorDied)
    got = [outcome(one) for one in waiting]
    assert all(isinstance(one, ActorDied) or one == at for at, one in enumerate(got))
    # The second was in none of them, so that what had not begun was handled.
    lost = [one for one in got if isinstance(one, ActorDied)]
    assert all(one.started for one in lost)
