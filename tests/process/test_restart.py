"""Process actors that are started again after a death: what runs where, what fails, and when it
ends. The processes are killed at every moment that matters, and at random."""

import logging
import os
import random
import sys
import threading
import time
from concurrent import futures

import pytest

import actors
import futures_actors
import programs
import tasks
from futures_actors import ActorDied, ActorInitError, ProcessActor
from gates import PATIENCE

DIE = (tasks.exit_at_once, 3)


def start(restarts=1, *args, body="Do", **options):
    options = getattr(actors, f"Process{body}").options(max_restarts=restarts, **options)
    return options.executor(*args)


class Logged(ProcessActor):
    """Writes its births to a file; a later birth fails if the file `fail` is there."""

    def __init__(self, path, tag="born"):
        self.path = path
        self.log = []
        tasks.append_to(self, path, f"{tag} {os.getpid()}\n")
        if path.with_name("births.die").exists():
            os._exit(5)
        if path.with_name("births.fail").exists():
            raise KeyError("this birth fails")

    handle = actors.Do.handle

    def on_stop(self):
        tasks.append_to(self, self.path, f"stopped {os.getpid()}\n")


def words(path):
    return [line.split()[0] for line in path.read_text().splitlines()]


def test_an_actor_is_started_again_with_the_original_arguments(tmp_path):
    path = tmp_path / "births"
    with Logged.options(max_restarts=1).executor(path, tag="again") as executor:
        first = executor.post((tasks.get_pid,)).result(PATIENCE)
        assert executor.post(DIE).exception(PATIENCE).started
        second = executor.post((tasks.get_pid,)).result(PATIENCE)
        assert first != second
        assert executor.stats().pid == second
        assert executor.stats().restarts == 1
    assert words(path) == ["again", "again", "stopped"]


def test_state_is_lost_and_what_waits_is_not(gate):
    with start() as executor:
        executor.post((tasks.remember, "lost")).result(PATIENCE)
        executor.post((tasks.pause, gate))
        died = executor.post(DIE)
        posted = [executor.post((tasks.remember, number)) for number in range(1200)]
        cancelled = [future.cancel() for future in posted[::7]]
        gate.open()
        error = died.exception(PATIENCE)
        assert (type(error), error.exitcode, error.started) == (ActorDied, 3, True)
        kept = [number for number in range(1200) if number % 7]
        assert all(cancelled)
        assert executor.post((tasks.recall,)).result(PATIENCE) == kept
        answers = [posted[number].result(PATIENCE) for number in kept]
        assert answers == list(range(1, len(kept) + 1))


def test_an_idle_actor_that_dies_is_started_again():
    with start() as executor:
        pid = executor.post((tasks.get_pid,)).result(PATIENCE)
        os.kill(pid, tasks.KILL)
        programs.wait_until(lambda: executor.stats().restarts == 1, PATIENCE)
        programs.wait_until(lambda: executor.stats().pid not in (None, pid), PATIENCE)
        assert executor.stats().state == "running"
        assert executor.post((tasks.get_pid,)).result(PATIENCE) != pid


def test_a_budget_that_is_spent_fails_everything(gate):
    executor = start(2)
    executor.post((tasks.pause, gate))
    deaths = [executor.post(DIE) for _ in range(3)]
    waiting = [executor.post((tasks.echo, number)) for number in range(5)]
    gate.open()
    assert [future.exception(PATIENCE).started for future in deaths] == [True] * 3
    assert [future.exception(PATIENCE).started for future in waiting] == [False] * 5
    assert len({future.exception(0).pid for future in deaths}) == 3
    executor.shutdown()
    stats = executor.stats()
    assert (stats.restarts, stats.state, stats.depth) == (2, "broken", 0)
    with pytest.raises(ActorDied):
        executor.post(1)


def test_a_budget_comes_back_when_its_window_has_passed():
    with start(1, restart_window=0.3) as executor:
        for _ in range(3):
            assert executor.post(DIE).exception(PATIENCE).started
            assert executor.post((tasks.echo, "alive")).result(PATIENCE) == "alive"
            time.sleep(0.35)
        assert executor.stats().restarts == 3


def test_without_a_budget_a_death_is_the_end():
    with start(0) as executor:
        executor.post(DIE).exception(PATIENCE)
        with pytest.raises(ActorDied):
            executor.post(1)


def test_a_first_constructor_that_raises_is_no_death(tmp_path):
    (tmp_path / "births.fail").touch()
    executor = Logged.options(max_restarts=5).executor(tmp_path / "births")
    executor.shutdown()
    with pytest.raises(ActorInitError):
        executor.post(1)
    assert words(tmp_path / "births") == ["born"]


@pytest.mark.parametrize(("how", "kind"), [("fail", ActorInitError), ("die", ActorDied)])
def test_a_constructor_that_fails_in_a_restart_counts_as_one(tmp_path, gate, how, kind):
    path = tmp_path / "births"
    executor = Logged.options(max_restarts=3).executor(path)
    executor.post((tasks.pause, gate))
    died = executor.post(DIE)
    waiting = [executor.post((tasks.echo, number)) for number in range(3)]
    gate.reached()
    (tmp_path / f"births.{how}").touch()
    gate.open()
    assert died.exception(PATIENCE).started
    for future in waiting:
        error = future.exception(PATIENCE)
        assert isinstance(error, kind)
        assert not getattr(error, "started", False)
    executor.shutdown()
    assert executor.stats().restarts == 3
    assert words(path) == ["born"] * 4


def test_a_constructor_that_fails_once_in_a_restart_is_tried_again(tmp_path, gate):
    path = tmp_path / "births"
    with Logged.options(max_restarts=30).executor(path) as executor:
        executor.post((tasks.pause, gate))
        executor.post(DIE)
        waiting = executor.post((tasks.echo, "at last"))
        gate.reached()
        (tmp_path / "births.fail").touch()
        gate.open()
        programs.wait_until(lambda: len(words(path)) > 2, PATIENCE)
        (tmp_path / "births.fail").unlink()
        assert waiting.result(PATIENCE) == "at last"


def test_a_shutdown_drains_across_a_death(gate, tmp_path):
    path = tmp_path / "births"
    executor = Logged.options(max_restarts=1).executor(path)
    executor.post((tasks.pause, gate))
    executor.post(DIE)
    waiting = [executor.post((tasks.remember, number)) for number in range(30)]
    gate.reached()
    executor.shutdown(wait=False)
    gate.open()
    executor.shutdown(timeout=PATIENCE)
    assert [future.result(0) for future in waiting] == list(range(1, 31))
    assert words(path)[-1] == "stopped"


def test_a_death_after_which_nothing_is_left_to_do_is_the_end(gate):
    executor = start(5)
    executor.post((tasks.pause, gate))
    died = executor.post(DIE)
    executor.shutdown(wait=False)
    gate.open()
    executor.shutdown(timeout=PATIENCE)
    assert died.exception(0).started
    assert executor.stats().restarts == 0


@pytest.mark.parametrize("force", ["terminate", "kill"])
def test_force_is_no_death_to_restart_after(gate, force):
    executor = start(5)
    posted = [executor.post((tasks.pause, gate)), executor.post((tasks.echo, 1))]
    gate.reached()
    getattr(executor, force)()
    assert [future.exception(PATIENCE).started for future in posted] == [True, False]
    executor.shutdown(timeout=PATIENCE)
    assert executor.stats().restarts == 0


def test_force_at_random_moments_of_a_restart():
    for turn in range(12):
        executor = start(50)
        posted = [executor.post((tasks.kill, tasks.KILL)) for _ in range(60)]
        time.sleep(random.random() * 0.08)
        executor.kill()
        executor.shutdown(timeout=PATIENCE)
        for future in posted:
            error = future.exception(0)
            assert isinstance(error, ActorDied), turn


def test_a_bounded_mailbox_keeps_its_bound_across_a_death(gate):
    with start(1, mailbox_size=3) as executor:
        executor.post((tasks.pause, gate))
        gate.reached()
        died = executor.post(DIE)
        waiting = [executor.post((tasks.echo, number), timeout=0) for number in range(2)]
        with pytest.raises(futures_actors.MailboxFull):
            executor.post(1, timeout=0)
        got = []
        poster = threading.Thread(
            target=lambda: got.extend(executor.post((tasks.echo, n)) for n in range(50))
        )
        poster.start()
        gate.open()
        poster.join(PATIENCE)
        assert died.exception(PATIENCE).started
        assert [future.result(PATIENCE) for future in waiting] == [0, 1]
        assert [future.result(PATIENCE) for future in got] == list(range(50))
        for number in range(3):
            executor.post((tasks.nap, 0.01 * number), timeout=PATIENCE)


def test_told_messages_that_have_not_begun_run_on_the_new_instance(gate, caplog):
    with start() as executor:
        executor.post((tasks.pause, gate))
        executor.tell(DIE)
        for number in range(700):
            executor.tell((tasks.remember, number))
        gate.open()
        assert executor.post((tasks.recall,)).result(PATIENCE) == list(range(700))
        assert executor.stats().failed == 1
    (lost,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "1 messages sent by tell() are lost, and 1 of them had begun" in lost.getMessage()
    assert lost.getMessage().endswith("terminated abruptly: it exited with code 3")
    restarted = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "started again" in restarted[0].getMessage()


def test_told_messages_that_were_handled_are_not_handled_again(gate, tmp_path, caplog):
    """There are so few of them that the process had not reported any when it died."""
    path = tmp_path / "handled"
    with start() as executor:
        executor.post((tasks.pause, gate))
        for number in range(20):
            executor.tell((tasks.append_to, path, f"{number}\n"))
        died = executor.post(DIE)
        for number in range(20, 40):
            executor.tell((tasks.append_to, path, f"{number}\n"))
        gate.reached()
        gate.open()
        assert died.exception(PATIENCE).started
        assert executor.post((tasks.echo, 1)).result(PATIENCE) == 1
        stats = executor.stats()
        assert (stats.handled, stats.failed, stats.depth) == (42, 1, 0)
    assert words(path) == [str(number) for number in range(40)]
    assert not [record for record in caplog.records if record.levelno == logging.ERROR]


def test_methods_and_functions_run_on_the_new_instance(gate):
    with start() as executor:
        executor.post((tasks.pause, gate))
        executor.post(DIE)
        answer = executor.submit(pow, 2, 10)
        gate.open()
        assert answer.result(PATIENCE) == 1024


def test_round_trips_one_by_one_go_on_with_the_new_instance():
    """Then the thread that waits in `result` reads the answers in place of the I/O thread."""
    with start(3) as executor:
        for _ in range(3):
            for number in range(50):
                assert executor.post((tasks.echo, number)).result(PATIENCE) == number
            assert executor.post(DIE).exception(PATIENCE).started
        assert executor.post((tasks.echo, "end")).result(PATIENCE) == "end"


def test_an_actor_that_keeps_dying_leaves_nothing_behind():
    deaths = 20
    # The interpreter that is kept ready on Windows has some handles, at any time, but not one for
    # each death.
    room = deaths - 1 if sys.platform == "win32" else 0
    before = len(programs.descriptors_of_this_process())
    executor = start(deaths)
    for future in [executor.post(DIE) for _ in range(deaths)]:
        assert future.exception(PATIENCE).started
    assert executor.post((tasks.echo, 1)).result(PATIENCE) == 1
    executor.shutdown()
    programs.wait_until(lambda: len(programs.descriptors_of_this_process()) <= before + room)


def test_the_exit_of_the_interpreter_drains_across_a_death(script, tmp_path):
    source = """if True:
        import actors, sys, tasks
        executor = actors.ProcessDo.options(max_restarts=1).executor()
        executor.post((tasks.nap, 0.2))
        executor.post((tasks.exit_at_once, 3))
        for number in range(5):
            executor.post((tasks.append_to, sys.argv[1], f"{number} "))
    """
    path = tmp_path / "handled"
    assert script(source, args=[str(path)]).status == 0
    assert path.read_text().split() == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("seed", range(6))
def test_killed_at_random_moments_each_message_ends_once_and_truly(tmp_path, seed):
    """Each message writes its number to a file before it answers. Whatever was answered is there
    once, whatever is said not to have begun is not there, and the order is that of the posts."""
    rng = random.Random(seed)
    path = tmp_path / "log"
    executor = start(10_000)
    stop = threading.Event()

    def kill():
        handled = kills = 0
        # About as many kills as on a quiet machine. Without this limit, a slower machine would make
        # more.
        while kills < 40 and not stop.wait(rng.random() * 0.02):
            stats = executor.stats()
            # Usually a process that has handled some messages, but sometimes one that is starting.
            if stats.pid is None or (stats.handled == handled and rng.random() < 0.99):
                continue
            handled = stats.handled
            try:
                os.kill(stats.pid, tasks.KILL)
            except OSError:  # it has ended
                continue
            kills += 1
            killed.set()

    killed = threading.Event()
    killer = threading.Thread(target=kill)
    killer.start()
    posted, cancelled = {}, set()
    for number in range(1500):
        future = executor.post((tasks.append_to, path, f"{number}\n"))
        posted[number] = future
        if rng.random() < 0.1 and future.cancel():
            cancelled.add(number)
        if rng.random() < 0.1:
            futures.wait([future], PATIENCE)
        if number == 750:
            # A quick machine handles all of them before the first kill.
            assert killed.wait(PATIENCE)
    futures.wait(posted.values(), 60)
    stop.set()
    killer.join(PATIENCE)
    executor.shutdown(timeout=PATIENCE)
    written = [int(line) for line in path.read_text().split()] if path.exists() else []
    assert written == sorted(set(written))
    seen = set(written)
    begun = 0
    for number, future in posted.items():
        if number in cancelled:
            assert number not in seen
            continue
        error = future.exception(0)
        if error is None:
            assert number in seen
        else:
            assert (type(error), error.started) == (ActorDied, True)
            begun += 1
    stats = executor.stats()
    assert stats.restarts > 0
    assert (stats.handled, stats.failed) == (1500 - begun - len(cancelled), begun)
    assert begun <= stats.restarts + 1
