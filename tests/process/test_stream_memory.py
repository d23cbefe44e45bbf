"""What streams of processes hold: bytes in the pipe, blocks of shared memory, and descriptors."""

from pathlib import Path

import numpy as np
import pytest

import actors
import programs
import streaming
import tasks
from arrays import MIB
from gates import PATIENCE
from observe import on_linux, only_memory


def noted_texts(actor, path, size):
    """Yield texts for ever; write down how many were made."""
    number = 0
    while True:
        streaming.note(path, number)
        number += 1
        yield "x" * size


def noted_arrays(actor, path, size):
    number = 0
    while True:
        streaming.note(path, number)
        number += 1
        yield np.full(size, number % 251, np.uint8)


@pytest.mark.parametrize(("size", "ahead"), [(300_000, 4), (600_000, 2), (MIB, 1), (3 * MIB, 1)])
def test_pickles_that_wait_take_a_mebibyte_at_most_but_for_one_item(
    process_kind, tmp_path, size, ahead
):
    """Without shared memory a big pickle goes by the pipe, too."""
    log = tmp_path / "log"
    options = process_kind.actor(actors.Do).options(shared_memory=0)
    with (
        options.executor() as executor,
        executor.stream((noted_texts, str(log), size), ahead=100) as stream,
    ):
        for taken in range(4):
            programs.wait_until(lambda taken=taken: len(streaming.lines(log)) >= taken + ahead)
            assert streaming.settled(lambda: len(streaming.lines(log))) == taken + ahead
            assert len(next(stream)) == size


@on_linux
def test_blocks_of_shared_memory_count_as_items_only(process_kind, tmp_path):
    log = tmp_path / "log"
    with (
        process_kind.start(actors.Do) as executor,
        executor.stream((noted_arrays, str(log), MIB), ahead=20) as stream,
    ):
        programs.wait_until(lambda: len(streaming.lines(log)) >= 20)
        assert streaming.settled(lambda: len(streaming.lines(log))) == 20
        assert next(stream)[0] == 1


def arrays(actor, count, size):
    for number in range(count):
        yield np.full(size, number, np.uint8)


def held(executor):
    """What this process and the actor's hold: descriptors, and bytes of shared memory."""
    theirs = executor.post((tasks.descriptors,)).result(PATIENCE)
    return len(list(Path("/proc/self/fd").iterdir())), len(theirs), only_memory()


def fewer_or_as_many(now, before):
    return now[0] <= before[0] and now[1] <= before[1]


@on_linux
def test_streams_that_are_closed_early_leave_no_block_and_no_descriptor(process_kind):
    def close_some(rounds):
        for number in range(rounds):
            stream = executor.stream((arrays, 10, 64 << 10), ahead=1 + number % 4)
            if number % 3:
                assert next(stream)[0] == 0
            if number % 2:
                stream.close()
            del stream

    with process_kind.start(actors.Do) as executor:
        close_some(60)
        ours, theirs, memory = held(executor)
        close_some(400)
        programs.wait_until(lambda: fewer_or_as_many(held(executor), (ours, theirs)))
        # If one block of each were left, it would be 25 MiB.
        assert held(executor)[2] < memory + 4 * MIB
