"""Asking a handler that runs to stop: `future.request_cancel()` and `current_message()`."""

import asyncio
import concurrent.futures
import random
import threading
import time
from concurrent.futures import CancelledError
from pathlib import Path

import pytest

import actors
import futures_actors
import tasks
from gates import PATIENCE


def until_asked(actor, gate):
    """Knock, and return once the message was asked to stop."""
    message = futures_actors.current_message()
    seen_before = message.cancel_requested
    gate.wait()
    wait_for_request(message)
    return seen_before, "stopped early"


def until_cancelled(actor, gate):
    message = futures_actors.current_message()
    gate.wait()
    wait_for_request(message)
    message.check_cancelled()


def wait_for_request(message):
    deadline = time.monotonic() + PATIENCE
    while not message.cancel_requested:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def raise_asyncio(actor, gate):
    gate.wait()
    wait_for_request(futures_actors.current_message())
    raise asyncio.CancelledError


def raise_unasked(actor, module):
    raise {"asyncio": asyncio.CancelledError, "futures": CancelledError}[module]("mine")


def raise_another(actor, gate):
    gate.wait()
    wait_for_request(futures_actors.current_message())
    raise ValueError("cleaning up failed")


def check(actor):
    return futures_actors.current_message().check_cancelled()


def ask_in_another_thread(actor, gate):
    message = futures_actors.current_message()
    asked = []
    thread = threading.Thread(target=lambda: (wait_for_request(message), asked.append(1)))
    thread.start()
    gate.wait()
    thread.join()
    return asked


kept = []


def keep(actor, gate):
    kept.append(futures_actors.current_message())
    gate.wait()
    wait_for_request(kept[-1])


def look_at_kept(actor):
    mine = futures_actors.current_message()
    return [message.cancel_requested for message in kept], mine.cancel_requested


def test_a_running_handler_sees_that_it_was_asked(local_kind, gate):
    with local_kind.start(actors.Do) as executor:
        future = executor.post((until_asked, gate))
        gate.reached()
        assert future.request_cancel() is True
        assert future.request_cancel() is True
        assert not future.cancelled()
        gate.open()
        assert future.result(PATIENCE) == (False, "stopped early")
        assert future.request_cancel() is False
        assert not future.cancelled()


def test_what_has_not_begun_is_cancelled_exactly(local_kind, gate):
    with local_kind.start(actors.Do) as executor:
        executor.post((tasks.pause, gate))
        gate.reached()
        waiting = executor.post((tasks.remember, "waiting"))
        assert waiting.request_cancel() is True
        assert waiting.cancelled()
        assert waiting.cancel() is True
        assert waiting.request_cancel() is True
        gate.open()
        assert executor.post((tasks.recall,)).result(PATIENCE) == []


@pytest.mark.parametrize("task", [until_cancelled, raise_asyncio])
def test_a_handler_that_stops_as_asked_makes_its_future_cancelled(local_kind, gate, task):
    told = []
    with local_kind.start(actors.Do) as executor:
        future = executor.post((task, gate))
        future.add_done_callback(told.append)
        gate.reached()
        assert future.running()
        assert not future.cancel()
        assert future.request_cancel()
        gate.open()
        for ask in (future.result, future.exception):
            with pytest.raises(CancelledError):
                ask(PATIENCE)
        assert future.cancelled()
        assert future.done()
        assert not future.running()
        assert told == [future]
        assert "state=cancelled" in repr(future)
        # Its True says that `handle` never began.
        assert future.cancel() is False
        assert future.request_cancel() is False
        assert executor.post((tasks.echo, "lives on")).result(PATIENCE) == "lives on"
        stats = executor.stats()
        assert (stats.handled, stats.failed, stats.cancelled) == (1, 0, 1)


def test_waiters_hear_of_a_handler_that_stops_as_asked(local_kind, gate):
    with local_kind.start(actors.Do) as executor:
        future = executor.post((until_cancelled, gate))
        gate.reached()
        waited = []
        threads = [
            threading.Thread(target=lambda: waited.append(concurrent.futures.wait([future]).done)),
            threading.Thread(
                target=lambda: waited.append(set(concurrent.futures.as_completed([future])))
            ),
        ]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + PATIENCE
        while len(future._waiters) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        future.request_cancel()
        gate.open()
        for thread in threads:
            thread.join(PATIENCE)
        assert waited == [{future}, {future}]


def test_a_coroutine_that_awaits_is_cancelled_by_a_handler_that_stops_as_asked(local_kind, gate):
    async def main(executor):
        future = executor.post((until_cancelled, gate))
        await asyncio.to_thread(gate.reached)
        asyncio.get_running_loop().call_later(0.01, gate.open)
        future.request_cancel()
        with pytest.raises(asyncio.CancelledError):
            await future

    with local_kind.start(actors.Do) as executor:
        asyncio.run(main(executor))


@pytest.mark.parametrize("module", ["asyncio", "futures"])
def test_a_cancelled_error_that_was_not_asked_for_is_an_exception(local_kind, module):
    wanted = asyncio.CancelledError if module == "asyncio" else CancelledError
    with local_kind.start(actors.Do) as executor:
        future = executor.post((raise_unasked, module))
        with pytest.raises(wanted, match="mine"):
            future.result(PATIENCE)
        assert not future.cancelled()
        assert type(future.exception()) is wanted


def test_another_exception_of_a_handler_that_was_asked_is_its_outcome(local_kind, gate):
    with local_kind.start(actors.Do) as executor:
        future = executor.post((raise_another, gate))
        gate.reached()
        future.request_cancel()
        gate.open()
        with pytest.raises(ValueError, match="cleaning up failed"):
            future.result(PATIENCE)
        assert not future.cancelled()


def test_check_cancelled_raises_nothing_unless_asked(local_kind):
    with local_kind.start(actors.Do) as executor:
        assert executor.post((check,)).result(PATIENCE) is None


def test_the_message_may_be_handed_to_other_threads(local_kind, gate):
    with local_kind.start(actors.Do) as executor:
        future = executor.post((ask_in_another_thread, gate))
        gate.reached()
        future.request_cancel()
        gate.open()
        assert future.result(PATIENCE) == [1]


def test_a_message_that_was_kept_stays_what_it_was(local_kind, gate):
    """Although its place in the window goes to a later message, which has not been asked."""
    kept.clear()
    with local_kind.start(actors.Do) as executor:
        future = executor.post((keep, gate))
        gate.reached()
        future.request_cancel()
        gate.open()
        future.result(PATIENCE)
        for _ in range(3):
            assert executor.post((look_at_kept,)).result(PATIENCE) == ([True], False)
    kept.clear()


def test_functions_and_methods_have_a_current_message_too(local_kind):
    with local_kind.start(actors.Account) as executor:
        for future in (executor.submit(check, None), executor.proxy().call(check, None)):
            assert future.result(PATIENCE) is None


class Asks:
    """Asks for the current message where there is none."""

    def __init__(self, path):
        self.path = path
        self.ask("constructor")

    def handle(self, message):
        futures_actors.current_message()
        found = []
        thread = threading.Thread(target=lambda: found.append(self.ask("thread")))
        thread.start()
        thread.join()
        return "handled"

    def ask(self, where):
        try:
            futures_actors.current_message()
        except RuntimeError as error:
            with Path(self.path).open("a") as file:
                file.write(f"{where}: {'inside handle' in str(error)}\n")

    def on_stop(self):
        self.ask("on_stop")


class ThreadAsks(Asks, futures_actors.ThreadActor):
    pass


class ProcessAsks(Asks, futures_actors.ProcessActor):
    pass


@pytest.mark.parametrize("cls", [ThreadAsks, ProcessAsks])
def test_there_is_no_current_message_elsewhere(tmp_path, cls):
    with pytest.raises(RuntimeError, match="inside handle"):
        futures_actors.current_message()
    seen = []
    with cls.executor(str(tmp_path / "log")) as executor:
        future = executor.post(1)
        future.add_done_callback(lambda _: seen.append(_current_message_is_none()))
        assert future.result(PATIENCE) == "handled"
    log = (tmp_path / "log").read_text().split("\n")
    assert log == ["constructor: True", "thread: True", "on_stop: True", ""]
    assert seen == [True]


def _current_message_is_none():
    try:
        futures_actors.current_message()
    except RuntimeError:
        return True
    return False


def count(actor, numbers):
    for _ in range(numbers):
        if futures_actors.current_message().cancel_requested:
            raise CancelledError
        time.sleep(0)
    actor.log.append(numbers)
    return numbers


def test_request_cancel_tells_the_truth_in_a_race(local_kind):
    """Each future ends, cancelled or with its answer; one that was refused has its answer."""
    rng = random.Random(5)
    with local_kind.start(actors.Do) as executor:
        posted = [executor.post((count, rng.randrange(30))) for _ in range(400)]
        chosen = rng.sample(range(400), 200)
        said = [{}, {}]

        def ask(numbers, said):
            for number in numbers:
                said[number] = posted[number].request_cancel()

        threads = [threading.Thread(target=ask, args=(chosen, said[half])) for half in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        concurrent.futures.wait(posted, PATIENCE)
        for number, future in enumerate(posted):
            asked = said[0].get(number), said[1].get(number)
            if future.cancelled():
                assert True in asked
            else:
                assert isinstance(future.result(0), int)
        log = executor.post((tasks.recall,)).result(PATIENCE)
        assert len(log) == sum(not future.cancelled() for future in posted)


def test_a_future_of_ones_own_can_be_asked_without_effect():
    future = futures_actors.ActorFuture()
    assert future.set_running_or_notify_cancel()
    assert future.request_cancel() is True
    future.set_result(5)
    assert future.request_cancel() is False
    assert future.result() == 5


def test_a_process_that_dies_after_it_was_asked_fails_the_message(process, gate):
    with process.start(actors.Do) as executor:
        future = executor.post((until_asked, gate))
        gate.reached()
        assert future.request_cancel()
        executor.kill()
        with pytest.raises(futures_actors.ActorDied) as caught:
            future.result(PATIENCE)
        assert caught.value.started
        assert future.request_cancel() is False
