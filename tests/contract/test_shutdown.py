"""Shutting an executor down: `shutdown`, `with`, `cancel_futures`, and posting after it."""

import sys
import threading
from concurrent import futures

import pytest

import actors
import programs
import tasks
from gates import PATIENCE

AFTER_SHUTDOWN = "^cannot schedule new futures after shutdown$"


@pytest.mark.parametrize("wait", [True, False])
@pytest.mark.parametrize("used", [True, False], ids=["used", "unused"])
def test_post_after_shutdown_is_refused(any_kind, wait, used):
    executor = any_kind.start(actors.Do)
    if used:
        executor.post((tasks.echo, 1))
    executor.shutdown(wait=wait)
    with pytest.raises(RuntimeError, match=AFTER_SHUTDOWN):
        executor.post((tasks.echo, 1))
    with pytest.raises(RuntimeError, match=AFTER_SHUTDOWN):
        executor.submit(int)


def test_the_refusal_is_no_broken_executor(any_kind):
    executor = any_kind.start(actors.Echo)
    executor.shutdown()
    with pytest.raises(RuntimeError) as caught:
        executor.post(1)
    assert not isinstance(caught.value, futures.BrokenExecutor)


def test_shutdown_waits_for_what_was_posted(any_kind):
    executor = any_kind.start(actors.Do)
    posted = [executor.post((tasks.remember, number)) for number in range(50)]
    executor.shutdown()
    assert all(future.done() for future in posted)
    assert posted[-1].result(0) == 50


def test_shutdown_without_waiting_returns_at_once_and_drains(any_kind, gate):
    executor = any_kind.start(actors.Do)
    posted = [executor.post((tasks.pause, gate))]
    posted += [executor.post((tasks.remember, number)) for number in range(50)]
    executor.shutdown(wait=False)
    assert not any(future.done() for future in posted)
    gate.open()
    assert posted[-1].result(PATIENCE) == 50


def test_shutdown_without_waiting_drains_behind_a_slow_constructor(kind, gate):
    executor = kind.start(actors.Waits, gate)
    posted = executor.post("early")
    executor.shutdown(wait=False)
    gate.open()
    assert posted.result(PATIENCE) == "early"


def test_shutdown_takes_wait_by_position(any_kind, gate):
    executor = any_kind.start(actors.Do)
    future = executor.post((tasks.pause, gate))
    executor.shutdown(False)
    assert not future.done()
    gate.open()
    assert future.result(PATIENCE) == "passed"


def test_shutdown_waits_after_one_that_did_not(kind, gate):
    executor = kind.start(actors.Do)
    future = executor.post((tasks.pause, gate))
    executor.shutdown(wait=False)
    gate.reached()
    threading.Timer(0.1, gate.open).start()
    executor.shutdown(wait=True)
    assert future.done()


def test_cancel_futures_is_a_keyword(any_kind):
    with any_kind.start(actors.Echo) as executor, pytest.raises(TypeError):
        executor.shutdown(True, True)


def test_shutdown_twice_does_no_harm(any_kind):
    executor = any_kind.start(actors.Echo)
    executor.post(1)
    executor.shutdown()
    executor.shutdown()
    executor.shutdown(wait=False, cancel_futures=True)


def test_shutdown_at_once_after_the_start(any_kind):
    for _ in range(3):
        any_kind.start(actors.Echo).shutdown()


def test_with_statement_gives_the_executor_and_waits(any_kind):
    executor = any_kind.start(actors.Do)
    with executor as same:
        assert same is executor
        future = executor.post((tasks.remember, 1))
    assert future.done()
    with pytest.raises(RuntimeError, match=AFTER_SHUTDOWN):
        executor.post((tasks.echo, 1))


def test_with_statement_lets_exceptions_through(any_kind):
    with pytest.raises(KeyError), any_kind.start(actors.Echo) as executor:
        executor.post(1)
        raise KeyError


@pytest.mark.parametrize("wait", [True, False])
def test_cancel_futures_cancels_what_has_not_begun(any_kind, gate, wait):
    executor = any_kind.start(actors.Do)
    running = executor.post((tasks.pause, gate))
    waiting = [executor.post((tasks.echo, number)) for number in range(10)]
    gate.reached()
    threading.Timer(0.2, gate.open).start()
    executor.shutdown(wait=wait, cancel_futures=True)
    assert running.result(PATIENCE) == "passed"
    assert waiting[-1].cancel()
    assert waiting[-1].cancelled()
    if not any_kind.hands_out_early:
        assert all(future.cancelled() for future in waiting)


def test_cancel_futures_wakes_waiters_at_once(kind, gate):
    executor = kind.start(actors.Do)
    running = executor.post((tasks.pause, gate))
    gate.reached()
    waiting = [executor.post((tasks.echo, number)) for number in range(3)]
    threading.Timer(0.05, executor.shutdown, (False,), {"cancel_futures": True}).start()
    assert futures.wait(waiting, PATIENCE / 2).done == set(waiting)
    assert not running.done()
    gate.open()


def test_cancel_futures_after_a_shutdown_that_did_not(any_kind, gate):
    executor = any_kind.start(actors.Do)
    running = executor.post((tasks.pause, gate))
    waiting = [executor.post((tasks.echo, number)) for number in range(10)]
    gate.reached()
    executor.shutdown(wait=False)
    executor.shutdown(wait=False, cancel_futures=True)
    gate.open()
    with pytest.raises(futures.CancelledError):
        waiting[-1].result(PATIENCE)
    assert running.result(PATIENCE) == "passed"


def test_cancel_futures_spares_the_constructor(kind, gate):
    executor = kind.start(actors.Waits, gate)
    future = executor.post(1)
    gate.reached()
    executor.shutdown(wait=False, cancel_futures=True)
    assert future.cancelled()
    gate.open()
    executor.shutdown()


def test_shutdown_from_several_threads(kind, gate):
    """Each waits until the actor has ended."""
    executor = kind.start(actors.Do)
    future = executor.post((tasks.pause, gate))
    threads = [threading.Thread(target=executor.shutdown) for _ in range(4)]
    for thread in threads:
        thread.start()
    gate.reached()
    gate.open()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert future.done()


def test_shutdown_from_inside_handle_does_not_hang(thread):
    """An actor that waits for its own end may get an error, but must not wait for ever."""
    executor = thread.start(actors.Do)
    future = executor.post((tasks.call, executor.shutdown))
    future.exception(PATIENCE)
    assert future.done()
    with pytest.raises(RuntimeError, match=AFTER_SHUTDOWN):
        executor.post((tasks.echo, 1))


def test_posting_and_shutting_down_race(any_kind):
    """Each post is refused or answered."""
    executor = any_kind.start(actors.Echo)
    executor.post(0).result(PATIENCE)
    accepted = []
    began = threading.Event()

    def post_until_refused():
        try:
            while True:
                accepted.append(executor.post(1))
                began.set()
        except RuntimeError as refusal:
            accepted.append(refusal)

    poster = threading.Thread(target=post_until_refused)
    poster.start()
    began.wait(PATIENCE)
    executor.shutdown()
    poster.join(PATIENCE)
    *posted, refusal = accepted
    assert str(refusal) == "cannot schedule new futures after shutdown"
    assert all(future.result(PATIENCE) == 1 for future in posted)


def test_after_shutdown_the_process_is_gone(process):
    executor = process.start(actors.Do)
    pid = executor.post((tasks.get_pid,)).result(PATIENCE)
    executor.shutdown()
    assert programs.is_gone(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_after_shutdown_the_descriptors_are_closed(kind):
    """Though the executor itself is kept."""
    before = programs.descriptors_of_this_process()
    executor = kind.start(actors.Do)
    executor.post((tasks.echo, 1)).result(PATIENCE)
    executor.shutdown()
    programs.wait_until(lambda: programs.descriptors_of_this_process() == before)


def test_after_shutdown_the_thread_is_gone(thread):
    before = set(programs.threads_of_this_process())
    executor = thread.start(actors.Do)
    executor.post((tasks.echo, 1)).result(PATIENCE)
    executor.shutdown()
    programs.wait_until(lambda: set(programs.threads_of_this_process()) <= before)
