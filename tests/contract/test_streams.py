"""Streams: `executor.stream(message)` gives what `handle` yields, item by item."""

import contextlib
import copy
import os
import pickle
import random
import threading
import weakref
from concurrent import futures

import pytest

import actors
import futures_actors
import observe
import programs
import streaming
import tasks
from futures_actors import ActorStream
from gates import PATIENCE

# Items, the end, and exceptions.


def test_items_arrive_in_order_each_once_and_then_the_end(stream_kind):
    with stream_kind.start(actors.Do) as executor:
        stream = executor.stream((streaming.numbers, 1000, "answer"))
        assert isinstance(stream, ActorStream)
        assert iter(stream) is stream
        assert list(stream) == list(range(1000))
        assert list(stream) == []
        with pytest.raises(StopIteration):
            stream.next()
        assert stream.future.result(PATIENCE) == "answer"


def takes_all(executor, count, _thing):
    # The exception's traceback leads to these variables, and the stream has the exception.
    stream = executor.stream((streaming.fails, count))
    with stream:
        for _ in stream:
            pass


def test_a_stream_and_what_it_has_raised_are_collected(stream_kind):
    with stream_kind.start(actors.Do) as executor:
        for count in (0, 3):
            thing = observe.Thing()
            with pytest.raises(ValueError, match="at the end"):
                takes_all(executor, count, thing)
            seen = weakref.ref(thing)
            del thing
            assert observe.is_collected(seen)


@pytest.mark.parametrize("count", [0, 1, 5, 100])
def test_an_exception_comes_once_after_the_items(stream_kind, count):
    with stream_kind.start(actors.Do) as executor:
        stream = executor.stream((streaming.fails, count))
        assert [next(stream) for _ in range(count)] == list(range(count))
        with pytest.raises(ValueError, match="at the end"):
            next(stream)
        assert list(stream) == []
        with pytest.raises(ValueError, match="at the end"):
            stream.future.result(PATIENCE)
        assert executor.post((tasks.echo, "lives on")).result(PATIENCE) == "lives on"


def test_a_generator_runs_where_handle_runs_and_begins_without_a_taker(stream_kind, tmp_path):
    log = tmp_path / "log"
    with stream_kind.start(actors.Do) as executor:
        home = executor.post((tasks.call, threading.get_ident)).result(PATIENCE)
        with executor.stream((streaming.where,)) as stream:
            ident, pid = next(stream)
            assert ident == home
            assert (pid == os.getpid()) is not stream_kind.is_process
        with executor.stream((streaming.endless, str(log)), ahead=3):
            programs.wait_until(lambda: len(streaming.lines(log)) == 3)


@pytest.mark.parametrize("ahead", [1, 2, 16])
def test_a_generator_is_never_further_ahead_than_it_may(stream_kind, tmp_path, ahead):
    log = tmp_path / "log"
    with stream_kind.start(actors.Do) as executor:
        with executor.stream((streaming.endless, str(log)), ahead=ahead) as stream:
            for taken in range(1, 5):
                assert next(stream) == taken - 1
                programs.wait_until(lambda taken=taken: len(streaming.lines(log)) >= taken + ahead)
                assert len(streaming.lines(log)) == taken + ahead
            assert streaming.settled(lambda: len(streaming.lines(log))) == 4 + ahead
        programs.wait_until(lambda: streaming.lines(log)[-1] == "ended")


def test_a_stream_waits_for_its_turn(stream_kind, gate, tmp_path):
    log = tmp_path / "log"
    with stream_kind.start(actors.Do) as executor:
        executor.post((tasks.pause, gate))
        gate.reached()
        stream = executor.stream((streaming.endless, str(log)))
        after = executor.post((tasks.echo, "after"))
        with pytest.raises(futures.TimeoutError):
            stream.next(0.05)
        assert not streaming.lines(log)
        assert not stream.future.running()
        gate.open()
        assert stream.next(PATIENCE) == 0
        assert stream.future.running()
        assert not after.done()
        stream.close()
        assert after.result(PATIENCE) == "after"


def test_next_waits_as_long_as_it_is_told(stream_kind, gate):
    with (
        stream_kind.start(actors.Do) as executor,
        executor.stream((streaming.waits, gate)) as stream,
    ):
        assert stream.next(timeout=PATIENCE) == "first"
        gate.reached()
        for timeout in (0, 0.01, -1):
            with pytest.raises(futures.TimeoutError):
                stream.next(timeout)
        gate.open()
        assert stream.next(PATIENCE) == "second"
        with pytest.raises(StopIteration):
            stream.next(PATIENCE)


def test_any_iterator_streams(stream_kind):
    with stream_kind.start(actors.Do) as executor:
        assert list(executor.stream((streaming.an_iterator,))) == [1, 2, 3]


def test_stats_show_a_stream_as_one_message_that_runs(stream_kind):
    with stream_kind.start(actors.Do) as executor:
        with executor.stream((streaming.endless,)) as stream:
            next(stream)
            executor.post((tasks.echo, 1))
            stats = executor.stats()
            assert stats.age > 0
            assert (stats.depth, stats.handled) == (1, 0)
        programs.wait_until(lambda: executor.stats().handled == 1)
        assert executor.stats().cancelled == 1
        assert list(executor.stream((streaming.numbers, 3))) == [0, 1, 2]
        assert executor.stats().handled == 2


# Methods, functions, references.


def test_methods_stream_by_a_proxy_of_their_own(stream_kind):
    with stream_kind.start(actors.Series) as executor:
        for reference in (executor, executor.ref()):
            stream = reference.stream_proxy(ahead=2).squares(4, offset=1)
            assert list(stream) == [1, 2, 5, 10]
        assert executor.proxy().total().result(PATIENCE) == 8
        assert "squares" in dir(executor.stream_proxy())
        with pytest.raises(AttributeError, match="no method 'cubes'"):
            executor.stream_proxy().cubes  # noqa: B018
        with pytest.raises(TypeError, match=r"no iterator.*proxy"):
            next(executor.stream_proxy().total())


# Bad input.


@pytest.mark.parametrize("ahead", [0, -1, -(10**30)])
def test_ahead_must_be_positive(stream_kind, ahead):
    with stream_kind.start(actors.Do) as executor:
        for make in (
            lambda: executor.stream((streaming.numbers, 1), ahead=ahead),
            lambda: executor.stream_proxy(ahead),
        ):
            with pytest.raises(ValueError, match="ahead must be at least 1"):
                make()
        assert list(executor.stream((streaming.numbers, 2), ahead=10**30)) == [0, 1]


@pytest.mark.parametrize("ahead", [None, 1.0, "16", True])
def test_ahead_must_be_an_int(stream_kind, ahead):
    with stream_kind.start(actors.Do) as executor:
        for make in (
            lambda: executor.stream((streaming.numbers, 1), ahead=ahead),
            lambda: executor.stream_proxy(ahead),
        ):
            with pytest.raises(TypeError, match="ahead must be an int"):
                make()


@pytest.mark.parametrize("function", [streaming.a_list, tasks.echo])
def test_a_handler_that_answers_with_no_iterator_is_refused(stream_kind, function):
    message = (function,) if function is streaming.a_list else (function, 5)
    with stream_kind.start(actors.Do) as executor:
        stream = executor.stream(message)
        with pytest.raises(TypeError, match=r"no iterator.*post"):
            next(stream)
        assert list(stream) == []
        with pytest.raises(TypeError, match=r"no iterator.*post"):
            stream.future.result(PATIENCE)


def test_a_generator_that_was_posted_is_refused_and_the_error_names_stream(stream_kind):
    with stream_kind.start(actors.Do) as executor:
        for future in (
            executor.post((streaming.numbers, 3)),
            executor.submit(streaming.numbers, None, 3),
            executor.proxy().handle((streaming.numbers, 3)),
        ):
            with pytest.raises(TypeError, match=r"stream\(\)"):
                future.result(PATIENCE)


def test_a_generator_that_was_told_is_logged(stream_kind, caplog):
    with stream_kind.start(actors.Do) as executor:
        executor.tell((streaming.numbers, 3))
        assert executor.post((tasks.echo, 1)).result(PATIENCE) == 1
        programs.wait_until(lambda: "stream()" in caplog.text)
        assert executor.stats().failed == 1


def test_an_iterator_that_is_no_generator_is_an_answer(stream_kind):
    with stream_kind.start(actors.Do) as executor:
        assert list(executor.post((streaming.an_iterator,)).result(PATIENCE)) == [1, 2, 3]


@pytest.mark.parametrize("function", [streaming.a_coroutine, streaming.an_async_generator])
def test_a_sync_actor_does_not_stream_what_only_a_loop_could_run(local_kind, function):
    with local_kind.start(actors.Do) as executor:
        stream = executor.stream((function,))
        with pytest.raises(TypeError, match="async def"):
            next(stream)


def test_a_stream_of_no_actor_says_so():
    stream = ActorStream()
    for use in (stream.next, stream.close, lambda: next(stream), lambda: stream.future):
        with pytest.raises(RuntimeError, match="of no actor"):
            use()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_stream_cannot_be_taken_from_in_a_forked_process(stream_kind, gate):
    with stream_kind.start(actors.Do) as executor:
        stream = executor.stream((streaming.waits, gate))
        assert next(stream) == "first"
        pid = os.fork()
        if pid == 0:
            status = 1
            with contextlib.suppress(BaseException):
                try:
                    next(stream)
                except futures_actors.BrokenActor:
                    status = 0
            os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        gate.open()
        assert list(stream) == ["second"]


# Histories against a list.


@pytest.mark.parametrize("seed", range(12))
def test_random_histories_of_takes_and_ends_agree_with_a_list(stream_kind, seed):
    rng = random.Random(seed)
    with stream_kind.start(actors.Do) as executor:
        for _ in range(15):
            count, ahead = rng.randrange(12), rng.randrange(1, 6)
            raises = rng.random() < 0.3
            stream = executor.stream(
                (streaming.fails if raises else streaming.numbers, count), ahead=ahead
            )
            wanted, closed = list(range(count)), False
            for _ in range(rng.randrange(16)):
                if rng.random() < 0.06:
                    stream.close()
                    wanted, closed = [], True
                elif wanted:
                    assert next(stream) == wanted.pop(0)
                elif raises and not closed:
                    raises = False
                    with pytest.raises(ValueError, match="at the end"):
                        next(stream)
                else:
                    with pytest.raises(StopIteration):
                        next(stream)
            stream.close()
            programs.wait_until(stream.future.done)
        assert executor.post((tasks.echo, 1)).result(PATIENCE) == 1


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_copying_a_stream_is_an_error_that_says_what_to_do(thread, duplicate):
    with thread.start(actors.Do) as executor:
        stream = executor.stream((streaming.numbers, 3))
        with pytest.raises(TypeError, match=f"actor {executor.name}: .* send its items instead"):
            duplicate(stream)
        assert list(stream) == [0, 1, 2]


def test_a_stream_in_a_message_to_a_process_is_refused_with_the_way_out(process):
    with process.start(actors.Do) as executor:
        stream = executor.stream((streaming.numbers, 3))
        error = executor.post((tasks.echo, [stream])).exception(PATIENCE)
        assert type(error) is TypeError
        assert "or send a reference to the actor" in str(error)
        assert f"message for actor {executor.name}" in str(error)
        assert list(stream) == [0, 1, 2]
