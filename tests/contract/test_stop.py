"""Ending an actor: `shutdown(timeout=...)`, `terminate` and `kill` from anywhere, `on_stop`, and
what leaving a `with` block does."""

import gc
import os
import signal
import threading
from concurrent import futures

import pytest

import actors
import futures_actors
import observe
import programs
import tasks
from gates import PATIENCE
from observe import on_unix

AFTER_SHUTDOWN = "^cannot schedule new futures after shutdown$"
FORCES = ["terminate", "kill", "terminate_workers", "kill_workers"]


@pytest.fixture(params=["terminate", "kill"])
def force(request):
    return request.param


def busy(kind, gate, count=3):
    """Return an executor whose first message waits at the gate, and the futures of all."""
    executor = kind.start(actors.Do)
    posted = [executor.post((tasks.pause, gate))]
    posted += [executor.post((tasks.echo, number)) for number in range(count)]
    gate.reached()
    return executor, posted


# shutdown(timeout=...).


def test_shutdown_that_takes_too_long_is_a_timeout_error_and_goes_on(kind, gate):
    executor, posted = busy(kind, gate)
    for timeout in (0, 0.05):
        with pytest.raises(TimeoutError, match=f"has not ended within {timeout} s"):
            executor.shutdown(timeout=timeout)
    with pytest.raises(RuntimeError, match=AFTER_SHUTDOWN):
        executor.post(1)
    gate.open()
    executor.shutdown(timeout=PATIENCE)
    assert [future.result(0) for future in posted] == ["passed", 0, 1, 2]


def test_a_timeout_matters_only_to_a_post_that_waits(kind, gate):
    executor, posted = busy(kind, gate)
    executor.shutdown(wait=False, timeout=0)
    gate.open()
    assert posted[-1].result(PATIENCE) == 2


def test_a_timeout_that_is_no_number_is_refused_and_nothing_is_shut_down(kind):
    with kind.start(actors.Echo) as executor:
        with pytest.raises(ValueError, match="timeout must be a number of seconds"):
            executor.shutdown(timeout=float("nan"))
        assert executor.post(1).result(PATIENCE) == 1


def test_cancel_and_timeout_go_together(kind, gate):
    executor, (running, *waiting) = busy(kind, gate)
    with pytest.raises(TimeoutError):
        executor.shutdown(cancel_futures=True, timeout=0)
    assert all(future.cancelled() for future in waiting)
    gate.open()
    assert running.result(PATIENCE) == "passed"


# terminate, kill.


@pytest.mark.parametrize("name", FORCES)
def test_force_fails_what_a_process_has_and_says_what_had_begun(process, gate, name):
    executor, posted = busy(process, gate, 20)
    pid = int(repr(executor).partition("pid=")[2].split()[0])
    getattr(executor, name)()
    with pytest.raises(RuntimeError, match=AFTER_SHUTDOWN):
        executor.post(1)
    errors = [future.exception(PATIENCE) for future in posted]
    assert [error.started for error in errors] == [True] + [False] * 20
    # Windows has no SIGKILL: there it is a number without a name.
    kill = getattr(signal, "SIGKILL", 9)
    number = signal.SIGTERM if name.startswith("terminate") else kill
    for error in errors:
        assert type(error) is futures_actors.ActorDied
        assert error.pid == pid
        assert error.exitcode == -number
        method = name.partition("_")[0]
        assert (
            f"{method}() was called, and it was killed by {getattr(number, 'name', 'signal 9')}"
            in str(error)
        )
    executor.shutdown()
    assert programs.is_gone(pid)
    with pytest.raises(RuntimeError, match=AFTER_SHUTDOWN):
        executor.post(1)
    assert repr(executor) == "<ProcessActorExecutor of ProcessDo stopped>"


@pytest.mark.parametrize("name", FORCES)
def test_force_lets_a_thread_finish_the_message_that_runs(thread, gate, name):
    executor, (running, *waiting) = busy(thread, gate)
    getattr(executor, name)()
    method = name.partition("_")[0]
    for future in waiting:
        error = future.exception(0)
        assert type(error) is futures_actors.BrokenActor
        assert str(error).startswith(f"{method}() ended actor ThreadDo before this message")
    with pytest.raises(RuntimeError, match=AFTER_SHUTDOWN):
        executor.post(1)
    assert running.running()
    gate.open()
    executor.shutdown(timeout=PATIENCE)
    assert running.result(0) == "passed"
    assert repr(executor) == "<ThreadActorExecutor of ThreadDo stopped>"


def test_force_is_used_twice_and_after_the_end(kind, gate, force):
    executor, posted = busy(kind, gate)
    use = getattr(executor, force)
    use()
    use()
    gate.open()
    futures.wait(posted, PATIENCE)
    use()
    executor.shutdown()
    use()


def test_an_idle_actor_can_be_ended_by_force(kind, force):
    executor = kind.start(actors.Echo)
    future = executor.post(1)
    assert future.result(PATIENCE) == 1
    getattr(executor, force)()
    executor.shutdown(timeout=PATIENCE)
    assert future.result(0) == 1


def test_an_actor_can_be_ended_by_force_right_after_its_start(kind, force):
    executor = kind.start(actors.Echo)
    future = executor.post(1)
    getattr(executor, force)()
    executor.shutdown(timeout=PATIENCE)
    assert future.done()


def test_an_actor_can_be_ended_by_force_while_its_constructor_runs(process, gate, force):
    executor = process.start(actors.Waits, gate)
    posted = [executor.post(number) for number in range(3)]
    gate.reached()
    getattr(executor, force)()
    assert [future.exception(PATIENCE).started for future in posted] == [False] * 3
    executor.shutdown(timeout=PATIENCE)


def test_kill_after_a_shutdown_that_takes_too_long(process, gate):
    executor, posted = busy(process, gate)
    with pytest.raises(TimeoutError):
        executor.shutdown(timeout=0)
    executor.kill()
    executor.shutdown(timeout=PATIENCE)
    assert [future.exception(0).started for future in posted] == [True, False, False, False]


@on_unix
def test_kill_ends_a_process_that_was_stopped(process, gate):
    executor, posted = busy(process, gate)
    os.kill(int(repr(executor).partition("pid=")[2].split()[0]), signal.SIGSTOP)
    executor.kill()
    assert posted[-1].exception(PATIENCE).exitcode == -signal.SIGKILL


def test_kill_wakes_threads_that_wait(kind, gate):
    """In `shutdown` and in `result`."""
    executor, posted = busy(kind, gate)
    waiters = [threading.Thread(target=executor.shutdown)]
    waiters += [threading.Thread(target=future.exception) for future in posted]
    for waiter in waiters:
        waiter.start()
    executor.kill()
    gate.open()
    for waiter in waiters:
        waiter.join(PATIENCE)
        assert not waiter.is_alive()


def catch_sigterm(actor):
    signal.signal(signal.SIGTERM, lambda *_: actor.log.append("SIGTERM"))


def exit_on_sigterm(actor):
    signal.signal(signal.SIGTERM, lambda *_: os._exit(7))


@on_unix
def test_a_process_that_catches_sigterm_begins_no_other_message(process, gate):
    with process.start(actors.Do) as executor:
        executor.post((catch_sigterm,)).result(PATIENCE)
        running = executor.post((tasks.pause, gate))
        waiting = [executor.post((tasks.echo, number)) for number in range(600)]
        gate.reached()
        executor.terminate()
        assert not waiting[1].done()
        assert waiting[0].cancel()
        gate.open()
        assert running.result(PATIENCE) == "passed"
        for future in waiting[1:]:
            error = future.exception(PATIENCE)
            assert (type(error), error.started) == (futures_actors.ActorDied, False)
            assert "terminate() was called, and it exited with code 0" in str(error)


@on_unix
def test_kill_ends_a_process_that_catches_sigterm(process, gate):
    with process.start(actors.Do) as executor:
        executor.post((catch_sigterm,)).result(PATIENCE)
        running = executor.post((tasks.pause, gate))
        gate.reached()
        executor.terminate()
        executor.kill()
        assert running.exception(PATIENCE).exitcode == -signal.SIGKILL


@on_unix
def test_a_process_may_end_itself_on_sigterm(process, gate):
    with process.start(actors.Do) as executor:
        executor.post((exit_on_sigterm,)).result(PATIENCE)
        running = executor.post((tasks.pause, gate))
        gate.reached()
        while not running.done():  # a signal that comes just before a system call does not end it
            executor.terminate()
            futures.wait([running], 0.5)
        assert running.exception(0).exitcode == 7


def test_killing_and_posting_race(kind):
    """Each post is refused, answered or failed."""
    for _ in range(5):
        executor = kind.start(actors.Echo)
        accepted = []
        began = threading.Event()

        def post(executor=executor, accepted=accepted, began=began):
            try:
                while True:
                    accepted.append(executor.post(1))
                    began.set()
            except RuntimeError:
                pass

        posters = [threading.Thread(target=post) for _ in range(2)]
        for poster in posters:
            poster.start()
        began.wait(PATIENCE)
        executor.kill()
        for poster in posters:
            poster.join(PATIENCE)
        executor.shutdown(timeout=PATIENCE)
        assert all(future.done() for future in accepted)
        for future in accepted:
            error = future.exception(0)
            assert error is None or isinstance(error, futures_actors.BrokenActor)


# From anywhere.


def test_an_actor_is_ended_from_a_callback(kind, gate, force):
    executor, posted = busy(kind, gate)
    ended = threading.Event()

    def end(_):
        getattr(executor, force)()
        executor.shutdown()
        ended.set()

    posted[0].add_done_callback(end)
    gate.open()
    assert ended.wait(PATIENCE)
    futures.wait(posted, PATIENCE)
    executor.shutdown(timeout=PATIENCE)


def test_an_actor_is_ended_from_its_own_handle(thread, force):
    executor = thread.start(actors.Do)
    future = executor.post((tasks.call, getattr(executor, force)))
    executor.shutdown(timeout=PATIENCE)
    assert future.exception(0) is None


def test_an_actor_is_ended_from_a_finalizer(kind, gate, force):
    """The garbage collector may run it at any point."""
    executor, posted = busy(kind, gate)

    class Ends:
        def __init__(self):
            self.itself = self

        def __del__(self):
            getattr(executor, force)()

    Ends()
    gc.collect()
    gate.open()
    executor.shutdown(timeout=PATIENCE)
    assert all(future.done() for future in posted)


ENDS = ["executor.kill()", "executor.terminate()", "executor.shutdown(cancel_futures=True)"]
INTERRUPTED = {
    "posting": "executor.post((tasks.echo, 1))",
    "round trips": "executor.post((tasks.echo, 1)).result(30)",
    "waiting": "executor.post((tasks.nap, 0.5)).result(30)",
    "cancelling": "executor.post((tasks.echo, 1)).cancel()",
}


@observe.on_unix
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("work", INTERRUPTED.values(), ids=INTERRUPTED)
def test_an_actor_is_ended_from_a_signal_handler(kind, program, work, end):
    """Whatever the interrupted thread was doing in the core."""
    rounds = 1 if kind.base == "Ray" else 5  # where a start takes a second
    parent = program(f"""if True:
        import actors, signal, tasks
        from concurrent import futures
        for _ in range({rounds}):
            executor = actors.{kind.prefix}Do.executor()
            executor.post((tasks.echo, 1)).result(30)
            def end(*_, executor=executor):
                {end}
            signal.signal(signal.SIGALRM, end)
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            try:
                while True:
                    {work}
            except (RuntimeError, futures.CancelledError):
                pass
            executor.shutdown()
        print("ended")
    """)
    assert parent.line() == "ended"
    assert parent.wait() == 0
    assert parent.errors() == ""


# with.


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_leaving_by_an_interrupt_cancels_what_has_not_begun(kind, gate, error):
    with pytest.raises(error), kind.start(actors.Do) as executor:
        running = executor.post((tasks.pause, gate))
        waiting = [executor.post((tasks.echo, number)) for number in range(10)]
        gate.reached()
        threading.Timer(0.1, gate.open).start()
        raise error
    assert running.result(0) == "passed"
    assert all(future.cancelled() for future in waiting)


@pytest.mark.parametrize("error", [ValueError, GeneratorExit, BaseException])
def test_leaving_by_another_error_drains(kind, error):
    started = kind.start(actors.Do)
    with pytest.raises(error), started as executor:
        posted = [executor.post((tasks.echo, number)) for number in range(10)]
        raise error
    assert [future.result(0) for future in posted] == list(range(10))
