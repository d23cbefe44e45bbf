"""Pools: which member gets a message, keys, broadcasts, references, constructors, and the end."""

import asyncio
import decimal
import enum
import fractions
import gc
import itertools
import operator
import os
import threading
from concurrent import futures

import pytest
from conftest import ACTORS

import actors
import futures_actors
import programs
import tasks
from futures_actors import ActorInitError, ActorPool, ActorRef, MailboxFull, PoolRef
from gates import PATIENCE

POOLS = ACTORS


@pytest.fixture(params=POOLS, ids=str)
def kind(request):
    return request.param


@pytest.fixture
def start(kind):
    """Start a pool: `start(size, body, *args, mailbox_size=...)`."""

    def start(size, body=actors.Do, /, *args, **options):
        return kind.actor(body).pool(size, **options).executor(*args)

    return start


def occupy(pool, gates, members):
    """Have so many members wait, each at a gate of its own; return gates and futures."""
    held = [gates() for _ in range(members)]
    running = [pool.post((tasks.pause, gate)) for gate in held]
    for gate in held:
        gate.reached()
    return held, running


def where(actor):
    """Tell members apart: by process and thread."""
    return os.getpid(), threading.get_ident()


def test_a_pool_is_an_executor_and_a_reference(start):
    with start(3) as pool:
        assert isinstance(pool, ActorPool)
        assert isinstance(pool, futures_actors.ActorExecutor)
        assert isinstance(pool, futures.Executor)
        assert isinstance(pool, ActorRef)
        assert len(pool) == 3
        assert pool.post((tasks.echo, 1)).result(PATIENCE) == 1


def test_a_pool_has_a_member_for_each_usable_cpu_by_default(kind, start):
    options = kind.actor(actors.Do).pool()
    cpus = os.process_cpu_count() if hasattr(os, "process_cpu_count") else None
    assert options.pool_size == (cpus or len(os.sched_getaffinity(0)))
    assert isinstance(options, futures_actors.Options)


@pytest.mark.parametrize("bad", [0, -1, True, 1.5, "7"])
def test_a_bad_size_is_refused(kind, bad):
    with pytest.raises((TypeError, ValueError), match="size of a pool must"):
        kind.actor(actors.Do).pool(bad)


def test_the_size_has_no_name_and_bad_options_are_refused(kind):
    for bad in ({"size": 2}, {"colour": "red"}, {"mailbox_size": 0}):
        with pytest.raises((TypeError, ValueError)):
            kind.actor(actors.Do).pool(**bad)


def test_the_options_show_the_call_that_makes_them(kind):
    options = kind.actor(actors.Do).pool(3, mailbox_size=5)
    assert repr(options) == f"{kind.base}Do.pool(3, mailbox_size=5)"


def test_the_base_class_refuses_to_start_a_pool():
    with pytest.raises(NotImplementedError, match="use ProcessActor or ThreadActor"):
        futures_actors.Actor.pool(2).executor()


def test_every_argument_goes_to_each_constructor(start):
    with start(2, actors.Counter, 100) as pool:
        assert [one.result(PATIENCE) for one in pool.broadcast(1)] == [101, 101]


def test_messages_go_to_idle_members_while_one_is_busy(start, gate):
    with start(4) as pool:
        long = pool.post((tasks.pause, gate))
        gate.reached()
        short = [pool.post((tasks.echo, number)) for number in range(200)]
        assert [one.result(PATIENCE) for one in short] == list(range(200))
        assert long.running()
        gate.open()
        assert long.result(PATIENCE) == "passed"


def test_messages_run_on_all_members_at_once(start, gates):
    with start(4) as pool:
        held, running = occupy(pool, gates, 4)
        waiting = pool.post((tasks.echo, "last"))
        assert all(one.running() for one in running)
        assert not waiting.running()
        assert pool.stats().depth == 1
        held[2].open()
        assert waiting.result(PATIENCE) == "last"
        for gate in held:
            gate.open()


def test_one_thread_whose_messages_fill_one_member_leaves_the_others_to_others(start, gates):
    with start(2) as pool:
        (gate,), _ = occupy(pool, gates, 1)
        got = []
        threads = [
            threading.Thread(
                target=lambda: got.extend(
                    [pool.post((tasks.echo, n)).result(PATIENCE) for n in range(200)]
                )
            )
            for _ in range(4)
        ]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        assert len(got) == 800
        gate.open()


def test_a_slow_callback_keeps_no_message_from_an_idle_member(thread, gates):
    with thread.actor(actors.Do).pool(2).executor() as pool:
        first, callback = gates(), gates()
        future = pool.post((tasks.pause, first))
        first.reached()
        future.add_done_callback(lambda _future: callback.wait())
        (other,), _ = occupy(pool, gates, 1)
        behind = pool.post((tasks.echo, "behind"))
        first.open()
        callback.reached()
        # One member is in the callback. The other becomes idle.
        other.open()
        assert behind.result(PATIENCE) == "behind"
        callback.open()


def test_submit_map_imap_and_tell_use_all_members(start, tmp_path):
    path = tmp_path / "told"
    with start(3) as pool:
        assert pool.submit(divmod, 17, 5).result(PATIENCE) == (3, 2)
        assert list(pool.map(operator.neg, range(50), timeout=PATIENCE)) == [-n for n in range(50)]
        messages = [(tasks.echo, number) for number in range(500)]
        assert list(pool.imap(messages, timeout=PATIENCE)) == list(range(500))
        assert sorted(pool.imap_unordered(messages, timeout=PATIENCE)) == list(range(500))
        for _ in range(20):
            pool.tell((tasks.append_to, path, "x"))
    assert path.read_text() == "x" * 20
    assert pool.stats().told == 20


def test_imap_has_64_messages_ahead_for_each_member(start):
    read = []

    def messages():
        for number in itertools.count():
            read.append(number)
            yield (tasks.echo, number)

    with start(3) as pool:
        answers = pool.imap(messages())
        assert len(read) == 3 * 64
        answers.close()


def test_a_proxy_of_a_pool_calls_methods_of_any_member(start):
    with start(2, actors.Account, 5) as pool:
        assert pool.proxy().add(0).result(PATIENCE) == 5
        assert pool.members[1].proxy().add(2).result(PATIENCE) == 7
        assert pool.keyed("x").proxy().add(0).result(PATIENCE) in (5, 7)


def test_await_and_asyncio_work(start):
    async def main(pool):
        posted = [pool.post((tasks.echo, number)) for number in range(50)]
        return await asyncio.gather(*posted)

    with start(3) as pool:
        assert asyncio.run(main(pool)) == list(range(50))


# Keys.


def test_a_key_has_one_member_and_its_messages_are_in_order(start):
    with start(4) as pool:
        keys = [f"key {number}" for number in range(20)]
        posted = {key: [] for key in keys}
        for number in range(50):
            for key in keys:
                posted[key].append(pool.post((tasks.remember, (key, number)), key=key))
            pool.post((tasks.echo, number))
        for one in itertools.chain.from_iterable(posted.values()):
            one.result(PATIENCE)
        logs = [one.result(PATIENCE) for one in pool.broadcast((tasks.recall,))]
        for key in keys:
            of_key = [[item for item in log if item[0] == key] for log in logs]
            assert [log for log in of_key if log] == [[(key, number) for number in range(50)]]
        assert sum(map(bool, logs)) > 1


def test_keyed_is_a_reference_to_the_same_member(start):
    with start(4) as pool:
        for key in ("a", b"a", 7, 2.5, None, ("a", (1, None))):
            member = pool.keyed(key)
            assert isinstance(member, ActorRef)
            assert member in pool.members
            ours = pool.post((where,), key=key).result(PATIENCE)
            assert member.post((where,)).result(PATIENCE) == ours
            assert member.submit(os.getpid).result(PATIENCE) == ours[0]
            member.tell((tasks.echo, 1))


class Text(str, enum.Enum):
    KEY = "a key"


class Number(enum.IntEnum):
    ONE = 1


def test_equal_keys_are_one_key(start):
    equal = [
        (1, 1.0, True, Number.ONE, decimal.Decimal(1), fractions.Fraction(1), 1 + 0j),
        (0, 0.0, -0.0, False),
        ("a key", Text.KEY),
        (2**70, float(2**70)),
        ((1, "a"), (1.0, "a"), (True, "a")),
    ]
    with start(7) as pool:
        for keys in equal:
            assert len({pool.keyed(key) for key in keys}) == 1, keys


KEYS = """[f"user {n}" for n in range(100)] + [f"{n}".encode() for n in range(100)] + list(
    range(-50, 50)) + [n / 7 for n in range(50)] + [None, True, "\\udc80", "", b"", (), ((),),
    ("a", 1), (b"a", (None, 2.5)), float("inf"), float("nan"), 2**100]"""


def test_keys_of_plain_data_are_hashed_alike_in_every_process(script):
    source = f"""
from futures_actors import ThreadActor
class Echo(ThreadActor):
    def handle(self, message):
        return message
with Echo.pool(5).executor() as pool:
    print([pool.members.index(pool.keyed(key)) for key in {KEYS}])
"""
    printed = set()
    for seed in ("0", "1", "random"):
        printed.add(script(source, env={"PYTHONHASHSEED": seed}).check().out)
    assert len(printed) == 1


@pytest.mark.parametrize(
    "make",
    [
        str,
        int,
        lambda n: f"user-{n:08}",
        lambda n: n * 8,
        float,
        lambda n: n / 1024,
        lambda n: (n, "x"),
    ],
)
def test_keys_are_spread_evenly(thread, make):
    with thread.actor(actors.Echo).pool(8).executor() as pool:
        places = {member: place for place, member in enumerate(pool.members)}
        found = [places[pool.keyed(make(number))] for number in range(10_000)]
        assert all(found.count(place) <= 1.2 * 1250 for place in range(8))


def test_keys_must_be_hashable_and_others_than_plain_data_work_here(start):
    class Key:
        pass

    with start(3) as pool:
        for bad in ([], {}, ([],), {1}):
            with pytest.raises(TypeError, match="hashable"):
                pool.post((tasks.echo, 1), key=bad)
            with pytest.raises(TypeError, match="hashable"):
                pool.keyed(bad)
        key = Key()
        assert pool.keyed(key) == pool.keyed(key)
        assert pool.post((tasks.echo, 1), key=key).result(PATIENCE) == 1
        assert pool.post((tasks.echo, 1), key=frozenset("ab")).result(PATIENCE) == 1
        error = pool.stats().failed
        assert error == 0


def test_a_key_waits_for_its_busy_member_though_others_are_idle(start, gate):
    with start(3) as pool:
        pool.post((tasks.pause, gate), key="a")
        gate.reached()
        behind = pool.post((tasks.echo, "behind"), key="a")
        assert [pool.post((tasks.echo, n)).result(PATIENCE) for n in range(30)] == list(range(30))
        assert not behind.done()
        assert behind.cancel()
        gate.open()


def test_a_flood_without_keys_does_not_keep_a_key_waiting(start, gates):
    with start(2) as pool:
        held, _ = occupy(pool, gates, 2)
        flood = [pool.post((tasks.remember, "flood")) for _ in range(500)]
        keyed = pool.post((tasks.remember, "keyed"), key="a")
        for gate in held:
            gate.open()
        keyed.result(PATIENCE)
        for one in flood:
            one.result(PATIENCE)
        logs = [one.result(PATIENCE) for one in pool.broadcast((tasks.recall,))]
        (log,) = [log for log in logs if "keyed" in log]
        assert log.index("keyed") <= 1


def test_a_flood_of_keys_does_not_keep_other_messages_waiting(start, gates):
    with start(2) as pool:
        held, _ = occupy(pool, gates, 2)
        flood = [pool.post((tasks.remember, "flood"), key=key) for key in range(500)]
        other = pool.post((tasks.remember, "other"))
        for gate in held:
            gate.open()
        other.result(PATIENCE)
        for one in flood:
            one.result(PATIENCE)
        logs = [one.result(PATIENCE) for one in pool.broadcast((tasks.recall,))]
        (log,) = [log for log in logs if "other" in log]
        assert log.index("other") <= 1


# Broadcasts, members, references.


def test_a_broadcast_reaches_each_member_once(start, gates):
    with start(4) as pool:
        held, _ = occupy(pool, gates, 3)
        sent = pool.broadcast((where,))
        assert len(sent) == 4
        for gate in held:
            gate.open()
        assert len({one.result(PATIENCE) for one in sent}) == 4
        # In the order of the members.
        for member, one in zip(pool.members, sent, strict=True):
            assert member.post((where,)).result(PATIENCE) == one.result()


@pytest.mark.parametrize(("members", "size"), [(2, 2), (2, 5), (4, 1), (3, 3)])
def test_a_broadcast_reaches_each_member_also_through_a_full_mailbox(start, gates, members, size):
    with start(members, mailbox_size=size) as pool:
        held, _ = occupy(pool, gates, members)
        waiting = [pool.post((tasks.echo, number), timeout=0) for number in range(size)]
        with pytest.raises(MailboxFull):
            pool.broadcast((tasks.remember, "late"), timeout=0)
        with pytest.raises(MailboxFull):
            pool.broadcast((tasks.remember, "late"), timeout=0.02)
        sent = []
        threads = [
            threading.Thread(target=lambda: sent.extend(pool.broadcast((tasks.remember, "sent"))))
            for _ in range(3)
        ]
        for one in threads:
            one.start()
        for gate in held:
            gate.open()
        for one in threads:
            one.join(PATIENCE)
        assert len(sent) == 3 * members
        for one in [*waiting, *sent]:
            one.result(PATIENCE)
        logs = [one.result(PATIENCE) for one in pool.broadcast((tasks.recall,))]
        assert logs == [["sent"] * 3] * members


def test_members_are_references_named_by_their_index(kind, start):
    with start(3) as pool:
        assert [member.name for member in pool.members] == [f"{kind.base}Do[{n}]" for n in range(3)]
        assert len(set(pool.members)) == 3
        assert pool.name == f"{kind.base}Do"
        places = [member.post((where,)).result(PATIENCE) for member in pool.members]
        assert len(set(places)) == 3
    with start(2, name="workers") as pool:
        assert [member.name for member in pool.members] == ["workers[0]", "workers[1]"]
        assert pool.stats().name == "workers"


def test_a_reference_has_what_the_pool_has(start):
    with start(3) as pool:
        ref = pool.ref()
        assert isinstance(ref, PoolRef)
        assert ref == pool
        assert hash(ref) == hash(pool)
        assert len(ref) == 3
        assert ref.members == pool.members
        assert ref.keyed("a") == pool.keyed("a")
        assert ref.post((tasks.echo, 1)).result(PATIENCE) == 1
        assert ref.post((tasks.echo, 1), key="a").result(PATIENCE) == 1
        assert [one.result(PATIENCE) for one in ref.broadcast((tasks.echo, 1))] == [1, 1, 1]
        assert not hasattr(ref, "shutdown")


def test_a_pool_lives_while_a_reference_to_a_member_does(start):
    member = start(2).members[1]
    gc.collect()
    assert member.is_alive()
    assert member.post((tasks.echo, 1)).result(PATIENCE) == 1


def test_a_pool_that_is_dropped_handles_what_it_has(start, tmp_path):
    path = tmp_path / "handled"
    pool = start(3)
    posted = [pool.post((tasks.append_to, path, "x")) for _ in range(100)]
    posted += [pool.post((tasks.append_to, path, "x"), key=n) for n in range(100)]
    del pool
    gc.collect()
    for one in posted:
        one.result(PATIENCE)
    assert path.read_text() == "x" * 200


def test_references_from_dropped_pools_leave_nothing(start):
    for _ in range(3):
        pool = start(2)
        pool.members, pool.ref(), pool.keyed(1)
        del pool
    gc.collect()


# Cancelling, bounds.


def test_cancelled_messages_are_never_handled(start, gates):
    with start(2) as pool:
        held, running = occupy(pool, gates, 2)
        waiting = [pool.post((tasks.remember, number)) for number in range(100)]
        waiting += [pool.post((tasks.remember, number), key=number) for number in range(100, 200)]
        cancelled = [one.cancel() for one in waiting[::2]]
        assert all(cancelled)
        assert not any(one.cancel() for one in running)
        for gate in held:
            gate.open()
        for one in waiting[1::2]:
            one.result(PATIENCE)
        logs = [one.result(PATIENCE) for one in pool.broadcast((tasks.recall,))]
        assert sorted(itertools.chain(*logs)) == list(range(1, 200, 2))
        assert pool.stats().cancelled == 100


@pytest.mark.parametrize("size", [1, 3, 20])
def test_the_mailbox_has_as_many_places_over_all_members(start, gates, size):
    with start(2, mailbox_size=size) as pool:
        held, _ = occupy(pool, gates, 2)
        keys = itertools.cycle([..., "a", "b", 3])
        posted = [
            pool.post((tasks.echo, number), key=key, timeout=0)
            for number, key in zip(range(size), keys, strict=False)
        ]
        for post in (pool.post, pool.members[0].post, pool.keyed("a").post):
            with pytest.raises(MailboxFull):
                post((tasks.echo, "too many"), timeout=0)
        with pytest.raises(MailboxFull):
            pool.post((tasks.echo, "too many"), key="a", timeout=0.01)
        assert pool.stats().depth == size
        for gate in held:
            gate.open()
        assert [one.result(PATIENCE) for one in posted] == list(range(size))
        assert pool.post((tasks.echo, "more"), timeout=PATIENCE).result(PATIENCE) == "more"


def test_a_sender_that_waits_for_room_gets_it(start, gates):
    with start(2, mailbox_size=1) as pool:
        held, _ = occupy(pool, gates, 2)
        first = pool.post((tasks.echo, 1))
        got = []
        senders = [
            threading.Thread(target=lambda key=key: got.append(pool.post((tasks.echo, 2), key=key)))
            for key in (..., "a")
        ]
        for one in senders:
            one.start()
        for gate in held:
            gate.open()
        for one in senders:
            one.join(PATIENCE)
        assert first.result(PATIENCE) == 1
        assert [one.result(PATIENCE) for one in got] == [2, 2]


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


for _kind, _base in (
    ("Thread", futures_actors.ThreadActor),
    ("Process", futures_actors.ProcessActor),
):
    globals()[f"{_kind}FailsAt"] = type(
        f"{_kind}FailsAt", (FailsAt, _base), {"__module__": __name__}
    )


def test_no_message_begins_before_every_constructor_has_returned(kind, gate, tmp_path):
    folder = tmp_path / "places"
    folder.mkdir()
    pool = globals()[f"{kind.base}FailsAt"].pool(3).executor(folder, [], gate)
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


def test_a_constructor_that_raises_breaks_the_pool(kind, gate, tmp_path):
    folder = tmp_path / "places"
    folder.mkdir()
    pool = globals()[f"{kind.base}FailsAt"].pool(3).executor(folder, [2], gate)
    posted = [pool.post(1), pool.post(2, key="a"), *pool.broadcast(3)]
    for _ in range(3):
        gate.reached()
    gate.open(3)
    text = rf"actor {kind.base}FailsAt\[[012]\] raised ValueError: no place for it"
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


def test_shutdown_without_messages_waits_for_the_constructors_alone(start):
    start(5).shutdown()


# The end.


def test_shutdown_waits_for_all_messages(start):
    pool = start(3)
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


def test_shutdown_can_cancel_what_has_not_begun(start, gates):
    pool = start(2)
    held, running = occupy(pool, gates, 2)
    waiting = [pool.post((tasks.echo, 1)) for _ in range(50)]
    waiting += [pool.post((tasks.echo, 1), key=number) for number in range(50)]
    pool.shutdown(wait=False, cancel_futures=True)
    assert all(one.cancelled() for one in waiting)
    for gate in held:
        gate.open()
    pool.shutdown()
    assert [one.result(PATIENCE) for one in running] == ["passed"] * 2


def test_shutdown_times_out(start, gates):
    pool = start(2)
    (gate,), _ = occupy(pool, gates, 1)
    with pytest.raises(TimeoutError, match="has not ended"):
        pool.shutdown(timeout=0.05)
    gate.open()
    pool.shutdown()


@pytest.mark.parametrize("force", ["terminate", "kill", "terminate_workers", "kill_workers"])
def test_a_pool_is_ended_by_force(kind, start, gates, force):
    pool = start(2)
    held, running = occupy(pool, gates, 2)
    waiting = [pool.post((tasks.echo, 1)), pool.post((tasks.echo, 1), key="a")]
    getattr(pool, force)()
    for one in waiting:
        with pytest.raises(futures_actors.BrokenActor):
            one.result(PATIENCE)
    for gate in held:
        gate.open()
    for one in running:
        if kind.is_process:
            with pytest.raises(futures_actors.ActorDied) as caught:
                one.result(PATIENCE)
            assert caught.value.started
        else:
            assert one.result(PATIENCE) == "passed"
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.post((tasks.echo, 1))
    pool.shutdown()
    assert pool.stats().state == "stopped"


def test_on_stop_runs_in_each_member(kind, tmp_path):
    path = tmp_path / "written"
    with kind.actor(actors.Writes).pool(3).executor(path) as pool:
        pool.broadcast("message")
    lines = [line.split()[0] for line in path.read_text().splitlines()]
    assert sorted(lines) == ["message"] * 3 + ["stop"] * 3


def test_a_with_block_left_by_ctrl_c_cancels_what_has_not_begun(start, gates):
    with pytest.raises(KeyboardInterrupt), start(2) as pool:
        held, _ = occupy(pool, gates, 2)
        waiting = [pool.post((tasks.echo, 1)) for _ in range(10)]
        for gate in held:
            gate.open()
        raise KeyboardInterrupt
    assert all(one.done() for one in waiting)


def test_posted_messages_are_handled_at_the_exit_of_the_program(script, kind):
    source = f"""
import os
from futures_actors import {kind.base}Actor as Base
class Writes(Base):
    def handle(self, message):
        os.write(1, f"{{message}}\\n".encode())
pool = Writes.pool(3).executor()
for number in range(50):
    pool.post(number)
    pool.post(number, key=number)
"""
    ended = script(source).check()
    assert sorted(map(int, ended.out.split())) == sorted([*range(50), *range(50)])


# Looking in.


def test_stats_are_sums_and_the_members_own(start, gates):
    with start(2) as pool:
        (gate,), _ = occupy(pool, gates, 1)
        for number in range(10):
            pool.post((tasks.echo, number)).result(PATIENCE)
        with pytest.raises(KeyError):
            pool.post((tasks.fail, KeyError())).result(PATIENCE)
        stats = pool.stats()
        assert stats.state == "running"
        assert (stats.handled, stats.failed, stats.depth) == (10, 1, 0)
        assert stats.age is not None
        assert [one.name for one in stats.members] == [member.name for member in pool.members]
        assert sorted(one.handled for one in stats.members) == [0, 10]
        assert sum(one.age is not None for one in stats.members) == 1
        assert all(one.members == () for one in stats.members)
        gate.open()
    assert pool.stats().handled == 11


def test_dump_traceback_shows_each_member(start, gates):
    with start(2) as pool:
        (gate,), _ = occupy(pool, gates, 1)
        text = pool.dump_traceback(timeout=PATIENCE)
        assert all(f"actor {member.name}" in text for member in pool.members)
        assert "in pause" in text
        gate.open()


def test_a_pool_says_what_it_is(kind, start):
    with start(2) as pool:
        assert repr(pool) == f"<ActorPool of {kind.base}Do running>"
    assert repr(pool) == f"<ActorPool of {kind.base}Do stopped>"


# One member.


def test_a_pool_of_one_is_an_actor_in_order(start):
    with start(1) as pool:
        posted = []
        for number in range(100):
            posted.append(pool.post((tasks.remember, number), key=number if number % 2 else ...))
        posted += pool.broadcast((tasks.remember, 100))
        for one in posted:
            one.result(PATIENCE)
        assert pool.post((tasks.recall,)).result(PATIENCE) == list(range(101))
        assert pool.members[0].post((tasks.recall,)).result(PATIENCE) == list(range(101))
        assert pool.members[0].name.endswith("[0]")
        stats = pool.stats()
        assert stats.handled == 103
        assert stats.members[0].handled == 103
