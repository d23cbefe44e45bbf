"""Pools: how they start and how they end."""

import itertools
from concurrent import futures

import pytest

import actors
import futures_actors
import pools
import programs
import tasks
from futures_actors import ActorInitError
from gates import PATIENCE

# Starting.


class FailsAt:
    """Its constructor takes the place that is next, and raises in one of them."""

    def __init__(self, folder, fails, gate):
        for place in itertools.count():
            try:
                (folder / f"{place}").touch(exist_ok=False)
                break
            except FileExistsError:
                continue
        gate.wait()
        if place in fails:
            raise ValueError("no place for it")

    def handle(self, message):
        return message


async def _handle(_self, message):
    return message


for _kind, _parts in (("", {}), ("Async", {"handle": _handle})):
    for _base in ("Thread", "Process"):
        _name = f"{_kind}{_base}FailsAt"
        _bases = (FailsAt, getattr(futures_actors, f"{_base}Actor"))
        globals()[_name] = type(_name, _bases, {"__module__": __name__} | _parts)


def test_no_message_begins_before_every_constructor_has_returned(pool_kind, gate, tmp_path):
    folder = tmp_path / "places"
    folder.mkdir()
    pool = globals()[f"{pool_kind.prefix}FailsAt"].pool(3).executor(folder, [], gate)
    posted = [pool.post(1), pool.post(2, key="a"), *pool.broadcast(3)]
    for _ in range(3):
        gate.reached()
    gate.open(2)
    programs.wait_until(lambda: len(list(folder.iterdir())) == 3)
    futures.wait(posted, timeout=0.1)
    assert not any(one.done() or one.running() for one in posted)
    gate.open()
    assert [one.result(PATIENCE) for one in posted] == [1, 2, 3, 3, 3]
    pool.shutdown()


def test_a_constructor_that_raises_breaks_the_pool(pool_kind, gate, tmp_path):
    folder = tmp_path / "places"
    folder.mkdir()
    pool = globals()[f"{pool_kind.prefix}FailsAt"].pool(3).executor(folder, [2], gate)
    posted = [pool.post(1), pool.post(2, key="a"), *pool.broadcast(3)]
    for _ in range(3):
        gate.reached()
    gate.open(3)
    text = rf"actor {pool_kind.prefix}FailsAt\[[012]\] raised ValueError: no place for it"
    for one in posted:
        with pytest.raises(ActorInitError, match=text):
            one.result(PATIENCE)
    for post in (
        pool.post,
        lambda message: pool.post(message, key="a"),
        pool.broadcast,
        pool.members[0].post,
        pool.members[2].post,
        pool.submit,
    ):
        with pytest.raises(ActorInitError, match=text):
            post(len)
    pool.shutdown()
    stats = pool.stats()
    assert stats.state == "broken"
    assert stats.handled == 0


def test_all_members_of_a_broken_pool_refuse_with_the_error_that_broke_it(
    pool_kind, gate, tmp_path
):
    for attempt in range(4):
        folder = tmp_path / f"{attempt}"
        folder.mkdir()
        with globals()[f"{pool_kind.prefix}FailsAt"].pool(3).executor(folder, [0], gate) as pool:
            posted = pool.post(1)
            gate.open(3)  # only now, since a broken pool accepts nothing
            assert isinstance(posted.exception(PATIENCE), ActorInitError)
            for member in pool.members:  # at once: nothing else has to come first
                with pytest.raises(ActorInitError, match="no place for it"):
                    member.post(1).result(PATIENCE)


def test_shutdown_without_messages_waits_for_the_constructors_alone(start_pool):
    start_pool(5).shutdown()


# The end.


def test_shutdown_waits_for_all_messages(start_pool):
    pool = start_pool(3)
    posted = [pool.post((tasks.echo, number)) for number in range(200)]
    posted += [pool.post((tasks.echo, number), key=number) for number in range(200)]
    pool.shutdown()
    assert all(one.done() for one in posted)
    assert [one.result() for one in posted] == [*range(200), *range(200)]
    for post in (pool.post, pool.broadcast, pool.members[0].post, pool.keyed(1).post):
        with pytest.raises(RuntimeError, match="after shutdown"):
            post((tasks.echo, 1))
    assert pool.stats().state == "stopped"
    assert pool.stats().handled == 400


def test_shutdown_can_cancel_what_has_not_begun(start_pool, gates):
    pool = start_pool(2)
    held, running = pools.occupy(pool, gates, 2)
    waiting = [pool.post((tasks.echo, 1)) for _ in range(50)]
    waiting += [pool.post((tasks.echo, 1), key=number) for number in range(50)]
    pool.shutdown(wait=False, cancel_futures=True)
    assert all(one.cancelled() for one in waiting)
    for gate in held:
        gate.open()
    pool.shutdown()
    assert [one.result(PATIENCE) for one in running] == ["passed"] * 2


def test_shutdown_times_out(start_pool, gates):
    pool = start_pool(2)
    (gate,), _ = pools.occupy(pool, gates, 1)
    with pytest.raises(TimeoutError, match="has not ended"):
        pool.shutdown(timeout=0.05)
    gate.open()
    pool.shutdown()


@pytest.mark.parametrize("force", ["terminate", "kill", "terminate_workers", "kill_workers"])
def test_a_pool_is_ended_by_force(pool_kind, start_pool, gates, force):
    pool = start_pool(2)
    held, running = pools.occupy(pool, gates, 2)
    waiting = [pool.post((tasks.echo, 1)), pool.post((tasks.echo, 1), key="a")]
    getattr(pool, force)()
    for one in waiting:
        with pytest.raises(futures_actors.BrokenActor):
            one.result(PATIENCE)
    for gate in held:
        gate.open()
    for one in running:
        if pool_kind.is_process:
            with pytest.raises(futures_actors.ActorDied) as caught:
                one.result(PATIENCE)
            assert caught.value.started
        else:
            assert one.result(PATIENCE) == "passed"
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.post((tasks.echo, 1))
    pool.shutdown()
    assert pool.stats().state == "stopped"


def test_on_stop_runs_in_each_member(pool_kind, tmp_path):
    path = tmp_path / "written"
    with pool_kind.actor(actors.Writes).pool(3).executor(path) as pool:
        pool.broadcast("message")
    lines = [line.split()[0] for line in path.read_text().splitlines()]
    assert sorted(lines) == ["message"] * 3 + ["stop"] * 3


def test_a_with_block_left_by_ctrl_c_cancels_what_has_not_begun(start_pool, gates):
    with pytest.raises(KeyboardInterrupt), start_pool(2) as pool:
        held, _ = pools.occupy(pool, gates, 2)
        waiting = [pool.post((tasks.echo, 1)) for _ in range(10)]
        for gate in held:
            gate.open()
        raise KeyboardInterrupt
    assert all(one.done() for one in waiting)


def test_posted_messages_are_handled_at_the_exit_of_the_program(script, pool_kind):
    source = f"""
import os
from futures_actors import {pool_kind.base}Actor as Base
class Writes(Base):
    {"async " if pool_kind.is_async else ""}def handle(self, message):
        os.write(1, f"{{message}}\\n".encode())
pool = Writes.pool(3).executor()
for number in range(50):
    pool.post(number)
    pool.post(number, key=number)
"""
    ended = script(source).check()
    assert sorted(map(int, ended.out.split())) == sorted([*range(50), *range(50)])
