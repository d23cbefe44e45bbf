"""Streams of Ray actors: what crosses, several at a time, deaths, and the end of the program. The
contract's tests of streams run with Ray actors, too."""

import os
import signal
import threading
from concurrent.futures import CancelledError

import numpy as np
import pytest
import ray

import programs
import streaming
import tasks
from futures_actors import ActorDied, current_message
from gates import PATIENCE
from ray_actors import RayDo

MIB = 1 << 20


def arrays(actor, count, size):
    for number in range(count):
        yield np.full(size, number, np.uint8)


def references(actor, count):
    for number in range(count):
        yield {"reference": ray.put(number)}


@pytest.mark.parametrize("size", [10, MIB])
@pytest.mark.parametrize("zero_copy", [False, True])
def test_arrays_are_streamed(size, zero_copy):
    with RayDo.options(zero_copy=zero_copy).executor() as executor:
        taken = list(executor.stream((arrays, 20, size), ahead=3))
    assert [int(array[0]) for array in taken] == list(range(20))
    assert all(len(array) == size for array in taken)
    assert taken[0].flags.writeable is not (zero_copy and size == MIB)


def test_references_to_rays_objects_are_streamed():
    with RayDo.executor() as executor:
        taken = [ray.get(box["reference"]) for box in executor.stream((references, 20))]
    assert taken == list(range(20))


@pytest.mark.parametrize("ahead", [100, 5000, 10**30])
def test_a_stream_may_be_far_ahead(ahead):
    """More items than a stream knows by reference at a time wait to be taken."""
    with RayDo.executor() as executor:
        stream = executor.stream((streaming.numbers, 90), ahead=ahead)
        assert stream.future.result(PATIENCE) is None
        assert list(stream) == list(range(90))
        assert list(executor.stream((streaming.numbers, 300), ahead=ahead)) == list(range(300))


@pytest.mark.parametrize("count", [0, 1, 40])
def test_what_had_come_before_a_death_is_handed_out(count, gate):
    with RayDo.executor() as executor:
        stream = executor.stream((numbers_and_die, count, gate), ahead=100)
        # By then the items have left the actor, and none has been taken.
        gate.reached()
        programs.wait_until(lambda: came(executor) == count)
        behind = executor.stream((streaming.numbers, 3))
        gate.open()
        taken = []
        with pytest.raises(ActorDied) as caught:
            for item in stream:
                taken.append(item)
        assert taken == list(range(count))
        assert caught.value.started
        assert list(stream) == []
        with pytest.raises(ActorDied) as caught:
            next(behind)
        assert not caught.value.started


def numbers_and_die(actor, count, gate):
    yield from range(count)
    gate.wait()
    os.kill(os.getpid(), signal.SIGKILL)


def came(executor):
    """Return how many items of the stream that is in flight have come."""
    return max((known._received - 1 for known in STREAMS), default=-1)


STREAMS = []


@pytest.fixture(autouse=True)
def _streams(monkeypatch):
    """Know what is in flight."""
    from futures_actors._ray import carrier

    class Known(carrier.Inflow):
        def __init__(self, *args):
            super().__init__(*args)
            STREAMS.append(self)

    monkeypatch.setattr(carrier, "Inflow", Known)
    yield
    STREAMS.clear()


@pytest.mark.parametrize("method", ["kill", "terminate"])
def test_kill_and_terminate_end_a_stream(method):
    executor = RayDo.executor()
    stream = executor.stream((streaming.endless,), ahead=2)
    assert next(stream) == 0
    getattr(executor, method)()
    with pytest.raises(ActorDied, match=rf"{method}\(\) was called"):
        list(stream)
    executor.shutdown()


def test_streams_in_a_window_run_one_after_the_other_and_each_can_be_closed(tmp_path):
    logs = [tmp_path / str(number) for number in range(3)]
    with RayDo.options(window=4).executor() as executor:
        streams = [executor.stream((streaming.endless, str(log)), ahead=2) for log in logs]
        answer = executor.post((tasks.echo, "after"))
        assert next(streams[0]) == 0
        programs.wait_until(streams[2].future.running)
        # Ray has this one, and has not begun it.
        streams[1].close()
        assert not answer.done()
        streams[0].close()
        assert next(streams[2]) == 0
        streams[2].close()
        assert answer.result(PATIENCE) == "after"
        for stream in streams:
            with pytest.raises(CancelledError):
                stream.future.result(PATIENCE)
        assert streaming.lines(logs[0])[-1] == streaming.lines(logs[2])[-1] == "ended"


def bad_items(actor, path):
    try:
        try:
            yield threading.Lock()
        except TypeError:
            yield "caught"
        while True:
            yield Unloadable()
    finally:
        streaming.note(path, "ended")


class Unloadable:
    def __reduce__(self):
        return fails_to_load, ()


def fails_to_load():
    raise LookupError("not here")


def test_an_item_that_cannot_cross_is_raised_where_it_fails(tmp_path):
    log = tmp_path / "log"
    with RayDo.executor() as executor:
        stream = executor.stream((bad_items, str(log)), ahead=1)
        assert next(stream) == "caught"
        with pytest.raises(LookupError, match="not here"):
            next(stream)
        assert list(stream) == []
        programs.wait_until(lambda: streaming.lines(log) == ["ended"])


def looks_by_a_thread(actor):
    seen = []

    def look():
        try:
            seen.append(message.cancel_requested)
        except RuntimeError as error:
            seen.append(str(error))

    message = current_message()
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    yield message.cancel_requested, seen


def test_only_the_handlers_thread_sees_that_a_stream_was_closed():
    with RayDo.executor() as executor:
        mine, others = next(executor.stream((looks_by_a_thread,)))
        assert mine is False
        assert "own thread" in others[0]


def waits_until_it_is_asked(actor, path):
    message = current_message()
    yield "begun"
    while not message.cancel_requested:
        pass
    streaming.note(path, "asked")
    message.check_cancelled()


def test_a_generator_sees_that_it_is_asked_to_stop_between_its_yields(tmp_path):
    log = tmp_path / "log"
    with RayDo.executor() as executor:
        stream = executor.stream((waits_until_it_is_asked, str(log)))
        assert next(stream) == "begun"
        assert stream.future.request_cancel()
        with pytest.raises(CancelledError):
            stream.future.result(PATIENCE)
        assert streaming.lines(log) == ["asked"]


def looks(actor):
    return current_message().cancel_requested


def test_a_plain_handler_cannot_be_asked_to_stop_and_the_error_names_stream(gate):
    with RayDo.executor() as executor:
        assert executor.post((looks,)).result(PATIENCE) is False
        running = executor.post((tasks.pause, gate))
        gate.reached()
        with pytest.raises(NotImplementedError, match=r"stream\(\)"):
            running.request_cancel()
        gate.open()
        assert running.result(PATIENCE) == "passed"


PROGRAM = """
import itertools
from futures_actors.ray import RayActor

class Streams(RayActor):
    def handle(self, path):
        try:
            yield from itertools.count()
        finally:
            with open(path, "a") as file:
                file.write("ended")

executor = Streams.executor()
stream = executor.stream({path!r})
print(next(stream), flush=True)
{more}
"""


@pytest.mark.parametrize(
    "more", ["pass", "executor.shutdown(wait=False)", "import ray; ray.shutdown()"]
)
def test_the_interpreter_exits_although_a_stream_waits_for_a_taker(cluster, script, tmp_path, more):
    log = tmp_path / "log"
    ended = script(PROGRAM.format(path=str(log), more=more), timeout=50).check()
    assert ended.out.split() == ["0"]
    if "ray" not in more:
        assert log.read_text() == "ended"
