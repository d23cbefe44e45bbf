"""`submit`, and what the standard library builds on it: `map`, `run_in_executor`."""

import asyncio
import functools
import operator
from concurrent import futures

import pytest

import actors
import tasks
from gates import PATIENCE


def test_submit_runs_a_function(any_kind):
    with any_kind.start(actors.Do) as executor:
        future = executor.submit(divmod, 17, 5)
        assert isinstance(future, futures.Future)
        assert future.result(PATIENCE) == (3, 2)


def test_submit_passes_keywords(any_kind):
    with any_kind.start(actors.Do) as executor:
        assert executor.submit(int, "ff", base=16).result(PATIENCE) == 255


def test_submit_reserves_no_keyword(any_kind):
    keywords = {"fn": 1, "self": 2, "message": 3, "args": 4, "kwargs": 5, "timeout": 6}
    with any_kind.start(actors.Do) as executor:
        assert executor.submit(dict, **keywords).result(PATIENCE) == keywords


def test_submit_needs_a_function(any_kind):
    with any_kind.start(actors.Do) as executor, pytest.raises(TypeError):
        executor.submit()


def test_submit_carries_the_exception(any_kind):
    with any_kind.start(actors.Do) as executor:
        error = executor.submit(int, "seventeen").exception(PATIENCE)
    assert type(error) is ValueError
    assert "seventeen" in str(error)


def test_submit_of_what_cannot_be_called_fails_the_future(any_kind):
    with any_kind.start(actors.Do) as executor:
        assert type(executor.submit(17).exception(PATIENCE)) is TypeError


def test_submitted_functions_run_where_the_actor_lives(kind):
    import os
    import threading

    with kind.start(actors.Do) as executor:
        for ask, submitted in (
            (tasks.get_pid, os.getpid),
            (tasks.get_thread, threading.get_ident),
        ):
            here = executor.post((ask,)).result(PATIENCE)
            assert executor.submit(submitted).result(PATIENCE) == here


def test_submissions_and_posts_share_one_mailbox(kind, tmp_path):
    path = tmp_path / "order"
    with kind.start(actors.Do) as executor:
        for number in range(0, 40, 2):
            executor.post((tasks.append_to, path, f"{number} "))
            executor.submit(tasks.append_to, None, path, f"{number + 1} ")
    assert path.read_text().split() == [str(number) for number in range(40)]


def test_a_submission_can_be_cancelled(kind, gate, tmp_path):
    path = tmp_path / "never"
    with kind.start(actors.Do) as executor:
        executor.submit(gate.wait)
        gate.reached()
        future = executor.submit(path.touch)
        assert future.cancel()
        gate.open()
    assert not path.exists()


def test_submit_does_not_need_a_handler(kind):
    with kind.start(actors.SaysNothing) as executor:
        assert executor.submit(abs, -3).result(PATIENCE) == 3


def test_a_message_that_looks_like_a_submission_is_a_message(kind):
    message = (abs, (-3,), {})
    with kind.start(actors.Echo) as executor:
        assert executor.post(message).result(PATIENCE) == message


def test_submit_takes_what_only_cloudpickle_can_send(kind):
    power = 3
    with kind.start(actors.Echo) as executor:
        assert executor.submit(lambda base: base**power, 2).result(PATIENCE) == 8


def test_submit_of_what_cannot_be_pickled_fails_the_future(process):
    import threading

    with process.start(actors.Echo) as executor:
        future = executor.submit(print, threading.Lock())
        assert isinstance(future.exception(PATIENCE), TypeError)
        assert executor.submit(abs, -3).result(PATIENCE) == 3


def test_map_gives_answers_in_order(any_kind):
    with any_kind.start(actors.Do) as executor:
        answers = executor.map(operator.mul, range(10), range(10), timeout=PATIENCE)
        assert list(answers) == [number * number for number in range(10)]


def test_map_raises_where_a_call_raised(any_kind):
    with any_kind.start(actors.Do) as executor:
        answers = executor.map(int, ["1", "two", "3"], timeout=PATIENCE)
        assert next(answers) == 1
        with pytest.raises(ValueError, match="two"):
            next(answers)


def test_map_times_out(any_kind, gate):
    with any_kind.start(actors.Do) as executor:
        answers = executor.map(tasks.pause, [None], [gate], timeout=0.05)
        gate.reached()
        with pytest.raises(futures.TimeoutError):
            next(answers)
        gate.open()


@pytest.mark.parametrize("arguments", [([1, 2],), ([1, 2], [3]), (None, "ab")])
def test_map_of_messages_is_refused_and_names_imap(kind, arguments):
    with (
        kind.start(actors.Do) as executor,
        pytest.raises(TypeError, match=r"is not callable.*imap\(messages\)"),
    ):
        executor.map(*arguments)


def test_asyncio_runs_functions_in_an_actor(any_kind):
    async def main(executor):
        run = functools.partial(asyncio.get_running_loop().run_in_executor, executor)
        answers = asyncio.gather(*(run(abs, -number) for number in range(10)))
        return await asyncio.wait_for(answers, PATIENCE)

    with any_kind.start(actors.Do) as executor:
        assert asyncio.run(main(executor)) == list(range(10))
