"""`dump_traceback`: where an actor is, while it hangs too."""

import contextlib
import os
import signal
import threading

import pytest

import actors
import loggers
import programs
import tasks
from futures_actors import ActorDied, ActorInitError, BrokenActor
from gates import PATIENCE


def test_a_traceback_shows_where_handle_is(kind, gate):
    with kind.start(actors.Do) as executor:
        future = executor.post((tasks.pause, gate))
        gate.reached()
        text = executor.dump_traceback(timeout=PATIENCE)
        assert not future.done()
        gate.open()
    assert "in pause" in text
    assert "tasks.py" in text
    assert "in handle" in text


def test_it_shows_code_that_holds_the_interpreter(process, gate):
    with process.start(actors.Do) as executor:
        future = executor.post((loggers.pause_in_c, gate))
        gate.reached()
        for _ in range(3):
            dump_until(executor, "in pause_in_c")
        assert not future.done()
        gate.open()
        # Not interrupted either.
        assert future.result(PATIENCE) == 1


def dump_until(executor, what):
    """Dump until the text says what is expected: the message has begun, but its code may not
    have."""
    texts = []

    def look():
        texts.append(executor.dump_traceback(timeout=PATIENCE))
        return what in texts[-1]

    programs.wait_until(look, PATIENCE)


def test_it_shows_every_thread_of_a_process(process, gate):
    with process.start(actors.Do) as executor:
        executor.post((loggers.pause_in_thread, gate))
        gate.reached()
        text = executor.dump_traceback(timeout=PATIENCE)
        gate.open()
    assert text.count("hread 0x") >= 2
    assert "in pause_in_thread" in text


def test_a_traceback_shows_the_constructor(kind, gate):
    with kind.start(actors.Waits, gate) as executor:
        gate.reached()
        text = executor.dump_traceback(timeout=PATIENCE)
        gate.open()
    assert "in __init__" in text


def test_an_idle_actor_has_a_traceback_too(kind):
    with kind.start(actors.Do) as executor:
        executor.post((tasks.echo, 1)).result(PATIENCE)
        assert "most recent call" in executor.dump_traceback(timeout=PATIENCE)


def test_a_traceback_can_be_had_right_after_the_start_and_again(process):
    """The child may not have come far enough to be asked."""
    with process.start(actors.Do) as executor:
        first = executor.dump_traceback(timeout=PATIENCE)
        executor.post((tasks.echo, 1)).result(PATIENCE)
        for _ in range(50):
            text = executor.dump_traceback(timeout=PATIENCE)
            # One stack of the main thread, not all that were ever asked for.
            assert text.count("_process/child.py") == 1
    assert "most recent call first" in first


def test_many_threads_may_ask_for_a_traceback_at_once(process, gate):
    with process.start(actors.Do) as executor:
        executor.post((tasks.pause, gate))
        gate.reached()
        texts = []

        def ask():
            for _ in range(20):
                texts.append(executor.dump_traceback(timeout=PATIENCE))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        gate.open()
    assert len(texts) == 80
    assert [text for text in texts if text.count("in pause") != 1] == []


def test_tracebacks_disturb_no_messages(process):
    with process.start(actors.Counter) as executor:
        futures = []
        for _ in range(20):
            futures += [executor.post(1) for _ in range(100)]
            executor.dump_traceback(timeout=PATIENCE)
        assert futures[-1].result(PATIENCE) == 2000


def test_a_traceback_does_not_cut_a_nap_short(process):
    with process.start(actors.Do) as executor:
        future = executor.post((loggers.timed_nap, 0.3))
        dump_until(executor, "in timed_nap")
        assert future.result(PATIENCE) >= 0.3


def test_the_traceback_of_a_stopped_process_is_a_timeout(process):
    with process.start(actors.Do) as executor:
        pid = executor.post((tasks.get_pid,)).result(PATIENCE)
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(TimeoutError, match=r"actor ProcessDo in 0\.1 s: .*not even"):
                executor.dump_traceback(timeout=0.1)
        finally:
            os.kill(pid, signal.SIGCONT)
        assert executor.dump_traceback(timeout=PATIENCE).count("_process/child.py") == 1


def test_an_ended_actor_has_no_traceback(kind):
    executor = kind.start(actors.Do)
    executor.shutdown()
    with pytest.raises(RuntimeError, match="has ended"):
        executor.dump_traceback()


def test_a_dead_actor_has_no_traceback_but_says_how_it_died(process):
    with process.start(actors.Do) as executor:
        executor.post((tasks.exit_at_once, 3)).exception(PATIENCE)
        with pytest.raises(ActorDied, match="exited with code 3"):
            executor.dump_traceback()


def test_death_while_it_is_asked_is_an_error(process):
    with process.start(actors.Do) as executor:
        pid = executor.post((tasks.get_pid,)).result(PATIENCE)
        os.kill(pid, signal.SIGSTOP)
        killer = threading.Timer(0.1, os.kill, (pid, signal.SIGKILL))
        killer.start()
        with pytest.raises(ActorDied, match="SIGKILL"):
            executor.dump_traceback(timeout=PATIENCE)
        killer.join()


def test_of_a_restarted_actor_it_is_the_new_process(process):
    """Asked of a process that can only be killed, and whose successor answers."""
    with actors.ProcessDo.options(max_restarts=1).executor() as executor:
        pid = executor.post((tasks.get_pid,)).result(PATIENCE)
        os.kill(pid, signal.SIGSTOP)
        killer = threading.Timer(0.1, os.kill, (pid, signal.SIGKILL))
        killer.start()
        assert "_process/child.py" in executor.dump_traceback(timeout=PATIENCE)
        killer.join()
        assert executor.post((tasks.get_pid,)).result(PATIENCE) != pid


def test_of_a_failed_constructor_it_says_so(kind):
    with kind.start(actors.Fails, KeyError("odd")) as executor:
        with contextlib.suppress(ActorInitError):  # post itself raises it, if it is that quick
            executor.post(1).exception(PATIENCE)
        with pytest.raises(ActorInitError):
            executor.dump_traceback(timeout=PATIENCE)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of os.fork with threads
def test_a_forked_copy_refuses(process):
    with process.start(actors.Do) as executor:
        executor.post((tasks.echo, 1)).result(PATIENCE)
        pid = os.fork()
        if pid == 0:
            try:
                executor.dump_traceback(timeout=1)
            except BrokenActor:
                os._exit(0)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_users_signals_are_left_alone(process):
    """The signal that is used has no name, and no other signal has a handler."""
    with process.start(actors.Do) as executor:
        handlers = executor.post((loggers.caught_signals,)).result(PATIENCE)
    of_the_c_library = {32, 33}
    assert handlers - of_the_c_library == {signal.SIGINT, signal.SIGRTMAX - 3}
