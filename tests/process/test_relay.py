"""References that cross to a process: its messages to other actors are relayed by the parent."""

import gc
import os
import pickle

import pytest

import actors
import futures_actors
import observe
import programs
import relays
import tasks
from futures_actors import ActorDied, ActorRef, BrokenActor
from gates import PATIENCE

try:
    import numpy as np
except ImportError:
    np = None


def test_a_reference_as_constructor_argument_reaches_its_actor(process, target):
    with process.start(actors.Holder, target) as asker:
        for number in range(20):
            asked = asker.post((relays.ask_held, (tasks.echo, number)))
            assert asked.result(PATIENCE) == number


def test_a_reference_in_a_message_at_any_depth_reaches_its_actor(asker, target):
    for message in (target, target.ref()):
        asked = asker.post((relays.ask, message, (tasks.echo, "x")))
        assert asked.result(PATIENCE) == "x"
    nested = {"deep": [(target,)]}
    dug = asker.submit(lambda found: found["deep"][0][0].name, nested)
    assert dug.result(PATIENCE) == target.name


def test_a_reference_arrives_as_an_actor_ref_that_knows_its_actor(asker, target):
    found = asker.post((relays.describe, target)).result(PATIENCE)
    name = target.name
    assert found == (True, name, True, f"<ActorRef of {name}>", True, ["handle"])


def test_a_reference_that_comes_back_is_equal_to_the_executor(asker, target):
    ref = asker.post((relays.give_back, target)).result(PATIENCE)
    assert type(ref) is ActorRef
    assert ref == target
    assert hash(ref) == hash(target)
    assert ref.post((tasks.echo, 1)).result(PATIENCE) == 1


def test_every_kind_of_message_is_relayed(asker, target, tmp_path):
    path = tmp_path / "told"
    answers = asker.post((relays.every_kind, target, path)).result(PATIENCE)
    assert answers == [(3, 1), "method"]
    assert path.read_text() == "told"


def test_messages_of_one_actor_to_another_keep_their_order(asker, target):
    count = 2_000  # more than a window has room for
    assert asker.post((relays.all_in_order, target, count)).result(PATIENCE) == [*range(count)]


def test_cancel_and_running_are_exact_from_another_process(asker, target, gate):
    cancelled = asker.post((relays.cancel_around, target, gate)).result(PATIENCE)
    assert cancelled == ((True, False, True, False, True, True, False), "passed")
    assert target.post((tasks.recall,)).result(PATIENCE) == []


def test_an_exception_crosses_with_its_remote_traceback(asker, target):
    kind, text, cause = asker.post(
        (relays.error_of, target, (tasks.fail, KeyError("reason")))
    ).result(PATIENCE)
    assert (kind, text) == (KeyError, "'reason'")
    assert "in fail" in cause


def test_an_answer_that_cannot_be_pickled_fails_its_own_future_alone(asker, target):
    asked = asker.post((relays.error_of, target, (tasks.answer_with_lock,)))
    kind, _, _ = asked.result(PATIENCE)
    assert issubclass(kind, (TypeError, pickle.PicklingError))
    assert asker.post((relays.ask, target, (tasks.echo, 1))).result(PATIENCE) == 1


@observe.needs_numpy
@pytest.mark.parametrize("count", [100, 100_000, 3_000_000])
def test_arrays_cross_from_one_actor_to_another_and_back(asker, target, count):
    array = np.arange(count, dtype=np.float64)
    doubled = asker.post((relays.ask, target, (relays.double, array))).result(PATIENCE)
    assert np.array_equal(doubled, array * 2)


def test_callbacks_and_coroutines_in_the_process_get_their_answers(asker, target):
    for _ in range(20):
        found = asker.post((relays.callbacks, target)).result(PATIENCE)
        assert found == ["callback", "again", [*range(10)], "awaited"]


def test_threads_of_the_process_share_a_reference(asker, target):
    assert asker.post((relays.by_threads, target, 4, 50)).result(PATIENCE)


def test_a_reference_can_be_passed_on(process, asker, target):
    with process.start(actors.Do) as middle:
        asked = asker.post((relays.pass_on, middle, target, (tasks.echo, "far")))
        assert asked.result(PATIENCE) == "far"


@pytest.mark.parametrize("target_kind", ["thread", "process"])
def test_a_bounded_mailbox_counts_senders_of_other_processes(request, asker, gate, target_kind):
    actor = request.getfixturevalue(target_kind).actor(actors.Do)
    with actor.options(mailbox_size=1).executor() as target:
        refused, answers, seen = asker.post((relays.fill, target, gate)).result(PATIENCE)
        # What was refused was never accepted.
        stats = target.stats()
        assert (stats.depth, stats.cancelled) == (0, 0)
    assert len(refused) == 2
    assert all("full" in text for text in refused)
    assert answers == ["passed", 1, 2]
    assert seen == [1, 2]


def test_the_death_of_the_target_ends_each_message_and_says_whether_it_had_begun(
    process, asker, gate
):
    with process.start(actors.Do) as target:
        killed = (relays.errors_around_death, target, gate, (tasks.exit_at_once, 3))
        errors, later, is_alive = asker.post(killed).result(PATIENCE)
    assert errors == [(ActorDied, True), *[(ActorDied, False)] * 3]
    assert issubclass(later, BrokenActor)
    assert not is_alive


def test_a_target_that_is_shut_down_refuses_messages_of_other_actors(process, target):
    with process.start(actors.Holder, target) as asker:
        target.shutdown()
        with pytest.raises(RuntimeError, match="after shutdown"):
            asker.post((relays.ask_held, (tasks.echo, 1))).result(PATIENCE)


def test_messages_of_a_dead_actor_are_handled_and_their_answers_dropped(process, target, gate):
    with process.start(actors.Do) as asker:
        dying = asker.post((relays.post_and_die, target, gate))
        assert isinstance(dying.exception(PATIENCE), ActorDied)
    gate.open()
    assert target.post((tasks.recall,)).result(PATIENCE) == ["of a dead actor"]


def test_an_actor_lives_while_another_one_refers_to_it(process, asker):
    target = process.start(actors.Do)
    pid = target.post((tasks.get_pid,)).result(PATIENCE)
    asker.post((relays.hold, target)).result(PATIENCE)
    del target
    gc.collect()
    assert asker.post((relays.ask_held, (tasks.get_pid,))).result(PATIENCE) == pid
    asker.post((relays.let_go,)).result(PATIENCE)
    assert programs.wait_until(lambda: programs.is_gone(pid))


def test_a_dead_actor_holds_no_other_actor(process, asker):
    target = process.start(actors.Do)
    pid = target.post((tasks.get_pid,)).result(PATIENCE)
    with process.start(actors.Do) as holder:
        holder.post((relays.hold, target)).result(PATIENCE)
        del target
        gc.collect()
        os.kill(holder.post((tasks.get_pid,)).result(PATIENCE), 9)
        assert programs.wait_until(lambda: programs.is_gone(pid))


def test_a_cancelled_message_holds_no_actor(process, asker, gate):
    target = process.start(actors.Do)
    pid = target.post((tasks.get_pid,)).result(PATIENCE)
    asker.post((tasks.pause, gate))
    gate.reached()
    message = asker.post((relays.hold, target))
    del target
    assert message.cancel()
    del message
    gate.open()
    assert programs.wait_until(lambda: programs.is_gone(pid))


def test_references_made_and_dropped_leave_nothing(process, asker):
    with process.start(actors.Do) as target:
        for _ in range(50):
            refs = [target.ref() for _ in range(20)]
            found = asker.post((relays.make_and_drop, refs)).result(PATIENCE)
            assert found == [*range(20)]


def test_a_reference_survives_the_restart_of_its_holder(process, target):
    actor = process.actor(actors.Holder)
    with actor.options(max_restarts=1).executor(target) as asker:
        asker.post((tasks.exit_at_once, 1)).exception(PATIENCE)
        assert asker.post((relays.ask_held, (tasks.echo, 1))).result(PATIENCE) == 1


def test_a_reference_survives_the_restart_of_its_target(process, asker):
    actor = process.actor(actors.Do)
    with actor.options(max_restarts=1).executor() as target:
        asker.post((relays.hold, target)).result(PATIENCE)
        died = target.post((tasks.exit_at_once, 1))
        assert isinstance(died.exception(PATIENCE), ActorDied)
        assert asker.post((relays.ask_held, (tasks.echo, 1))).result(PATIENCE) == 1


def test_a_reference_outside_a_message_cannot_be_pickled(target):
    with pytest.raises(TypeError, match="can only be sent to thread and process actors"):
        pickle.dumps(target.ref())


def test_a_reference_cannot_be_loaded_where_it_was_not_sent(target):
    with pytest.raises(TypeError, match="can only be loaded"):
        futures_actors._reference.load((1, "Other", False, 0, 1), ("Other", ()))
