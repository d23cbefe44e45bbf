"""Pools: keys and broadcasts choose members, and references to them."""

import asyncio
import contextlib
import decimal
import enum
import fractions
import gc
import itertools
import os
import threading

import pytest

import actors
import pools
import programs
import tasks
from futures_actors import ActorRef, BrokenActor, MailboxFull, PoolRef
from gates import PATIENCE

# Keys.


def test_a_key_has_one_member_and_its_messages_are_in_order(start_pool):
    with start_pool(4) as pool:
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


def test_keyed_is_a_reference_to_the_same_member(start_pool):
    with start_pool(4) as pool:
        for key in ("a", b"a", 7, 2.5, None, ("a", (1, None))):
            member = pool.keyed(key)
            assert isinstance(member, ActorRef)
            assert member in pool.members
            ours = pool.post((pools.where,), key=key).result(PATIENCE)
            assert member.post((pools.where,)).result(PATIENCE) == ours
            assert member.submit(os.getpid).result(PATIENCE) == ours[0]
            member.tell((tasks.echo, 1))


class Text(str, enum.Enum):
    KEY = "a key"


class Number(enum.IntEnum):
    ONE = 1


def test_equal_keys_are_one_key(start_pool):
    equal = [
        (1, 1.0, True, Number.ONE, decimal.Decimal(1), fractions.Fraction(1), 1 + 0j),
        (0, 0.0, -0.0, False),
        ("a key", Text.KEY),
        (2**70, float(2**70)),
        ((1, "a"), (1.0, "a"), (True, "a")),
    ]
    with start_pool(7) as pool:
        for keys in equal:
            assert len({pool.keyed(key) for key in keys}) == 1, keys


class AnyCase(str):
    """Equal whatever the case of its letters."""

    __slots__ = ()

    def __eq__(self, other):
        return isinstance(other, AnyCase) and self.lower() == other.lower()

    def __hash__(self):
        return hash(self.lower())


class ByFirst(tuple):
    """Only the first item counts."""

    __slots__ = ()

    def __eq__(self, other):
        return isinstance(other, ByFirst) and self[0] == other[0]

    def __hash__(self):
        return hash(self[0])


class Unhashable(int):
    __hash__ = None


def test_a_subclass_of_plain_data_says_itself_which_keys_are_equal(start_pool):
    with start_pool(7) as pool:
        for number in range(10):
            texts = AnyCase(f"name {number}"), AnyCase(f"NAME {number}"), AnyCase(f"Name {number}")
            assert len({pool.keyed(text) for text in texts}) == 1
            assert len({pool.keyed(("user", text)) for text in texts}) == 1
            assert pool.keyed(ByFirst((number, 1))) == pool.keyed(ByFirst((number, 2)))
        with pytest.raises(TypeError, match="hashable"):
            pool.keyed(Unhashable(1))


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


def test_keys_must_be_hashable_and_others_than_plain_data_work_here(start_pool):
    class Key:
        pass

    with start_pool(3) as pool:
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


def test_a_key_waits_for_its_busy_member_though_others_are_idle(start_pool, gate):
    with start_pool(3) as pool:
        pool.post((tasks.pause, gate), key="a")
        gate.reached()
        behind = pool.post((tasks.echo, "behind"), key="a")
        assert [pool.post((tasks.echo, n)).result(PATIENCE) for n in range(30)] == list(range(30))
        assert not behind.done()
        assert behind.cancel()
        gate.open()


@pytest.mark.parametrize("floods", ["messages without keys", "keys"])
def test_a_flood_in_one_mailbox_does_not_keep_the_other_waiting(start_pool, gates, floods):
    def post(number, *, keyed):
        message = (tasks.remember, number)
        return pool.post(message, key=number) if keyed else pool.post(message)

    with start_pool(2) as pool:
        held, _ = pools.occupy(pool, gates, 2)
        posted = [post(number, keyed=floods == "keys") for number in range(500)]
        posted.append(post("last", keyed=floods != "keys"))
        for gate in held:
            gate.open()
        for one in posted:
            one.result(PATIENCE)
        logs = [one.result(PATIENCE) for one in pool.broadcast((tasks.recall,))]
        (log,) = [log for log in logs if "last" in log]
        assert log.index("last") <= 1


# Broadcasts, members, references.


def test_a_broadcast_reaches_each_member_once(start_pool, gates):
    with start_pool(4) as pool:
        held, _ = pools.occupy(pool, gates, 3)
        sent = pool.broadcast((pools.where,))
        assert len(sent) == 4
        for gate in held:
            gate.open()
        assert len({one.result(PATIENCE) for one in sent}) == 4
        # In the order of the members.
        for member, one in zip(pool.members, sent, strict=True):
            assert member.post((pools.where,)).result(PATIENCE) == one.result()


@pytest.mark.parametrize(("members", "size"), [(2, 2), (2, 5), (4, 1), (3, 3)])
def test_a_broadcast_reaches_each_member_also_through_a_full_mailbox(
    start_pool, gates, members, size
):
    with start_pool(members, mailbox_size=size) as pool:
        held, _ = pools.occupy(pool, gates, members)
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


def test_a_broadcast_in_an_event_loop_never_waits_for_room(start_pool, gates):
    with start_pool(3, mailbox_size=2) as pool:
        held, running = pools.occupy(pool, gates, 3)
        waiting = [pool.post((tasks.echo, number), timeout=0) for number in range(2)]

        async def send():
            with pytest.raises(MailboxFull):
                pool.broadcast((tasks.remember, "late"), timeout=0)
            # On a slow machine the time is up before there are futures.
            with contextlib.suppress(MailboxFull):
                late = pool.broadcast((tasks.remember, "late"), timeout=0.01)
                refused = await asyncio.gather(*late, return_exceptions=True)
                assert all(isinstance(one, MailboxFull) for one in refused)
            # Before the gates open, or it would be refused, too.
            sent = pool.broadcast((tasks.remember, "sent"), timeout=PATIENCE)
            assert not any(one.done() or one.running() for one in sent)
            for gate in held:
                gate.open()
            await asyncio.gather(*running, *waiting, *sent)
            return await asyncio.gather(*pool.broadcast((tasks.recall,)))

        assert asyncio.run(send()) == [["sent"]] * 3


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_process_cannot_send_to_a_pool_of_its_parent(start_pool):
    with start_pool(2) as pool:
        member = pool.members[0]
        sends = [
            lambda: pool.post(1),
            lambda: pool.post(1, key="a"),
            lambda: pool.broadcast(1),
            lambda: pool.keyed("a").post(1),
            lambda: member.post(1),
            lambda: pool.imap([1]),
        ]
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                status = 0 if all(map(is_refused, sends)) else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert pool.post((tasks.echo, 1)).result(PATIENCE) == 1


def is_refused(send):
    try:
        send()
    except BrokenActor:
        return True
    return False


def test_members_are_references_named_by_their_index(pool_kind, start_pool):
    with start_pool(3) as pool:
        assert [member.name for member in pool.members] == [
            f"{pool_kind.prefix}Do[{n}]" for n in range(3)
        ]
        assert len(set(pool.members)) == 3
        assert pool.name == f"{pool_kind.prefix}Do"
        places = [member.post((pools.where,)).result(PATIENCE) for member in pool.members]
        assert len(set(places)) == 3
    with start_pool(2, name="workers") as pool:
        assert [member.name for member in pool.members] == ["workers[0]", "workers[1]"]
        assert pool.stats().name == "workers"


def test_a_reference_has_what_the_pool_has(start_pool):
    with start_pool(3) as pool:
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


def test_a_pool_lives_while_a_reference_to_a_member_does(start_pool):
    member = start_pool(2).members[1]
    gc.collect()
    assert member.is_alive()
    assert member.post((tasks.echo, 1)).result(PATIENCE) == 1


def test_a_pool_that_is_dropped_handles_what_it_has(start_pool):
    pool = start_pool(3)
    posted = [pool.post((tasks.echo, number)) for number in range(100)]
    posted += [pool.post((tasks.echo, number), key=number) for number in range(100, 200)]
    del pool
    gc.collect()
    assert [one.result(PATIENCE) for one in posted] == [*range(200)]


def test_references_from_dropped_pools_leave_nothing(start_pool):
    for _ in range(3):
        pool = start_pool(2)
        pool.members, pool.ref(), pool.keyed(1)
        del pool
    gc.collect()


@pytest.mark.parametrize("end", ["terminate", "kill"])
def test_what_is_broadcast_while_the_pool_ends_is_ended_as_it_is(start_pool, end):
    """Some members have ended already when they get it."""
    sent = []

    def send(pool):
        with contextlib.suppress(RuntimeError):
            while True:
                sent.extend(pool.broadcast((tasks.echo, 1)))

    for _ in range(10):
        sent.clear()
        pool = start_pool(4)
        pool.post((tasks.echo, 1)).result(PATIENCE)
        sender = threading.Thread(target=send, args=(pool,), daemon=True)
        sender.start()
        programs.wait_until(lambda: sent)
        getattr(pool, end)()
        sender.join(PATIENCE)
        errors = [future.exception(PATIENCE) for future in sent]
        assert all(error is None or isinstance(error, BrokenActor) for error in errors)
