"""`add_done_callback`: which thread runs callbacks, when, in which order, and what they may do."""

import os
import statistics
import sys
import threading
import time

import pytest

import actors
import observe
import tasks
from gates import PATIENCE


class Bell:
    """A callback that can be waited for."""

    def __init__(self, action=lambda future: None):
        self.action = action
        self.rung = threading.Event()
        self.calls = []

    def __call__(self, future):
        try:
            self.calls.append(future)
            self.action(future)
        finally:
            self.rung.set()

    def wait(self):
        assert self.rung.wait(PATIENCE), "the callback was not called"


def test_a_callback_gets_the_finished_future(any_kind, gate):
    bell = Bell()
    with any_kind.start(actors.Do) as executor:
        future = executor.post((tasks.pause, gate))
        future.add_done_callback(bell)
        assert bell.calls == []
        gate.open()
        bell.wait()
        assert bell.calls == [future]
        assert future.done()


def test_a_callback_runs_in_the_parent(any_kind, gate):
    where = []
    bell = Bell(lambda future: where.append(os.getpid()))
    with any_kind.start(actors.Do) as executor:
        future = executor.post((tasks.pause, gate))
        future.add_done_callback(bell)
        gate.open()
        bell.wait()
    assert where == [os.getpid()]


def test_callbacks_run_in_the_order_they_were_added(any_kind, gate):
    order = []
    bell = Bell()
    with any_kind.start(actors.Do) as executor:
        future = executor.post((tasks.pause, gate))
        for number in range(20):
            future.add_done_callback(lambda _, number=number: order.append(number))
        future.add_done_callback(bell)
        gate.open()
        bell.wait()
    assert order == list(range(20))


def test_a_callback_of_a_finished_future_runs_at_once(any_kind):
    with any_kind.start(actors.Echo) as executor:
        future = executor.post(1)
        future.result(PATIENCE)
        where = []
        future.add_done_callback(lambda _: where.append(threading.get_ident()))
        assert where == [threading.get_ident()]


@pytest.mark.skipif(sys.platform == "win32", reason="its sleeps may take 16 ms there")
def test_callbacks_have_run_when_result_returns(kind):
    """With or without a GIL, and even if the callback releases it: waiters wake when the future is
    done, but let its callbacks run first."""
    early = 0
    with kind.start(actors.Do) as executor:
        for number in range(100):
            called = []

            def call(future, called=called):
                time.sleep(0.0005)
                called.append(future)

            future = executor.post((tasks.nap, 0.002 * (number % 2)))
            future.add_done_callback(call)
            future.result(PATIENCE)
            early += not called
    # Where the callback's thread got no processor for the 5 ms for which waiters let it go first.
    # Otherwise all would be early.
    assert early < 100


def test_a_callback_may_wait_for_a_thread_that_waits_in_result(any_kind, gate):
    returned = threading.Event()
    bell = Bell(lambda _: waited.append(returned.wait(PATIENCE)))
    waited = []
    with any_kind.start(actors.Do) as executor:
        future = executor.post((tasks.pause, gate))
        future.add_done_callback(bell)
        threading.Timer(0.02, gate.open).start()
        assert future.result(PATIENCE) == "passed"
        assert future.exception(PATIENCE) is None
        returned.set()
        bell.wait()
    assert waited == [True]


@pytest.mark.parametrize("where", ["here", "in another thread"])
def test_a_callback_may_ask_its_own_future(any_kind, gate, where):
    answers = []

    def ask(future):
        answers.append(future.result(PATIENCE))

    def ask_elsewhere(future):
        thread = threading.Thread(target=ask, args=(future,))
        thread.start()
        thread.join(PATIENCE)

    bell = Bell(ask if where == "here" else ask_elsewhere)
    with any_kind.start(actors.Do) as executor:
        future = executor.post((tasks.pause, gate))
        future.add_done_callback(bell)
        gate.open()
        bell.wait()
    assert answers == ["passed"]


@observe.on_linux
def test_a_callback_that_asks_its_own_future_does_not_sleep(kind, gate):
    sleeps = []

    def ask(future):
        before = sleeps_of_this_thread()
        future.result()
        sleeps.append(sleeps_of_this_thread() - before)

    with kind.start(actors.Do) as executor:
        future = executor.post((tasks.pause, gate))
        bell = Bell()
        for callback in [*[ask] * 20, bell]:
            future.add_done_callback(callback)
        gate.open()
        bell.wait()
    # Another thread may hold the interpreter during one of them.
    assert statistics.median(sleeps) == 0


def sleeps_of_this_thread():
    import resource

    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw


def test_a_callback_runs_without_anyone_asking_for_the_answer(any_kind):
    bell = Bell()
    with any_kind.start(actors.Echo) as executor:
        executor.post(1).add_done_callback(bell)
        bell.wait()
    assert bell.calls[0].result(0) == 1


def test_a_callback_sees_the_exception(any_kind):
    seen = []
    bell = Bell(lambda future: seen.append(future.exception(0)))
    with any_kind.start(actors.Do) as executor:
        executor.post((tasks.fail, ValueError("no"))).add_done_callback(bell)
        bell.wait()
    assert [repr(error) for error in seen] == ["ValueError('no')"]


def test_cancel_runs_the_callbacks_before_it_returns(any_kind, gate):
    seen = []
    with any_kind.start(actors.Do) as executor:
        executor.post((tasks.pause, gate))
        future = [executor.post((tasks.echo, number)) for number in range(5)][-1]
        future.add_done_callback(lambda future: seen.append(future.cancelled()))
        assert future.cancel()
        assert seen == [True]
        future.cancel()
        gate.open()
    assert seen == [True]


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_a_callback_that_raises_is_logged_and_harms_nothing(any_kind, gate, caplog, late):
    error = RuntimeError("callback trouble")

    def trouble(future):
        raise error

    bell = Bell()
    with any_kind.start(actors.Do) as executor:
        future = executor.post((tasks.pause, gate))
        if late:
            gate.open()
            future.result(PATIENCE)
        future.add_done_callback(trouble)
        future.add_done_callback(bell)
        if not late:
            gate.open()
        bell.wait()
        assert future.result(PATIENCE) == "passed"
        assert executor.post((tasks.echo, 1)).result(PATIENCE) == 1
    logged = [record.exc_info[1] for record in caplog.records if record.exc_info]
    caplog.clear()  # what it keeps alive would count as left behind
    assert logged == [error]
    error.__traceback__ = None


def test_a_callback_that_raises_on_cancel_is_logged(any_kind, gate, caplog):
    def trouble(future):
        raise RuntimeError("callback trouble")

    with any_kind.start(actors.Do) as executor:
        executor.post((tasks.pause, gate))
        future = [executor.post((tasks.echo, number)) for number in range(5)][-1]
        future.add_done_callback(trouble)
        assert future.cancel()
        gate.open()
    assert "callback trouble" in caplog.text


def test_a_callback_can_post(any_kind, gate):
    again = []
    with any_kind.start(actors.Do) as executor:
        bell = Bell(lambda _: again.append(executor.post((tasks.remember, "again"))))
        future = executor.post((tasks.pause, gate))
        future.add_done_callback(bell)
        gate.open()
        bell.wait()
        assert again[0].result(PATIENCE) == 1


def test_callbacks_that_post_make_a_chain(any_kind):
    finished = threading.Event()
    with any_kind.start(actors.Counter) as executor:

        def post_next(future):
            if future.result(0) < 100:
                executor.post(1).add_done_callback(post_next)
            else:
                finished.set()

        executor.post(1).add_done_callback(post_next)
        assert finished.wait(PATIENCE)
        assert executor.post(0).result(PATIENCE) == 100


def test_a_callback_can_post_to_another_actor_and_wait(kind, gate):
    answers = []
    with kind.start(actors.Do) as executor, kind.start(actors.Echo) as other:
        bell = Bell(lambda _: answers.append(other.post("other").result(PATIENCE)))
        executor.post((tasks.pause, gate)).add_done_callback(bell)
        gate.open()
        bell.wait()
    assert answers == ["other"]


def test_a_callback_can_cancel_what_waits(kind, gate):
    with kind.start(actors.Do) as executor:
        first = executor.post((tasks.pause, gate))
        second = executor.post((tasks.pause_and_remember, gate, "second"))
        third = executor.post((tasks.remember, "third"))
        bell = Bell(lambda _: third.cancel())
        first.add_done_callback(bell)
        gate.open()
        bell.wait()
        gate.open()
        assert second.result(PATIENCE) == 1
        assert third.cancelled()


def test_a_callback_can_add_a_callback(any_kind, gate):
    inner = Bell()
    with any_kind.start(actors.Do) as executor:
        future = executor.post((tasks.pause, gate))
        future.add_done_callback(lambda future: future.add_done_callback(inner))
        gate.open()
        inner.wait()


def test_a_callback_can_shut_down_without_waiting(any_kind, gate):
    executor = any_kind.start(actors.Do)
    bell = Bell(lambda _: executor.shutdown(wait=False))
    future = executor.post((tasks.pause, gate))
    later = executor.post((tasks.echo, "drained"))
    future.add_done_callback(bell)
    gate.open()
    bell.wait()
    assert later.result(PATIENCE) == "drained"
    executor.shutdown()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_callback_that_shuts_down_and_waits_does_not_hang(any_kind, gate, caplog):
    """It waits for the thread that it runs in. It may get an error, but it must not hang."""
    executor = any_kind.start(actors.Do)
    bell = Bell(lambda _: executor.shutdown(wait=True))
    future = executor.post((tasks.pause, gate))
    future.add_done_callback(bell)
    gate.open()
    bell.wait()
    assert future.result(PATIENCE) == "passed"
    executor.shutdown()
    caplog.clear()  # what it keeps alive would count as left behind


def test_a_callback_can_drop_the_executor(kind, gate):
    held = [kind.start(actors.Do)]
    bell = Bell(lambda _: held.clear())
    future = held[0].post((tasks.pause, gate))
    later = held[0].post((tasks.echo, "drained"))
    future.add_done_callback(bell)
    gate.open()
    bell.wait()
    assert later.result(PATIENCE) == "drained"


def test_waiters_and_callbacks_of_one_future_both_get_it(any_kind, gate):
    bell = Bell()
    with any_kind.start(actors.Do) as executor:
        future = executor.post((tasks.pause, gate))
        future.add_done_callback(bell)
        threading.Timer(0.05, gate.open).start()
        assert future.result(PATIENCE) == "passed"
        bell.wait()
