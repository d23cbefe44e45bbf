"""Streams of process actors: what can go wrong between two processes, and what they cost."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

import actors
import observe
import programs
import tasks
from futures_actors import ActorDied, ProcessActor, current_actor
from gates import PATIENCE

try:
    import numpy as np
except ImportError:
    np = None


def numbers_and_die(actor, count):
    yield from range(count)
    os.kill(os.getpid(), tasks.KILL)
    yield "never"


def numbers(actor, count):
    yield from range(count)


def begins(actor, path):
    with Path(path).open("a") as file:
        file.write("begun\n")
    yield 1
    yield 2


def with_a_lock(actor):
    try:
        yield threading.Lock()
    except TypeError as error:
        yield f"caught: {error}"
    yield "goes on"


def with_a_lock_uncaught(actor):
    yield 1
    yield threading.Lock()


class Unloadable:
    """It cannot be rebuilt in the process that takes it."""

    def __reduce__(self):
        return refuse, (os.getpid(),)


def refuse(home):
    if os.getpid() != home:
        raise LookupError("not here")


def that_cannot_be_loaded(actor):
    yield 1
    yield Unloadable()
    yield 3


def arrays(actor, count, size):
    for number in range(count):
        yield np.full(size, number % 251, np.uint8)


def texts(actor, count, size):
    for _ in range(count):
        yield "x" * size


def until(found):
    programs.wait_until(found)


@pytest.mark.parametrize("count", [0, 1, 3, 16, 200])
def test_all_that_was_yielded_before_a_death_is_handed_out(process_kind, count):
    with process_kind.start(actors.Do) as executor:
        stream = executor.stream((numbers_and_die, count), ahead=1000)
        for number in range(count):
            assert stream.next(PATIENCE) == number
        with pytest.raises(ActorDied) as caught:
            stream.next(PATIENCE)
        assert caught.value.started
        assert list(stream) == []
        with pytest.raises(ActorDied):
            stream.future.result(PATIENCE)


def test_a_stream_that_had_begun_is_not_begun_again_and_the_next_one_is(process_kind, tmp_path):
    path = tmp_path / "log"
    cls = process_kind.actor(actors.Do)
    with cls.options(max_restarts=1).executor() as executor:
        dies = executor.stream((numbers_and_die, 2))
        after = executor.stream((begins, str(path)))
        assert [next(dies), next(dies)] == [0, 1]
        with pytest.raises(ActorDied):
            next(dies)
        assert list(after) == [1, 2]
        assert path.read_text() == "begun\n"
        assert executor.stats().restarts == 1


def test_a_killed_actor_ends_its_streams(process_kind):
    with process_kind.start(actors.Do) as executor:
        stream = executor.stream((numbers, 100), ahead=5)
        waiting = executor.stream((numbers, 1))
        assert next(stream) == 0
        executor.kill()
        with pytest.raises(ActorDied) as caught:
            list(stream)
        assert caught.value.started
        with pytest.raises(ActorDied) as caught:
            next(waiting)
        assert not caught.value.started


def test_an_item_that_cannot_be_pickled_is_thrown_into_the_generator(process_kind):
    with process_kind.start(actors.Do) as executor:
        first, second = executor.stream((with_a_lock,))
        assert f"the item that actor {executor.name} has yielded" in first
        assert second == "goes on"
        stream = executor.stream((with_a_lock_uncaught,))
        assert next(stream) == 1
        with pytest.raises(TypeError, match="pickle"):
            next(stream)
        assert executor.post((tasks.echo, 1)).result(PATIENCE) == 1


def test_an_item_that_cannot_be_loaded_is_raised_and_closes_the_stream(process_kind):
    with process_kind.start(actors.Do) as executor:
        stream = executor.stream((that_cannot_be_loaded,), ahead=1)
        assert next(stream) == 1
        with pytest.raises(LookupError, match="not here"):
            next(stream)
        assert list(stream) == []
        until(stream.future.done)
        assert executor.post((tasks.echo, 1)).result(PATIENCE) == 1


@observe.needs_numpy
def test_arrays_stream_in_shared_memory_and_leave_none_behind(process):
    with process.start(actors.Do) as executor:
        for number, array in enumerate(executor.stream((arrays, 300, 1 << 20), ahead=4)):
            assert array[0] == array[-1] == number % 251
            assert array.flags.writeable


def test_a_slow_taker_costs_no_memory(process):
    size, ahead = 1 << 20, 4
    with process.start(actors.Do) as executor:
        stream = executor.stream((texts, 300, size), ahead=ahead)
        for _ in range(20):  # until the buffers have their sizes
            next(stream)
        before = programs.resident_bytes()
        for number, _ in enumerate(stream):
            if number % 50 == 0:
                time.sleep(0.01)
        # Those that come would be 280 in all.
        assert programs.resident_bytes() - before < 50 * size


@observe.needs_numpy
def test_many_streams_that_are_closed_early_leave_nothing_behind(process):
    with process.start(actors.Do) as executor:
        for round_ in range(3):
            for number in range(400):
                with executor.stream((arrays, 10, 40_000), ahead=1 + number % 4) as stream:
                    if number % 3:
                        next(stream)
            del stream
            if round_ == 0:
                before = programs.resident_bytes()
        assert programs.resident_bytes() - before < 32 << 20
        assert executor.post((tasks.echo, 1)).result(PATIENCE) == 1
        assert executor.stats().depth == 0


STOPPED = """
import os, sys
from futures_actors import ProcessActor

class Count(ProcessActor):
    {handle}

if __name__ == "__main__":
    with Count.executor() as executor:
        stream = executor.stream(5000, ahead=8)
        print(next(stream), flush=True)
        taken = list(stream)
        assert taken == list(range(1, 5000))
        print("all", flush=True)
"""


HANDLES = {
    "sync": """def handle(self, count):
        yield from range(count)""",
    "async": """async def handle(self, count):
        for number in range(count):
            yield number""",
}


@observe.on_unix
@pytest.mark.parametrize("handle", HANDLES)
def test_a_taker_that_is_stopped_and_goes_on_loses_nothing(process, program, handle):
    running = program(STOPPED.format(handle=HANDLES[handle]))
    assert running.line() == "0"
    for _ in range(20):
        running.signal(signal.SIGSTOP)
        time.sleep(0.005)
        running.signal(signal.SIGCONT)
        time.sleep(0.005)
    assert running.line() == "all"
    assert running.wait() == 0


class YieldsFrom(ProcessActor):
    def handle(self, message):
        try:
            yield from range(message)
        except KeyboardInterrupt:
            yield "interrupted"


@observe.on_unix
def test_ctrl_c_in_the_process_reaches_a_generator_wherever_it_is():
    with YieldsFrom.executor() as executor:
        for _ in range(20):
            stream = executor.stream(1000, ahead=2)
            assert next(stream) == 0
            os.kill(executor.stats().pid, signal.SIGINT)
            assert list(stream)[-1] == "interrupted"


def yields_itself(actor):
    yield current_actor()
    yield [current_actor()]


def test_an_item_may_hold_a_reference(process):
    with process.start(actors.Do) as executor:
        ref, (again,) = executor.stream((yields_itself,))
        assert ref == again == executor
        assert ref.post((tasks.echo, 1)).result(PATIENCE) == 1


def yields_while_another_is_asked(actor, other, gate):
    asked = other.post((tasks.pause, gate))
    # For the callback the helper thread reads.
    asked.add_done_callback(lambda _: None)
    yield from range(300)
    gate.open()
    return asked.result(PATIENCE)


def test_a_generator_gets_credit_while_the_helper_thread_reads(process, gate):
    with process.start(actors.Do) as other, process.start(actors.Do) as executor:
        stream = executor.stream((yields_while_another_is_asked, other, gate), ahead=1)
        assert [stream.next(PATIENCE) for _ in range(300)] == list(range(300))
        assert list(stream) == []
        assert stream.future.result(PATIENCE) == "passed"
