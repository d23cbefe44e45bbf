"""What an actor in a process knows: itself, its pool, and the members of other pools."""

import gc

import pytest

import actors
import relays
import tasks
from futures_actors import ActorRef, PoolRef, ProcessActor, current_actor
from gates import PATIENCE

KEYS = ["a", b"a", 7, 2.5, None, True, ("a", (1, None)), -1, 10**30]


class KnowsItself(ProcessActor):
    """Writes down what `current_actor()` returns wherever the actor's code runs."""

    def __init__(self, told=None):
        self.seen = {"constructor": current_actor()}
        self.told = told

    def on_start(self):
        self.seen["on_start"] = current_actor()

    def handle(self, _message):
        self.seen["handle"] = current_actor()
        self.pool = current_actor().pool
        return self.seen

    def method(self):
        self.seen["method"] = current_actor()

    def on_stop(self):
        if self.told is not None:
            self.told.tell((tasks.remember, current_actor().name))


class KnowsItselfLater(ProcessActor):
    """The same with `async def`."""

    def __init__(self):
        self.seen = {"constructor": current_actor()}

    async def handle(self, _message):
        self.seen["handle"] = current_actor()
        return self.seen


def test_the_code_of_a_process_actor_knows_its_actor_wherever_it_runs(thread):
    with thread.start(actors.Do) as log:
        with KnowsItself.executor(log) as executor:
            executor.proxy().method().result(PATIENCE)
            assert executor.submit(current_actor).result(PATIENCE) == executor
            seen = executor.post(1).result(PATIENCE)
            assert set(seen) == {"constructor", "on_start", "handle", "method"}
            assert set(seen.values()) == {executor}
            assert all(type(me) is ActorRef and me.index is me.pool is None for me in seen.values())
        assert log.post((tasks.recall,)).result(PATIENCE) == ["KnowsItself"]


def test_an_async_process_actor_knows_itself():
    with KnowsItselfLater.executor() as executor:
        assert set(executor.post(1).result(PATIENCE).values()) == {executor}


def test_elsewhere_in_a_process_there_is_no_current_actor(process):
    with process.start(actors.Do) as executor:
        found = executor.post((relays.current_elsewhere,)).result(PATIENCE)
        assert found == ["no actor's code runs in this thread"] * 2


def test_a_process_actor_can_send_messages_to_itself(process):
    with process.start(actors.Do) as executor:
        assert executor.post((relays.tell_itself, 50)).result(PATIENCE)
        assert executor.post((tasks.recall,)).result(PATIENCE) == [*range(50)]


def test_a_process_actor_can_hand_itself_to_others(process):
    with process.start(actors.Do) as one, process.start(actors.Do) as other:
        answer = one.post((relays.send_itself, other)).result(PATIENCE)
        assert answer == one
        (kept,) = other.post((tasks.recall,)).result(PATIENCE)
        assert kept == one
        assert other.submit(relays.ask, None, kept, (tasks.echo, 5)).result(PATIENCE) == 5


def test_a_reference_to_itself_does_not_keep_a_process_alive(process, thread):
    with thread.start(actors.Do) as log:
        executor = KnowsItself.executor(log)
        executor.post(1).result(PATIENCE)
        del executor
        gc.collect()
        relays.wait_until(lambda: log.post((tasks.recall,)).result(PATIENCE))


def test_a_process_actor_that_is_started_again_knows_itself(process):
    actor = process.actor(actors.Do).options(max_restarts=1)
    with actor.executor() as executor:
        executor.post((tasks.exit_at_once, 3)).exception(PATIENCE)
        assert executor.submit(current_actor).result(PATIENCE) == executor


@pytest.mark.parametrize("size", [1, 3])
def test_a_member_knows_its_index_and_its_pool(start_pool, size):
    with start_pool(size, actors.KnowsPlace, mailbox_size=10) as pool:
        for index, member in enumerate(pool.members):
            assert member.index == index
            assert member.pool == pool
            in_constructor, me, its_pool = member.post(None).result(PATIENCE)
            assert in_constructor == me.index == index
            assert (me, its_pool) == (member, pool)
            assert type(its_pool) is PoolRef
            assert pool != member
        assert pool.index is None
        assert pool.pool is None


def test_a_members_references_to_itself_and_its_pool_do_not_keep_a_pool_of_processes(thread):
    with thread.start(actors.Do) as log:
        pool = KnowsItself.pool(2).executor(log)
        for one in pool.broadcast(None):
            one.result(PATIENCE)
        one = pool = None
        gc.collect()
        relays.wait_until(lambda: len(log.post((tasks.recall,)).result(PATIENCE)) == 2)


def test_a_reference_to_a_member_keeps_its_pool_alive_also_from_a_process(process, start_pool):
    with process.start(actors.Keeps) as other:
        pool = start_pool(2)
        other.post(pool.members[1]).result(PATIENCE)
        del pool
        gc.collect()
        (kept,) = other.post(None).result(PATIENCE)
        assert kept.index == 1
        assert kept.pool.post((tasks.echo, 1)).result(PATIENCE) == 1
        assert kept.pool.members[0].post((tasks.echo, 2)).result(PATIENCE) == 2


@pytest.mark.parametrize("by_member", [False, True])
def test_a_pool_in_another_process_has_its_members(asker, start_pool, by_member):
    with start_pool(3) as pool:
        # Who knows a member knows the pool, too.
        known = pool.members[1] if by_member else pool
        found = asker.post((relays.look_at_pool, known)).result(PATIENCE)
        assert found["kind"] == "PoolRef"
        assert found["len"] == 3
        assert found["indices"] == [0, 1, 2]
        assert found["names"] == [member.name for member in pool.members]
        assert found["members"] == pool.members
        assert hash(found["members"][0]) == hash(pool.members[0])
        assert found["pool"] == pool
        assert found["same"]
        assert all(found["alive"])


def test_keys_have_the_same_member_in_every_process(asker, start_pool):
    with start_pool(3) as pool:
        keyed, went_to = asker.post((relays.by_keys, pool, KEYS)).result(PATIENCE)
        assert keyed == [pool.keyed(key) for key in KEYS]
        assert went_to == keyed


def test_a_key_keeps_the_order_of_a_process_that_posts(asker, start_pool):
    with start_pool(3) as pool:
        asker.post((relays.remember_by_key, pool, "key", 200)).result(PATIENCE)
        assert pool.keyed("key").post((tasks.recall,)).result(PATIENCE) == [*range(200)]


def test_a_key_that_only_one_process_can_hash_is_a_type_error_elsewhere(asker, start_pool):
    with start_pool(2) as pool:
        texts = asker.post((relays.bad_keys, pool)).result(PATIENCE)
        assert len(texts) == 5
        assert [("hashable" in text, "another process" in text) for text in texts] == [
            (False, True),
            (True, False),
            (False, True),
            (True, False),
            (False, True),
        ]


@pytest.mark.parametrize("mailbox_size", [None, 1])
def test_a_broadcast_from_another_process_reaches_each_member_once(asker, start_pool, mailbox_size):
    with start_pool(3, mailbox_size=mailbox_size) as pool:
        assert asker.post((relays.broadcast, pool, (tasks.remember, "x"))).result(PATIENCE) == 3
        logs = [member.post((tasks.recall,)).result(PATIENCE) for member in pool.members]
        assert logs == [["x"]] * 3


def test_a_pool_that_is_shut_down_refuses_messages_from_other_processes(asker, start_pool):
    with start_pool(2) as pool:
        held = asker.post((relays.hold, pool))
        held.result(PATIENCE)
    error = asker.post((relays.broadcast_held, (tasks.echo, 1))).exception(PATIENCE)
    assert isinstance(error, RuntimeError)
    assert "after shutdown" in str(error)
    assert asker.post((relays.is_held_alive,)).result(PATIENCE) is False
