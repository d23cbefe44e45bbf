"""`current_actor()`, and which references keep an actor alive."""

import gc
import threading

import pytest

import actors
import tasks
from futures_actors import ActorRef, ThreadActor, current_actor
from gates import PATIENCE


class KnowsItself(ThreadActor):
    """Writes down what `current_actor()` returns wherever the actor's code runs."""

    def __init__(self, seen, ended=None):
        self.seen = seen
        self.ended = ended
        self.seen["constructor"] = current_actor()

    def on_start(self):
        self.seen["on_start"] = current_actor()

    def handle(self, message):
        self.seen["handle"] = current_actor()
        return self.seen["handle"]

    def method(self):
        self.seen["method"] = current_actor()

    def on_stop(self):
        self.seen["on_stop"] = current_actor()
        if self.ended is not None:
            self.ended.set()


def test_an_actors_code_knows_its_actor_wherever_it_runs():
    seen = {}
    with KnowsItself.executor(seen) as executor:
        answer = executor.post(1).result(PATIENCE)
        executor.proxy().method().result(PATIENCE)
        seen["function"] = executor.submit(current_actor).result(PATIENCE)
        assert type(answer) is ActorRef
    assert set(seen) == {"constructor", "on_start", "handle", "method", "function", "on_stop"}
    assert set(seen.values()) == {executor}
    assert answer.name == "KnowsItself"


def test_elsewhere_there_is_no_current_actor(thread):
    with pytest.raises(RuntimeError, match="no actor's code runs in this thread"):
        current_actor()
    failed = []

    def ask(_=None):
        with pytest.raises(RuntimeError, match="no actor's code"):
            current_actor()
        failed.append(False)

    def start_thread(_actor):
        other = threading.Thread(target=ask)
        other.start()
        other.join(PATIENCE)

    with thread.start(actors.Do) as executor:
        executor.post((start_thread,)).result(PATIENCE)
        future = executor.post((tasks.echo, 1))
        future.add_done_callback(ask)
        assert future.result(PATIENCE) == 1
    assert failed == [False, False]


def test_each_actor_is_its_own_current_actor(thread):
    with thread.start(actors.Do) as one, thread.start(actors.Do) as other:
        assert one.submit(current_actor).result(PATIENCE) == one
        assert other.submit(current_actor).result(PATIENCE) == other
        assert one.submit(other.submit(current_actor).result).result(PATIENCE) == other


class Keeps(ThreadActor):
    """Keeps references to itself where `hide` puts them, and says when it ends."""

    def __init__(self, hide, ended):
        self.ended = ended
        hide(self, current_actor())

    def handle(self, message):
        return current_actor() if message == "who" else message

    def on_stop(self):
        self.ended.set()


def ends(ended):
    """Whether the actor ends, whose references are gone.

    Without the GIL an object is freed by the thread that made it, which may be waiting, or else by
    a collection, and what it has held by the next one.
    """
    for _ in range(3):
        gc.collect()
    return ended.wait(PATIENCE)


class Slotted:
    __slots__ = ("kept",)


def in_an_attribute(actor, ref):
    actor.me = ref


def in_containers(actor, ref):
    actor.all = [ref, {"a": (ref, ref)}, {ref}]


def in_slots(actor, ref):
    actor.slotted = Slotted()
    actor.slotted.kept = ref


def in_a_closure(actor, ref):
    actor.call = lambda: ref.post(1)


def in_a_method(actor, ref):
    actor.call = ref.post


def in_a_proxy(actor, ref):
    actor.proxy = ref.proxy()


def in_a_default(actor, ref):
    def call(message, ref=ref):
        return ref.post(message)

    actor.call = call


def in_a_cycle(actor, ref):
    actor.me = actor
    actor.cycle = [ref]
    actor.cycle.append(actor.cycle)


def more_than_one(actor, ref):
    actor.me = [ref, current_actor(), current_actor()]


HIDING = [
    in_an_attribute,
    in_containers,
    in_slots,
    in_a_closure,
    in_a_method,
    in_a_proxy,
    in_a_default,
    in_a_cycle,
    more_than_one,
]


@pytest.mark.parametrize("hide", HIDING)
def test_a_reference_to_itself_does_not_keep_an_actor_alive(hide):
    ended = threading.Event()
    executor = Keeps.executor(hide, ended)
    executor.post(1).result(PATIENCE)
    assert not ended.is_set()
    del executor
    assert ended.wait(PATIENCE)


@pytest.mark.parametrize("hide", HIDING)
def test_a_reference_to_itself_that_others_have_keeps_it_alive(hide):
    ended = threading.Event()
    executor = Keeps.executor(hide, ended)
    me = executor.post("who").result(PATIENCE)
    del executor
    gc.collect()
    for message in range(10):  # before each of these waits, it has looked for its references
        assert me.post(message).result(PATIENCE) == message
    assert not ended.is_set()
    del me
    assert ends(ended)


def leave_a_cycle(go):
    go.wait(PATIENCE)
    cycle = [current_actor()]
    cycle.append(cycle)


def test_a_reference_to_itself_that_is_freed_while_the_actor_looks_does_not_keep_it_alive(
    monkeypatch,
):
    looks = []
    get_referents = gc.get_referents

    def collect_once(*objects):
        if not looks:
            looks.append(threading.get_ident())
            gc.collect()  # as Python does by itself after many allocations, in any thread
        return get_referents(*objects)

    ended, go = threading.Event(), threading.Event()
    executor = Keeps.executor(in_an_attribute, ended)
    executor.post(1).result(PATIENCE)
    executor.submit(leave_a_cycle, go)
    monkeypatch.setattr(gc, "get_referents", collect_once)
    del executor
    go.set()
    assert ended.wait(PATIENCE)
    assert looks
    assert looks != [threading.get_ident()]


@pytest.mark.parametrize("hide", [in_an_attribute, more_than_one])
def test_a_reference_to_itself_does_not_end_an_actor_that_is_being_started(hide):
    ended = threading.Event()
    for _ in range(200):  # without the GIL the constructor runs before `executor()` has returned
        executor = Keeps.executor(hide, ended)
        assert executor.post(1).result(PATIENCE) == 1
        assert not ended.is_set()
        executor.shutdown()
        ended.clear()


class AsksItsPool(ThreadActor):
    def __init__(self):
        self.others = len(current_actor().pool) - 1

    def handle(self, message):
        return self.others


def test_a_reference_to_its_pool_does_not_end_a_pool_that_is_being_started():
    for _ in range(50):
        with AsksItsPool.pool(2).executor() as pool:
            assert pool.post(1).result(PATIENCE) == 1


class Hands:
    """Hands a reference to its actor to the one that it is sent, and says when it ends."""

    def __init__(self, ended):
        self.me = current_actor()
        self.ended = ended

    def handle(self, message):
        if isinstance(message, ActorRef):
            message.tell(current_actor())
        return message

    def on_stop(self):
        self.ended.set()


class HandsAround(Hands, ThreadActor):
    pass


def test_an_actor_that_another_actor_knows_lives(thread):
    ended = threading.Event()
    with thread.start(actors.Keeps) as other:
        executor = HandsAround.executor(ended)
        executor.post(other).result(PATIENCE)
        del executor
        (known,) = other.post(None).result(PATIENCE)
        assert known.post("alive").result(PATIENCE) == "alive"
        assert not ended.is_set()
        known = None
    del other
    assert ends(ended)


def test_a_reference_in_a_message_keeps_an_actor_alive(thread, gate):
    ended = threading.Event()
    with thread.start(actors.Do) as other:
        other.post((tasks.pause, gate))
        gate.reached()
        executor = HandsAround.executor(ended)
        waiting = executor.submit(lambda: other.post((tasks.echo, current_actor())))
        answer = waiting.result(PATIENCE)
        del executor, waiting
        gate.open()
        assert answer.result(PATIENCE).post("alive").result(PATIENCE) == "alive"
        assert not ended.is_set()
        del answer
    assert ends(ended)


def test_actors_that_know_each_other_live_until_they_are_shut_down(thread):
    one, other = thread.start(actors.Keeps), thread.start(actors.Keeps)
    one.post(other.ref()).result(PATIENCE)
    other.post(one.ref()).result(PATIENCE)
    del one
    gc.collect()
    (known,) = other.post(None).result(PATIENCE)
    (back,) = known.post(None).result(PATIENCE)
    assert back == other
    other.shutdown()
    assert not back.is_alive()


def test_references_to_itself_of_an_actor_that_ends_do_no_harm():
    seen = {}
    with KnowsItself.executor(seen) as executor:
        executor.post(1).result(PATIENCE)
    assert not seen["handle"].is_alive()
    with pytest.raises(RuntimeError, match="after shutdown"):
        seen["handle"].post(2)


def test_many_references_to_itself_come_and_go():
    ended = threading.Event()
    executor = HandsAround.executor(ended)
    for _ in range(50):
        executor.submit(lambda: [current_actor() for _ in range(20)] and None).result(PATIENCE)
    assert not ended.is_set()
    del executor
    assert ended.wait(PATIENCE)
