"""`post` and the future that it returns, as `concurrent.futures` and `asyncio` document it."""

import asyncio
import contextlib
import threading
from concurrent import futures

import pytest

import actors
import tasks
from gates import PATIENCE


def test_an_executor_is_an_executor(any_kind):
    with any_kind.start(actors.Echo) as executor:
        assert isinstance(executor, futures.Executor)


def test_a_future_is_a_future(any_kind):
    with any_kind.start(actors.Echo) as executor:
        future = executor.post(1)
        assert isinstance(future, futures.Future)
        assert future.result(PATIENCE) == 1


def test_message_may_be_given_by_name(any_kind):
    with any_kind.start(actors.Echo) as executor:
        assert executor.post(message=1).result(PATIENCE) == 1


@pytest.mark.parametrize("arguments", [(), (1, 2)], ids=["none", "two"])
def test_post_takes_one_message(any_kind, arguments):
    with any_kind.start(actors.Echo) as executor, pytest.raises(TypeError):
        executor.post(*arguments)


def test_a_finished_future_tells_its_state(any_kind):
    with any_kind.start(actors.Echo) as executor:
        future = executor.post("answer")
        assert future.result(PATIENCE) == "answer"
        assert future.result() == "answer"
        assert future.result(timeout=0) == "answer"
        assert future.exception(PATIENCE) is None
        assert future.done()
        assert not future.running()
        assert not future.cancelled()
        assert not future.cancel()


def test_a_failed_future_tells_its_state(any_kind):
    with any_kind.start(actors.Do) as executor:
        future = executor.post((tasks.fail, ValueError("no")))
        assert type(future.exception(PATIENCE)) is ValueError
        assert future.exception() is future.exception(timeout=0)
        assert future.done()
        assert not future.running()
        assert not future.cancelled()
        assert not future.cancel()
        with pytest.raises(ValueError, match=r"^no$") as caught:
            future.result()
        assert caught.value is future.exception()


def test_a_running_future_tells_its_state(any_kind, gate):
    with any_kind.start(actors.Do) as executor:
        future = executor.post((tasks.pause, gate))
        gate.reached()
        assert future.running()
        assert not future.done()
        assert not future.cancelled()
        gate.open()
        assert future.result(PATIENCE) == "passed"


def test_a_waiting_future_is_not_running(any_kind, gate):
    with any_kind.start(actors.Do) as executor:
        executor.post((tasks.pause, gate))
        waiting = [executor.post((tasks.echo, number)) for number in range(5)]
        gate.reached()
        assert not waiting[-1].running()
        assert not waiting[-1].done()
        if not any_kind.hands_out_early:
            assert not any(future.running() for future in waiting)
        gate.open()


def test_a_message_behind_the_constructor_is_not_running(kind, gate):
    with kind.start(actors.Waits, gate) as executor:
        future = executor.post(1)
        gate.reached()
        assert not future.running()
        gate.open()


@pytest.mark.parametrize("timeout", [0, 0.05, -1])
@pytest.mark.parametrize("ask", ["result", "exception"])
def test_waiting_too_long_is_a_timeout(any_kind, gate, ask, timeout):
    with any_kind.start(actors.Do) as executor:
        future = executor.post((tasks.pause, gate))
        with pytest.raises(futures.TimeoutError):
            getattr(future, ask)(timeout)
        gate.open()
        assert future.result(PATIENCE) == "passed"


def test_many_threads_can_wait_for_one_future(any_kind, gate):
    seen = []
    with any_kind.start(actors.Do) as executor:
        future = executor.post((tasks.pause, gate))
        waiters = [
            threading.Thread(target=lambda: seen.append(future.result(PATIENCE))) for _ in range(8)
        ]
        for waiter in waiters:
            waiter.start()
        gate.reached()
        gate.open()
        for waiter in waiters:
            waiter.join(PATIENCE)
    assert seen == ["passed"] * 8


def test_wait_for_all(any_kind):
    with any_kind.start(actors.Echo) as executor:
        posted = [executor.post(number) for number in range(20)]
        done, not_done = futures.wait(posted, PATIENCE)
    assert done == set(posted)
    assert not_done == set()


def test_wait_for_the_first(any_kind, gate):
    with any_kind.start(actors.Do) as executor:
        first = executor.post((tasks.echo, 1))
        second = executor.post((tasks.pause, gate))
        done, not_done = futures.wait([first, second], PATIENCE, futures.FIRST_COMPLETED)
        assert done == {first}
        assert not_done == {second}
        gate.open()


def test_wait_for_the_first_to_fail(any_kind, gate):
    with any_kind.start(actors.Do) as executor:
        first = executor.post((tasks.echo, 1))
        second = executor.post((tasks.fail, ValueError("no")))
        third = executor.post((tasks.pause, gate))
        done, not_done = futures.wait([first, second, third], PATIENCE, futures.FIRST_EXCEPTION)
        assert done == {first, second}
        assert not_done == {third}
        gate.open()


def test_wait_gives_up(any_kind, gate):
    with any_kind.start(actors.Do) as executor:
        future = executor.post((tasks.pause, gate))
        assert futures.wait([future], 0.05) == (set(), {future})
        gate.open()


def test_wait_takes_futures_of_several_executors(any_kind, gate):
    with any_kind.start(actors.Do) as slow, any_kind.start(actors.Echo) as quick:
        waiting = slow.post((tasks.pause, gate))
        answered = quick.post(1)
        both = [waiting, answered]
        assert futures.wait(both, PATIENCE, futures.FIRST_COMPLETED).done == {answered}
        gate.open()
        assert futures.wait(both, PATIENCE).done == set(both)


def test_as_completed_gives_each_future_once(any_kind):
    with any_kind.start(actors.Echo) as executor:
        posted = [executor.post(number) for number in range(20)]
        seen = list(futures.as_completed(posted, PATIENCE))
    assert len(seen) == 20
    assert set(seen) == set(posted)


def test_as_completed_gives_the_quick_one_first(any_kind, gate):
    with any_kind.start(actors.Do) as slow, any_kind.start(actors.Echo) as quick:
        waiting = slow.post((tasks.pause, gate))
        answered = quick.post(1)
        completed = futures.as_completed([waiting, answered], PATIENCE)
        assert next(completed) is answered
        gate.open()
        assert next(completed) is waiting


def test_as_completed_times_out(any_kind, gate):
    with any_kind.start(actors.Do) as executor:
        future = executor.post((tasks.pause, gate))
        with pytest.raises(futures.TimeoutError):
            next(futures.as_completed([future], 0.05))
        gate.open()


def test_asyncio_awaits_an_answer(any_kind):
    async def main(executor):
        posted = [asyncio.wrap_future(executor.post(number)) for number in range(10)]
        return await asyncio.wait_for(asyncio.gather(*posted), PATIENCE)

    with any_kind.start(actors.Echo) as executor:
        assert asyncio.run(main(executor)) == list(range(10))


def test_asyncio_gets_the_exception(any_kind):
    async def main(executor):
        future = asyncio.wrap_future(executor.post((tasks.fail, ValueError("no"))))
        await asyncio.wait_for(future, PATIENCE)

    with any_kind.start(actors.Do) as executor, pytest.raises(ValueError, match=r"^no$"):
        asyncio.run(main(executor))


def test_asyncio_stays_awake_while_an_actor_works(any_kind, gate):
    async def main(executor):
        future = asyncio.wrap_future(executor.post((tasks.pause, gate)))
        await asyncio.sleep(0)
        assert not future.done()
        gate.open()
        return await asyncio.wait_for(future, PATIENCE)

    with any_kind.start(actors.Do) as executor:
        assert asyncio.run(main(executor)) == "passed"


def test_asyncio_cancels_what_has_not_begun(kind, gate):
    async def main(executor):
        waiting = executor.post((tasks.remember, "never"))
        future = asyncio.wrap_future(waiting)
        await asyncio.sleep(0)
        future.cancel()
        await asyncio.wait([future], timeout=PATIENCE)
        return waiting.cancelled()

    with kind.start(actors.Do) as executor:
        executor.post((tasks.pause, gate))
        gate.reached()
        assert asyncio.run(main(executor))
        gate.open()
        assert executor.post((tasks.recall,)).result(PATIENCE) == []


def test_asyncio_outlives_a_loop_that_did_not_wait(any_kind, gate):
    async def main(executor):
        asyncio.wrap_future(executor.post((tasks.pause, gate)))
        await asyncio.sleep(0)

    with any_kind.start(actors.Do) as executor:
        asyncio.run(main(executor))
        gate.open()
        assert executor.post((tasks.echo, 1)).result(PATIENCE) == 1


@pytest.mark.parametrize("ask", ["result", "exception"])
@pytest.mark.parametrize("depth", [1, 2])
def test_a_thread_that_holds_the_condition_lets_go_of_it_while_it_waits(any_kind, gate, ask, depth):
    with any_kind.start(actors.Do) as executor, contextlib.ExitStack() as held:
        future = executor.post((tasks.pause, gate))
        for _ in range(depth):
            held.enter_context(future._condition)
        with pytest.raises(futures.TimeoutError):
            getattr(future, ask)(0.05)
        opens = threading.Thread(target=gate.open)
        opens.start()
        assert getattr(future, ask)(PATIENCE) == ("passed" if ask == "result" else None)
        opens.join()
        for _ in range(depth):
            future._condition.release()
        with pytest.raises(RuntimeError):
            future._condition.release()
        for _ in range(depth):
            future._condition.acquire()


def test_a_thread_that_holds_the_condition_is_told_that_the_message_is_cancelled(any_kind, gate):
    with any_kind.start(actors.Do) as executor:
        running = executor.post((tasks.pause, gate))
        gate.reached()
        # A pool of processes hands the next ones out early.
        future = [executor.post((tasks.echo, number)) for number in range(5)][-1]
        with future._condition:
            cancels = threading.Thread(target=future.cancel)
            cancels.start()
            with pytest.raises(futures.CancelledError):
                future.result(PATIENCE)
        cancels.join()
        gate.open()
        assert running.result(PATIENCE) == "passed"
