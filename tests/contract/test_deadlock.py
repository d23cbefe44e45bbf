"""Waits that would never end: of an actor for itself, and of actors for each other."""

import threading
from concurrent import futures

import pytest

import actors
import tasks
from futures_actors import ActorDeadlock, ActorRef, MailboxFull, ThreadActor, current_actor
from gates import PATIENCE
from relays import deadlock_among


def wait_for_itself(actor, wait):
    return wait(current_actor().post((tasks.echo, 1)))


@pytest.mark.parametrize(
    "wait",
    [
        lambda future: future.result(),
        lambda future: future.result(PATIENCE),
        lambda future: future.exception(),
        lambda future: future.exception(timeout=0.01),
    ],
)
def test_an_actor_that_waits_for_itself_is_told_at_once(thread, wait):
    with thread.start(actors.Do) as executor:
        error = executor.post((wait_for_itself, wait)).exception(PATIENCE)
        assert type(error) is ActorDeadlock
        assert error.circle == (executor.name,)
        assert "would wait for itself" in str(error)
        assert executor.post((tasks.echo, "lives on")).result(PATIENCE) == "lives on"


def test_a_callback_that_waits_for_its_own_actor_is_told_at_once(kind, gate):
    got = []
    done = threading.Event()

    def wait(_):
        got.append(executor.post((tasks.echo, 2)).exception())
        done.set()

    def call(future):
        try:
            wait(future)
        except ActorDeadlock as error:
            got.append(error)
            done.set()

    with kind.start(actors.Do) as executor:
        future = executor.post((tasks.pause, gate))
        gate.reached()
        future.add_done_callback(call)
        gate.open()
        assert done.wait(PATIENCE)
        assert isinstance(got[0], ActorDeadlock)


def test_a_future_that_is_done_needs_no_wait(thread):
    def own(actor, future):
        return future.result()

    with thread.start(actors.Do) as executor:
        future = executor.post((tasks.echo, 5))
        assert future.result(PATIENCE) == 5
        assert executor.post((own, future)).result(PATIENCE) == 5


def test_an_actor_without_room_for_itself_is_told_at_once(thread):
    def fill(actor):
        for _ in range(2):
            current_actor().post((tasks.echo, 1), timeout=PATIENCE)

    bounded = thread.actor(actors.Do).options(mailbox_size=1)
    with bounded.executor() as executor:
        error = executor.post((fill,)).exception(PATIENCE)
        assert isinstance(error, ActorDeadlock)
        assert isinstance(error, MailboxFull)
        assert error.circle == (executor.name,)


class Passes(ThreadActor):
    """Passes a way on, from its first actor to the next; waits as `wait` says."""

    def handle(self, message):
        (first, *rest), wait = message
        return wait(first.post((rest, wait)))


def start(number):
    return [Passes.options(name=f"P{n}").executor() for n in range(number)]


def end(executors):
    for executor in executors:
        executor.shutdown()


@pytest.mark.parametrize("number", [2, 3, 5])
@pytest.mark.parametrize("timeout", [None, PATIENCE])
def test_a_circle_of_actors_is_found_in_one_of_its_waits(number, timeout):
    executors = start(number)
    way = [*executors[1:], executors[0]]
    error = executors[0].post((way, lambda future: future.result(timeout))).exception(PATIENCE)
    assert type(error) is ActorDeadlock
    assert sorted(error.circle) == sorted(executor.name for executor in executors)
    end(executors)


def test_the_circle_is_named_in_the_order_of_its_waits():
    executors = start(3)
    way = [*executors[1:], executors[0]]
    error = executors[0].post((way, lambda future: future.result())).exception(PATIENCE)
    first = error.circle.index("P0")
    assert error.circle[first:] + error.circle[:first] == ("P0", "P1", "P2")
    pairs = zip(error.circle, error.circle[1:] + error.circle[:1], strict=True)
    for one, other in pairs:
        assert f"{one} for {other}" in str(error)
    end(executors)


def test_only_one_wait_of_a_circle_fails_and_the_others_go_on():
    """The last actor catches the error, and so the first gets its answer."""

    def wait(future):
        try:
            return future.result()
        except ActorDeadlock as error:
            return "found", error.circle

    executors = start(4)
    answer = executors[0].post(([*executors[1:], executors[0]], wait))
    assert answer.result(PATIENCE)[0] == "found"
    end(executors)


def test_a_long_wait_that_ends_is_no_deadlock(thread, gate):
    with thread.start(actors.Do) as slow, thread.start(actors.Do) as fast:

        def both(actor):
            return slow.post((tasks.pause, gate)).exception(PATIENCE)

        asked = [fast.post((both,)), fast.post((both,))]
        for one in asked:
            gate.reached()
            assert futures.wait([one], timeout=0.3).not_done  # it is looked at after 0.1 s
            gate.open()
            assert one.result(PATIENCE) is None


def test_a_timeout_still_ends_a_wait_in_an_actor(thread, gate):
    def wait(actor, future, timeout):
        with pytest.raises(futures.TimeoutError):
            future.result(timeout)
        return True

    with thread.start(actors.Do) as slow, thread.start(actors.Do) as fast:
        future = slow.post((tasks.pause, gate))
        gate.reached()
        for timeout in (0, 0.01, 0.15, 0.3):
            assert fast.post((wait, future, timeout)).result(PATIENCE)
        gate.open()


class Fills(ThreadActor):
    """Sends the other more than its mailbox has room for, and then handles slowly."""

    def handle(self, message):
        if isinstance(message, ActorRef):
            self.other = message
        elif message == "fill":
            for _ in range(4):
                self.other.tell("filled", timeout=PATIENCE)


def test_a_circle_of_waits_for_room_is_found():
    one = Fills.options(mailbox_size=1, name="one").executor()
    two = Fills.options(mailbox_size=1, name="two").executor()
    with one, two:
        one.post(two).result(PATIENCE)
        two.post(one).result(PATIENCE)
        errors = [one.post("fill"), two.post("fill")]
        errors = [future.exception(PATIENCE) for future in errors]
        found = [error for error in errors if isinstance(error, ActorDeadlock)]
        # If one of them is quick, the other finds room.
        assert len(found) <= 1
        for error in found:
            assert isinstance(error, MailboxFull)
            assert sorted(error.circle) == ["one", "two"]


def test_a_circle_of_a_wait_for_room_and_one_for_an_answer_is_found(gate):
    class One(ThreadActor):
        def handle(self, two):
            if two is not None:
                gate.wait()
                two.tell(None)
                two.tell(None)  # there is room for one

    class Two(ThreadActor):
        def handle(self, one):
            if one is not None:
                gate.wait()
                one.post(None).result()

    one = One.options(name="one").executor()
    two = Two.options(name="two", mailbox_size=1).executor()
    with one, two:
        first, second = one.post(two), two.post(one)
        gate.reached()
        gate.reached()
        gate.open(2)
        assert sorted(deadlock_among(first, second).circle) == ["one", "two"]


def test_threads_that_an_actor_has_started_may_wait_for_it(thread):
    def ask(actor):
        me, got = current_actor(), futures.Future()

        def wait():
            got.set_result(me.post((tasks.echo, "answered")).result(PATIENCE))

        threading.Thread(target=wait).start()
        return got

    with thread.start(actors.Do) as executor:
        assert executor.post((ask,)).result(PATIENCE).result(PATIENCE) == "answered"


def wait_for_the_pool(_actor, pool, gate, message):
    gate.wait()
    return pool.post(message).result()


def test_a_pool_of_which_every_member_waits_for_it_is_found(local_kind, gate):
    """One wait is refused. That member then handles what the other waits for."""
    with local_kind.actor(actors.Do).pool(2).executor() as pool:
        waiting = [pool.post((wait_for_the_pool, pool, gate, (tasks.echo, "x"))) for _ in range(2)]
        gate.reached()
        gate.reached()
        gate.open(2)
        found = deadlock_among(*waiting)
        assert type(found) is ActorDeadlock
        assert set(found.circle) <= {member.name for member in pool.members}


def test_a_circle_through_a_pool_is_found_if_every_member_waits(local_kind, gate):
    pool_of, single = local_kind.actor(actors.Do).pool(2), local_kind.actor(actors.Do)
    with pool_of.executor() as pool, single.options(name="single").executor() as one:
        waiting = [
            pool.post((wait_for_the_pool, one, gate, (tasks.echo, "from one"))) for _ in range(2)
        ]
        gate.reached()
        gate.reached()
        asking = one.post((wait_for_the_pool, pool, gate, (tasks.echo, "from the pool")))
        gate.reached()
        gate.open(3)
        assert "single" in deadlock_among(*waiting, asking).circle


def test_a_member_may_wait_for_its_pool_while_another_is_free(local_kind, gate):
    with local_kind.actor(actors.Do).pool(2).executor() as pool:
        asked = pool.post((wait_for_the_pool, pool, gate, (tasks.pause, gate)))
        gate.reached()
        gate.open()
        gate.reached()  # the other member runs
        assert futures.wait([asked], timeout=0.4).not_done  # it is looked at after 0.2 s
        gate.open()
        assert asked.result(PATIENCE) == "passed"


def test_a_member_that_waits_for_its_own_key_is_told_at_once(local_kind):
    with local_kind.actor(actors.Do).pool(2).executor() as pool:
        first = pool.members[0]
        error = first.post((wait_for_member, first)).exception(PATIENCE)
        assert type(error) is ActorDeadlock
        assert error.circle == (first.name,)


def wait_for_member(_actor, member):
    return member.post((tasks.echo, 1)).result()
