"""Big buffers of messages for an actor that is started again: they cross in shared memory, a
message that had not begun arrives as it was sent, and none of the memory is left behind."""

import gc
import os
import random
import signal

import numpy as np
import pytest

import actors
import tasks
from futures_actors import ActorDied
from gates import PATIENCE
from observe import memory_files, on_linux, only_memory, resident_shared

MIB = 1 << 20
DIE = (tasks.exit_at_once, 3)


def start(restarts=1, **options):
    return actors.ProcessDo.options(max_restarts=restarts, **options).executor()


def numbers(seed, length_bytes=MIB):
    return np.arange(seed, seed + length_bytes // 8, dtype=np.int64)


@pytest.mark.parametrize("length", [100, 16 * 1024, MIB])
@pytest.mark.parametrize("limit", [None, 0, 3 * MIB])
def test_arrays_that_have_not_begun_arrive_at_the_next_process(gate, length, limit):
    with start(3, shared_memory=limit) as executor:
        for _ in range(3):
            executor.post((tasks.pause, gate))
            gate.reached()
            executor.post(DIE)
            posted = [executor.post((tasks.echo, numbers(n, length))) for n in range(20)]
            cancelled = [future.cancel() for future in posted[::5]]
            gate.open()
            assert all(cancelled)
            for n, future in enumerate(posted):
                if n % 5:
                    got = future.result(PATIENCE)
                    np.testing.assert_array_equal(got, numbers(n, length))
                    assert got.flags.writeable
            del got, posted, future


def test_a_message_is_as_it_was_when_posted_after_a_restart(gate):
    with start() as executor:
        executor.post((tasks.pause, gate))
        executor.post(DIE)
        array = numbers(0)
        future = executor.post((tasks.echo, [array, b"b" * MIB, "t" * MIB]))
        array[:] = -1
        gate.open()
        got, data, text = future.result(PATIENCE)
        np.testing.assert_array_equal(got, numbers(0))
        assert (data, text) == (b"b" * MIB, "t" * MIB)


@on_linux
def test_arrays_cross_in_shared_memory_though_the_actor_may_be_started_again(gate):
    with start() as executor:
        executor.post((tasks.pause, gate))
        gate.reached()
        before = only_memory()
        future = executor.post((tasks.echo, numbers(0, 16 * MIB)))
        assert 16 * MIB <= only_memory() - before < 20 * MIB
        gate.open()
        got = future.result(PATIENCE)
        # An echo gives the block back as it is.
        assert only_memory() - before < 20 * MIB
        np.testing.assert_array_equal(got, numbers(0, 16 * MIB))


@on_linux
def test_a_cancelled_message_gives_its_memory_back_at_once(gate):
    with start() as executor:
        executor.post((tasks.pause, gate))
        gate.reached()
        for _ in range(20):
            assert executor.post((tasks.echo, numbers(0, 16 * MIB))).cancel()
        assert only_memory() < 40 * MIB
        gate.open()
        assert executor.post((tasks.echo, 1)).result(PATIENCE) == 1


@on_linux
def test_a_restart_copies_one_queued_array_at_a_time(script):
    ended = script(
        """if True:
        import logging, os, resource
        import numpy as np
        import actors, tasks
        from gates import Gate
        logging.disable()

        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

        doors = ["gate.knock", "gate.open"]
        for door in doors:
            os.mkfifo(door)
        held = [os.open(door, os.O_RDWR) for door in doors]
        gate = Gate(os.path.abspath("gate"))
        with actors.ProcessDo.options(max_restarts=1).executor() as executor:
            executor.post((tasks.pause, gate))
            gate.reached()
            died = executor.post((tasks.exit_at_once, 3))
            array = np.ones(8 << 20, dtype=np.uint8)
            before = peak()
            posted = [executor.post((tasks.call, len, array)) for _ in range(20)]
            gate.open()
            assert {future.result(30) for future in posted} == {array.nbytes}
            print((peak() - before) / array.nbytes)
        """
    ).check()
    assert float(ended.out) < 23


@on_linux
@pytest.mark.timeout(120)
def test_killed_at_any_moment_every_array_arrives_once_and_no_memory_is_left():
    chance = random.Random(1)
    before = resident_shared()
    lost = 0
    with start(1000) as executor:
        for turn in range(25):
            posted = [
                executor.post((tasks.echo, numbers(turn * 100 + n, (1 + n % 4) * MIB)))
                for n in range(12)
            ]
            posted[chance.randrange(12)].exception(PATIENCE)
            pid = executor.stats().pid
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
            for n, future in enumerate(posted):
                error = future.exception(PATIENCE)
                if error is None:
                    expected = numbers(turn * 100 + n, (1 + n % 4) * MIB)
                    np.testing.assert_array_equal(future.result(), expected)
                else:
                    assert isinstance(error, ActorDied)
                    assert error.started
                    lost += 1
            del posted, future, error
        gc.collect()
        assert len(memory_files()) == 1
    # Each death may lose at most the message that ran.
    assert lost <= 25
    del executor
    gc.collect()
    assert memory_files() == []
    assert resident_shared() - before < 8 * MIB


def test_big_buffers_that_have_not_begun_are_there_for_the_new_instance(gate):
    """Although their memory is shared with the process that died."""
    with start() as executor:
        executor.post((tasks.pause, gate))
        executor.post(DIE)
        sent = [bytearray([number]) * (1 << 20) for number in range(6)]
        posted = [executor.post((tasks.echo, one)) for one in sent]
        gate.open()
        assert [future.result(PATIENCE) for future in posted] == sent
        kept = posted[0].result()
        assert executor.post((tasks.echo, bytearray(1 << 20))).result(PATIENCE) is not None
        assert kept == sent[0]


def test_answers_in_shared_memory_outlive_the_process_that_gave_them():
    with start(3) as executor:
        for number in range(3):
            big = executor.post((tasks.echo, bytearray([number]) * (1 << 20))).result(PATIENCE)
            assert executor.post(DIE).exception(PATIENCE).started
            assert executor.post((tasks.echo, 1)).result(PATIENCE) == 1
            assert big == bytearray([number]) * (1 << 20)
