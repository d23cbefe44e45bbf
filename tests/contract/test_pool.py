"""Pools: which member gets a message, and what can be seen of them."""

import asyncio
import itertools
import operator
import os
import threading
from concurrent import futures

import pytest

import actors
import futures_actors
import observe
import pools
import tasks
from futures_actors import ActorPool, ActorRef, MailboxFull
from gates import PATIENCE


def test_a_pool_is_an_executor_and_a_reference(start_pool):
    with start_pool(3) as pool:
        assert isinstance(pool, ActorPool)
        assert isinstance(pool, futures_actors.ActorExecutor)
        assert isinstance(pool, futures.Executor)
        assert isinstance(pool, ActorRef)
        assert len(pool) == 3
        assert pool.post((tasks.echo, 1)).result(PATIENCE) == 1


def test_a_pool_has_a_member_for_each_usable_cpu_by_default(pool_kind, start_pool):
    options = pool_kind.actor(actors.Do).pool()
    cpus = os.process_cpu_count() if hasattr(os, "process_cpu_count") else None
    assert options.pool_size == (cpus or len(os.sched_getaffinity(0)))
    assert isinstance(options, futures_actors.Options)


@pytest.mark.parametrize("bad", [0, -1, True, 1.5, "7", 65_537, 2**70])
def test_a_bad_size_is_refused(pool_kind, bad):
    with pytest.raises((TypeError, ValueError), match="size of a pool must"):
        pool_kind.actor(actors.Do).pool(bad)


def test_the_size_has_no_name_and_bad_options_are_refused(pool_kind):
    for bad in ({"size": 2}, {"colour": "red"}, {"mailbox_size": 0}):
        with pytest.raises((TypeError, ValueError)):
            pool_kind.actor(actors.Do).pool(**bad)


def test_an_executor_of_one_actor_and_a_pool_refuse_each_others_options(pool_kind):
    actor = pool_kind.actor(actors.Do)
    one = getattr(futures_actors, f"{pool_kind.base}ActorExecutor")
    with pytest.raises(TypeError, match=r"start a pool by \w+.pool\(2\).executor\(...\)"):
        one(actor.pool(2))
    for options in (actor, actor.options()):
        with pytest.raises(TypeError, match=f"start a pool by {actor.__name__}.pool"):
            ActorPool(options)
    for start in (one, ActorPool):
        with pytest.raises(TypeError, match=r"needs an actor class, .* not <class 'int'>"):
            start(3)


def test_the_options_show_the_call_that_makes_them(pool_kind):
    options = pool_kind.actor(actors.Do).pool(3, mailbox_size=5)
    assert repr(options) == f"{pool_kind.prefix}Do.pool(3, mailbox_size=5)"


def test_the_base_class_refuses_to_start_a_pool():
    text = "use ProcessActor or ThreadActor for a pool.*Ray.*start several executors"
    with pytest.raises(NotImplementedError, match=text):
        futures_actors.Actor.pool(2).executor()


def test_every_argument_goes_to_each_constructor(start_pool):
    with start_pool(2, actors.Counter, 100) as pool:
        assert [one.result(PATIENCE) for one in pool.broadcast(1)] == [101, 101]


def test_messages_go_to_idle_members_while_one_is_busy(start_pool, gate):
    with start_pool(4) as pool:
        long = pool.post((tasks.pause, gate))
        gate.reached()
        short = [pool.post((tasks.echo, number)) for number in range(200)]
        assert [one.result(PATIENCE) for one in short] == list(range(200))
        assert long.running()
        gate.open()
        assert long.result(PATIENCE) == "passed"


def test_messages_run_on_all_members_at_once(start_pool, gates):
    with start_pool(4) as pool:
        held, running = pools.occupy(pool, gates, 4)
        waiting = pool.post((tasks.echo, "last"))
        assert all(one.running() for one in running)
        assert not waiting.running()
        assert pool.stats().depth == 1
        held[2].open()
        assert waiting.result(PATIENCE) == "last"
        for gate in held:
            gate.open()


def test_one_thread_whose_messages_fill_one_member_leaves_the_others_to_others(start_pool, gates):
    with start_pool(2) as pool:
        (gate,), _ = pools.occupy(pool, gates, 1)
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
        (other,), _ = pools.occupy(pool, gates, 1)
        behind = pool.post((tasks.echo, "behind"))
        first.open()
        callback.reached()
        # One member is in the callback. The other becomes idle.
        other.open()
        assert behind.result(PATIENCE) == "behind"
        callback.open()


def be_quick(pool):
    """Answer so many messages of microseconds that the pool expects more of that kind."""
    posted = [pool.post((tasks.echo, n)) for n in range(500)]
    assert [one.result(PATIENCE) for one in posted] == list(range(500))


def test_messages_that_block_begin_on_all_members_after_quick_ones(start_pool, gates):
    with start_pool(4) as pool:
        for _ in range(5):
            be_quick(pool)
            held, running = pools.occupy(pool, gates, 4)
            for gate in held:
                gate.open()
            assert [one.result(PATIENCE) for one in running] == ["passed"] * 4


def test_no_quick_message_waits_behind_those_that_block(start_pool, gates):
    with start_pool(4) as pool:
        be_quick(pool)
        held = [gates() for _ in range(3)]
        quick = []
        for gate in held:
            quick += [pool.post((tasks.echo, n)) for n in range(20)]
            pool.tell((tasks.pause, gate))
        quick += [pool.post((tasks.echo, n)) for n in range(20)]
        for gate in held:
            gate.reached()
        assert [one.result(PATIENCE) for one in quick] == [*range(20)] * 4
        be_quick(pool)
        for gate in held:
            gate.open()


def test_a_handler_that_waits_for_its_pool_is_answered_after_quick_messages(thread):
    def ask(_actor, depth):
        return depth and 1 + pool.submit(ask, None, depth - 1).result(PATIENCE)

    with thread.actor(actors.Do).pool(4).executor() as pool:
        for _ in range(5):
            be_quick(pool)
            assert pool.submit(ask, None, 3).result(PATIENCE) == 3


def test_submit_map_imap_and_tell_use_all_members(start_pool, tmp_path):
    path = tmp_path / "told"
    with start_pool(3) as pool:
        assert pool.submit(divmod, 17, 5).result(PATIENCE) == (3, 2)
        assert list(pool.map(operator.neg, range(50), timeout=PATIENCE)) == [-n for n in range(50)]
        messages = [(tasks.echo, number) for number in range(500)]
        assert list(pool.imap(messages, timeout=PATIENCE)) == list(range(500))
        assert sorted(pool.imap_unordered(messages, timeout=PATIENCE)) == list(range(500))
        for number in range(20):
            pool.tell((tasks.begin, str(path), number, False))
    told = [int(line) for one in tmp_path.glob("told.*") for line in one.read_text().split()]
    assert sorted(told) == list(range(20))
    assert pool.stats().told == 20


def test_imap_has_64_messages_ahead_for_each_member(start_pool):
    read = []

    def messages():
        for number in itertools.count():
            read.append(number)
            yield (tasks.echo, number)

    with start_pool(3) as pool:
        answers = pool.imap(messages())
        assert len(read) == 3 * 64
        answers.close()


def test_a_proxy_of_a_pool_calls_methods_of_any_member(start_pool):
    with start_pool(2, actors.Account, 5) as pool:
        assert pool.proxy().add(0).result(PATIENCE) == 5
        assert pool.members[1].proxy().add(2).result(PATIENCE) == 7
        assert pool.keyed("x").proxy().add(0).result(PATIENCE) in (5, 7)


def test_await_and_asyncio_work(start_pool):
    async def main(pool):
        posted = [pool.post((tasks.echo, number)) for number in range(50)]
        return await asyncio.gather(*posted)

    with start_pool(3) as pool:
        assert asyncio.run(main(pool)) == list(range(50))


# Cancelling, bounds.


def test_cancelled_messages_are_never_handled(start_pool, gates):
    with start_pool(2) as pool:
        held, running = pools.occupy(pool, gates, 2)
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
def test_the_mailbox_has_as_many_places_over_all_members(start_pool, gates, size):
    with start_pool(2, mailbox_size=size) as pool:
        held, _ = pools.occupy(pool, gates, 2)
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


def test_a_sender_that_waits_for_room_gets_it(start_pool, gates):
    with start_pool(2, mailbox_size=1) as pool:
        held, _ = pools.occupy(pool, gates, 2)
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


# Looking in.


def test_stats_are_sums_and_the_members_own(start_pool, gates):
    with start_pool(2) as pool:
        (gate,), _ = pools.occupy(pool, gates, 1)
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


def test_dump_traceback_shows_each_member(pool_kind, start_pool, gates):
    observe.need_traceback(is_process=pool_kind.is_process)
    with start_pool(2) as pool:
        (gate,), _ = pools.occupy(pool, gates, 1)
        text = pool.dump_traceback(timeout=PATIENCE)
        assert all(f"actor {member.name}" in text for member in pool.members)
        assert "in pause" in text
        gate.open()


def test_a_pool_says_what_it_is(pool_kind, start_pool):
    with start_pool(2) as pool:
        assert repr(pool) == f"<ActorPool of {pool_kind.prefix}Do running>"
    assert repr(pool) == f"<ActorPool of {pool_kind.prefix}Do stopped>"


# One member.


def test_a_pool_of_one_is_an_actor_in_order(start_pool):
    with start_pool(1) as pool:
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
