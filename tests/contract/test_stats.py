"""`executor.stats()`: state and counts of an actor, without asking it."""

import time

import pytest

import actors
import futures_actors
import programs
import tasks
from gates import PATIENCE


@pytest.mark.not_on_ray("which process it has is not known at once")
def test_the_stats_of_a_fresh_actor(kind):
    with kind.start(actors.Do) as executor:
        stats = executor.stats()
        assert type(stats) is futures_actors.Stats
        assert stats.name == f"{kind.prefix}Do"
        assert stats.state == "running"
        assert (stats.pid is None) is (not kind.is_process)
        assert (stats.depth, stats.running, stats.age) == (0, 0, None)
        counts = stats.handled, stats.failed, stats.cancelled, stats.told, stats.restarts
        assert counts == (0, 0, 0, 0, 0)
        with pytest.raises(AttributeError):
            stats.depth = 1


def test_the_pid_is_that_of_the_process(process):
    with process.start(actors.Do) as executor:
        assert executor.stats().pid == executor.post((tasks.get_pid,)).result(PATIENCE)
    assert executor.stats().pid is None


def test_stats_tell_what_waits_and_what_runs(kind, gate):
    with kind.start(actors.Do) as executor:
        executor.post((tasks.pause, gate))
        gate.reached()
        posted = [executor.post((tasks.echo, number)) for number in range(600)]
        executor.tell((tasks.echo, "told"))
        before = executor.stats()
        assert (before.depth, before.told, before.handled) == (601, 1, 0)
        time.sleep(0.05)
        after = executor.stats()
        assert before.age + 0.05 <= after.age < PATIENCE
        for future in posted[10:20]:
            assert future.cancel()
        stats = executor.stats()
        assert (stats.depth, stats.cancelled) == (591, 10)
        gate.open()
    stats = executor.stats()
    assert (stats.depth, stats.age) == (0, None)
    assert (stats.handled, stats.failed, stats.cancelled, stats.told) == (592, 0, 10, 1)


def test_counts_are_there_when_the_answer_is(kind):
    with kind.start(actors.Do) as executor:
        for number in range(1, 50):
            executor.post((tasks.echo, number)).result(PATIENCE)
            assert executor.stats().handled == number
        for number in range(1, 20):
            executor.post((tasks.fail, KeyError(number))).exception(PATIENCE)
            assert executor.stats().failed == number


def test_failures_of_told_messages_are_counted(kind):
    with kind.start(actors.Do) as executor:
        for _ in range(3):
            executor.tell((tasks.fail, KeyError("k")))
            executor.tell((tasks.echo, 1))
        executor.post((tasks.echo, 1)).result(PATIENCE)
        stats = executor.stats()
        assert (stats.handled, stats.failed, stats.told) == (4, 3, 6)


def test_told_messages_are_counted_in_time_though_nothing_is_posted(kind):
    with kind.start(actors.Do) as executor:
        for count in (1, 50, 700):
            before = executor.stats().handled
            for _ in range(count):
                executor.tell((tasks.echo, 1))
            programs.wait_until(
                lambda wanted=before + count: executor.stats().handled == wanted, PATIENCE
            )


def test_what_fails_in_the_parent_is_counted(process):
    import threading

    with process.start(actors.Do) as executor:
        executor.post(threading.Lock())
        assert executor.stats().failed == 1


def test_the_states_of_an_actor(kind, gate):
    executor = kind.start(actors.Do)
    future = executor.post((tasks.pause, gate))
    gate.reached()
    assert executor.stats().state == "running"
    executor.shutdown(wait=False)
    assert executor.stats().state == "stopping"
    gate.open()
    executor.shutdown()
    assert executor.stats().state == "stopped"
    assert future.done()
    executor = kind.start(actors.Fails, KeyError("k"))
    executor.shutdown()
    assert executor.stats().state == "broken"


def test_death_counts_as_failure(process, gate):
    executor = process.start(actors.Do)
    executor.post((tasks.pause, gate))
    executor.post((tasks.exit_at_once, 3))
    posted = [executor.post((tasks.echo, 1)) for _ in range(3)]
    gate.open()
    posted[-1].exception(PATIENCE)
    executor.shutdown()
    stats = executor.stats()
    assert (stats.state, stats.handled, stats.failed, stats.depth) == ("broken", 1, 4, 0)


def test_every_message_is_counted_once(kind):
    from concurrent import futures

    with kind.start(actors.Do) as executor:

        def send(sender):
            for number in range(100):
                if number % 4 == 0:
                    executor.tell((tasks.echo, number))
                else:
                    future = executor.post(
                        (tasks.fail, KeyError()) if number % 7 == 0 else (tasks.echo, 1)
                    )
                    if number % 3 == sender % 3:
                        future.cancel()

        with futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(send, range(4)))
    stats = executor.stats()
    assert stats.handled + stats.failed + stats.cancelled == 400
    assert (stats.depth, stats.told) == (0, 100)


def test_what_a_dead_actor_had_begun_does_not_run_any_more(process):
    with process.start(actors.Do) as executor:
        executor.post((tasks.exit_at_once, 3)).exception(PATIENCE)
        stats = executor.stats()
    assert (stats.state, stats.age, stats.depth, stats.failed) == ("broken", None, 0, 1)
