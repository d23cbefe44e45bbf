"""Pools of async actors: each member handles up to `max_concurrency` messages at once."""

import itertools
from concurrent import futures

import pytest

import asynchronous
import futures_actors
import pools
import tasks
from futures_actors import ActorInitError, MailboxFull
from gates import PATIENCE

MEMBERS, PLACES = 2, 3
ALL = MEMBERS * PLACES


@pytest.fixture
def start(async_kind):
    """Start a pool of async actors, of `MEMBERS` members with `PLACES` places each."""

    def start(*args, size=MEMBERS, max_concurrency=PLACES, **options):
        actor = getattr(asynchronous, f"{async_kind.base}Awaits")
        pool = actor.pool(size, max_concurrency=max_concurrency, **options)
        return pool.executor(*args)

    return start


def occupy(pool, gates, places=ALL):
    """Have so many messages await a gate each, one after the other; return gates and futures."""
    held, running = [], []
    for gate in (gates() for _ in range(places)):
        running.append(pool.post((asynchronous.pause, gate)))
        gate.reached()
        held.append(gate)
    return held, running


def release(gates):
    for gate in gates:
        gate.open()


def log(pool):
    """Return what all members remember."""
    return [one.result(PATIENCE) for one in pool.broadcast((tasks.recall,))]


# Places.


def test_the_members_handle_as_many_messages_at_once_as_they_have_places(start, gates):
    with start() as pool:
        held, running = occupy(pool, gates)
        waiting = [pool.post((tasks.remember, number)) for number in range(3)]
        assert all(one.running() for one in running)
        assert not any(one.running() or one.done() for one in waiting)
        stats = pool.stats()
        assert (stats.running, stats.depth) == (ALL, 3)
        assert [one.running for one in stats.members] == [PLACES, PLACES]
        held[4].open()
        assert running[4].result(PATIENCE) == "passed"
        for one in waiting:
            one.result(PATIENCE)
        # One place was free, so that they were handled in order, by one member.
        release(held[:4] + held[5:])
        assert sorted(log(pool)) == [[], [0, 1, 2]]


def test_a_message_goes_to_the_process_with_the_least_to_do(gates):
    actor = asynchronous.ProcessAwaits
    with actor.pool(MEMBERS, max_concurrency=PLACES).executor() as pool:
        log(pool)  # both have answered
        held = []
        for running in ([0, 1], [1, 1], [1, 2], [2, 2], [2, 3], [3, 3]):
            held += occupy(pool, gates, 1)[0]
            assert sorted(one.running for one in pool.stats().members) == running
        release(held)


def test_each_place_takes_the_next_message_when_it_is_free(start, gates):
    with start() as pool:
        held, running = occupy(pool, gates)
        short = [pool.post((tasks.echo, number)) for number in range(200)]
        held[2].open()
        assert [one.result(PATIENCE) for one in short] == list(range(200))
        assert sum(one.done() for one in running) == 1
        release(held[:2] + held[3:])


def test_no_message_waits_for_an_event_loop_that_stands_still(start, gate):
    with start() as pool:
        # It blocks the event loop of its member, which has free places.
        still = pool.post((tasks.pause, gate))
        gate.reached()
        short = [pool.post((tasks.echo, number)) for number in range(100)]
        assert [one.result(PATIENCE) for one in short] == list(range(100))
        assert still.running()
        gate.open()
        assert still.result(PATIENCE) == "passed"


def test_many_messages_of_many_threads_are_each_handled_once(start):
    with start(size=3, max_concurrency=5) as pool, futures.ThreadPoolExecutor(4) as threads:
        posts = [
            threads.submit(lambda n=n: pool.post((tasks.remember, n), key=n if n % 3 else ...))
            for n in range(1500)
        ]
        for one in posts:
            one.result(PATIENCE).result(PATIENCE)
        assert sorted(itertools.chain(*log(pool))) == list(range(1500))


# Keys and broadcasts.


async def begin(actor, item, gate=None):
    """Remember the item before the first `await`."""
    actor.log.append(item)
    if gate is not None:
        await asynchronous.pause(actor, gate)
    return pools.where(actor)


def test_messages_of_a_key_begin_in_order_on_their_member(start):
    with start() as pool:
        keys = [f"key {number}" for number in range(8)]
        posted = {key: [] for key in keys}
        for number in range(60):
            for key in keys:
                posted[key].append(pool.post((begin, (key, number)), key=key))
            pool.post((tasks.echo, number))
        for ends in posted.values():
            assert len({one.result(PATIENCE) for one in ends}) == 1
        logs = log(pool)
        for key in keys:
            of_key = [[item for item in log if item[0] == key] for log in logs]
            assert [log for log in of_key if log] == [[(key, number) for number in range(60)]]


def test_a_key_has_all_places_of_its_member_and_then_waits_although_others_are_idle(start, gates):
    with start() as pool:
        held = [gates() for _ in range(PLACES)]
        running = [pool.post((begin, "keyed", gate), key="a") for gate in held]
        for gate in held:
            gate.reached()
        behind = pool.post((tasks.remember, "behind"), key="a")
        assert [pool.post((tasks.echo, n)).result(PATIENCE) for n in range(30)] == list(range(30))
        assert not behind.done()
        assert behind.cancel()
        release(held)
        assert len({one.result(PATIENCE) for one in running}) == 1
        assert "behind" not in itertools.chain(*log(pool))


def test_a_broadcast_reaches_each_member_once_also_while_all_are_full(start, gates):
    with start(mailbox_size=2) as pool:
        held, _ = occupy(pool, gates)
        sent = pool.broadcast((tasks.remember, "sent"))
        assert not any(one.done() for one in sent)
        release(held)
        assert [one.result(PATIENCE) for one in sent] == [1, 1]
        assert log(pool) == [["sent"]] * MEMBERS


# What has not begun, and what has.


def test_cancelled_messages_are_never_handled(start, gates):
    with start() as pool:
        held, running = occupy(pool, gates)
        waiting = [pool.post((tasks.remember, number)) for number in range(40)]
        assert all(one.cancel() for one in waiting[::2])
        assert not any(one.cancel() for one in running)
        release(held)
        for one in waiting[1::2]:
            one.result(PATIENCE)
        assert sorted(itertools.chain(*log(pool))) == list(range(1, 40, 2))
        assert pool.stats().cancelled == 20


def test_the_mailbox_has_as_many_places_over_all_members(start, gates):
    with start(mailbox_size=4) as pool:
        held, _ = occupy(pool, gates)
        waiting = [pool.post((tasks.echo, number), timeout=0) for number in range(4)]
        with pytest.raises(MailboxFull, match="4 messages have not begun"):
            pool.post((tasks.echo, 4), timeout=0)
        held[0].open()
        assert [one.result(PATIENCE) for one in waiting] == list(range(4))
        release(held[1:])


def test_a_running_message_that_is_asked_to_stop_gives_its_place_to_the_next(start, gates):
    with start() as pool:
        held, _ = occupy(pool, gates, ALL - 1)
        gate = gates()
        asked = pool.post((asynchronous.wait_for_ever, gate))
        gate.reached()
        waiting = pool.post((tasks.echo, "next"))
        assert asked.request_cancel()
        assert waiting.result(PATIENCE) == "next"
        futures.wait([asked], PATIENCE)
        assert asked.cancelled()
        release(held)


def test_streams_and_messages_share_the_places_of_a_member(start, gates):
    with start() as pool:
        streams = [pool.stream((asynchronous.count, 5), ahead=1) for _ in range(ALL - 1)]
        assert [next(stream) for stream in streams] == [0] * (ALL - 1)
        assert pool.post((tasks.echo, "one place")).result(PATIENCE) == "one place"
        assert [list(stream) for stream in streams] == [[1, 2, 3, 4]] * (ALL - 1)


def test_a_message_behind_streams_that_take_every_place_is_refused(start):
    with start(max_concurrency=2) as pool:
        streams = [pool.stream((asynchronous.count, 9), ahead=1) for _ in range(4)]
        assert [next(stream) for stream in streams] == [0] * 4
        behind = pool.post((tasks.echo, "behind"))
        with pytest.raises(futures_actors.ActorDeadlock, match="streams to this thread"):
            behind.result(PATIENCE)
        assert list(streams[0])
        assert behind.result(PATIENCE) == "behind"
        for stream in streams:
            stream.close()


# Start and end.


def test_each_member_stops_once_when_all_messages_have_ended(start, gates, tmp_path):
    pool = start(str(tmp_path), size=3)
    held, running = occupy(pool, gates)
    waiting = [pool.post((tasks.echo, number)) for number in range(30)]
    pool.shutdown(wait=False)
    release(held)
    pool.shutdown()
    assert [one.result() for one in running] == ["passed"] * ALL
    assert [one.result() for one in waiting] == list(range(30))
    assert {path.name for path in tmp_path.iterdir()} >= {"0", "1", "2"}
    assert pool.stats().state == "stopped"


def test_a_pool_is_ended_by_force_while_all_places_are_taken(async_kind, start, gates):
    pool = start()
    running = []
    for gate in (gates() for _ in range(ALL)):
        running.append(pool.post((asynchronous.wait_for_ever, gate)))
        gate.reached()
    waiting = [pool.post((tasks.echo, number)) for number in range(20)]
    pool.terminate()
    pool.shutdown()
    for one in [*running, *waiting]:
        assert isinstance(one.exception(PATIENCE), futures_actors.BrokenActor)
    assert pool.stats().handled == 0


def test_an_on_start_that_raises_breaks_the_pool(base):
    class Picky(base, max_concurrency=2):
        async def on_start(self):
            if futures_actors.current_actor().index == 1:
                raise ValueError("not here")

        async def handle(self, message):
            return message

    pool = Picky.pool(3).executor()
    with pytest.raises(ActorInitError, match=r"Picky\[1\].*ValueError: not here"):
        pool.post(1).result(PATIENCE)
    pool.shutdown()
    assert pool.stats().state == "broken"


def test_a_loop_factory_is_each_members(base):
    import asyncio

    class Loops(base):
        async def handle(self, _message):
            return type(asyncio.get_running_loop()).__name__

    with Loops.pool(2, loop_factory=asyncio.SelectorEventLoop).executor() as pool:
        names = [one.result(PATIENCE) for one in pool.broadcast(1)]
    assert len(names) == 2
    assert all("Selector" in name for name in names)


def test_several_messages_at_a_time_are_for_pools_of_async_actors(base):
    class Plain(base):
        def handle(self, message):
            return message

    with pytest.raises(ValueError, match="async def handle"):
        Plain.pool(2, max_concurrency=2)


def test_await_and_async_for_work(start):
    import asyncio

    async def main():
        with start() as pool:
            got = await asyncio.gather(*(pool.post((tasks.echo, n)) for n in range(100)))
            messages = [(tasks.echo, number) for number in range(100)]
            return got, [one async for one in pool.imap(messages)]

    got, listed = asyncio.run(main())
    assert got == listed == list(range(100))


def test_the_exit_of_the_program_waits_for_what_runs_and_what_that_sends(script, async_kind):
    source = f"""
import asyncio, os
from futures_actors import {async_kind.base}Actor as Base
class Writes(Base, max_concurrency=3):
    async def handle(self, message):
        await asyncio.sleep(0)
        os.write(1, f"{{message}}\\n".encode())
pool = Writes.pool(2).executor()
for number in range(60):
    pool.post(number)
    pool.post(number, key=number)
"""
    ended = script(source).check()
    assert sorted(map(int, ended.out.split())) == sorted([*range(60), *range(60)])
