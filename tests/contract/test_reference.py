"""References: `executor.ref()`, and what code can do with an actor that it knows."""

import asyncio
import copy
import gc
import pickle
from collections.abc import Hashable

import pytest

import actors
import futures_actors
import programs
import tasks
from futures_actors import ActorExecutor, ActorRef
from gates import PATIENCE


def test_a_reference_sends_every_kind_of_message(kind, tmp_path):
    path = tmp_path / "told"
    with kind.start(actors.Do) as executor:
        ref = executor.ref()
        assert ref.post((tasks.echo, 1)).result(PATIENCE) == 1
        ref.tell((tasks.append_to, path, "told"))
        assert ref.submit(abs, -3).result(PATIENCE) == 3
        assert ref.proxy().handle((tasks.echo, 4)).result(PATIENCE) == 4
        assert path.read_text() == "told"


def test_a_reference_awaits_room_and_answers(kind):
    async def main(ref):
        return await (await ref.apost((tasks.echo, 5)))

    with kind.start(actors.Do) as executor:
        assert asyncio.run(main(executor.ref())) == 5


def test_a_reference_cannot_end_its_actor(kind):
    with kind.start(actors.Echo) as executor:
        ref = executor.ref()
        assert type(ref) is ActorRef
        for name in ("shutdown", "terminate", "kill", "stats", "__enter__"):
            assert not hasattr(ref, name)


def test_an_executor_is_a_reference(kind):
    with kind.start(actors.Echo) as executor:
        assert isinstance(executor, ActorRef)
        assert issubclass(ActorExecutor, ActorRef)


def test_references_and_executor_of_one_actor_are_equal_and_have_one_hash(kind):
    with kind.start(actors.Echo) as executor, kind.start(actors.Echo) as other:
        refs = [executor.ref(), executor.ref(), executor]
        assert isinstance(refs[0], Hashable)
        assert len(set(refs)) == 1
        assert refs[0] == refs[1] == executor
        assert refs[0] != other
        assert refs[0] != other.ref()
        assert refs[0] != "a reference"


def test_a_copy_of_a_reference_is_the_reference(kind):
    with kind.start(actors.Echo) as executor:
        ref = executor.ref()
        assert copy.copy(ref) is ref
        assert copy.deepcopy([ref])[0] is ref
        assert copy.deepcopy({"a": executor})["a"] is executor


def test_a_reference_says_its_actors_name(kind):
    named = kind.actor(actors.Echo).options(name="second")
    with kind.start(actors.Echo) as executor, named.executor() as other:
        assert executor.name == executor.ref().name == kind.actor(actors.Echo).__name__
        assert other.name == other.ref().name == "second"
        assert repr(other.ref()) == f'<ActorRef of {kind.actor(actors.Echo).__name__} "second">'


def test_a_reference_says_whether_its_actor_accepts_messages(kind):
    executor = kind.start(actors.Echo)
    ref = executor.ref()
    assert ref.is_alive()
    executor.shutdown()
    assert not ref.is_alive()
    with pytest.raises(RuntimeError, match="after shutdown"):
        ref.post(1)


def test_an_actor_lives_while_a_reference_exists(kind, tmp_path):
    path = tmp_path / "life"
    executor = kind.start(actors.Writes, path)
    ref = executor.ref()
    del executor
    gc.collect()
    ref.post("message").result(PATIENCE)
    assert ref.is_alive()
    assert "stop" not in path.read_text()


def test_the_last_reference_lets_the_actor_end(kind, tmp_path):
    path = tmp_path / "life"
    executor = kind.start(actors.Writes, path)
    ref, same = executor.ref(), executor.ref()
    del executor, ref
    assert same.post("message").result(PATIENCE) is None
    assert "stop" not in path.read_text()
    del same
    programs.wait_until(lambda: "stop" in path.read_text(), PATIENCE)


def test_ending_an_actor_does_not_ask_for_references(kind):
    with kind.start(actors.Echo) as executor:
        ref = executor.ref()
    assert not ref.is_alive()


def test_a_thread_actor_gets_the_very_object(thread):
    with thread.start(actors.Echo) as executor, thread.start(actors.Echo) as other:
        ref = other.ref()
        assert executor.post(other).result(PATIENCE) is other
        assert executor.post([ref]).result(PATIENCE)[0] is ref


def test_a_thread_actor_asks_another_actor(kind, thread):
    with kind.start(actors.Counter, 5) as store, thread.start(actors.Asks, store) as worker:
        assert worker.post(3).result(PATIENCE) == 8


def test_a_reference_of_nothing_refuses_to_work():
    ref = ActorRef()
    for ask in (lambda: ref.post(1), lambda: ref.name, ref.is_alive, ref.proxy):
        with pytest.raises(NotImplementedError):
            ask()
    assert ref == ref
    assert ref != ActorRef()
    assert {ref: 1}[ref] == 1


def test_a_reference_pickled_outside_a_message_is_refused_with_the_reason(kind):
    with kind.start(actors.Echo) as executor:
        for one in (executor, executor.ref()):
            with pytest.raises(TypeError, match=f"actor {executor.name}.*belongs to this process"):
                pickle.dumps(one)


@pytest.mark.parametrize("wrap", [lambda future: future, lambda future: [{"a": future}]])
def test_a_future_in_a_message_to_a_process_is_refused_with_the_way_out(process, wrap):
    with process.start(actors.Echo) as executor:
        future = executor.post(1)
        error = executor.post(wrap(future)).exception(PATIENCE)
        assert type(error) is TypeError
        assert "post its result() instead, or send a reference to the actor" in str(error)
        assert f"message for actor {executor.name}" in str(error)


def test_references_are_typed_by_message_and_answer():
    assert ActorRef[str, int].__origin__ is futures_actors.ActorRef
