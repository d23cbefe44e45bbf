"""Arrays that came from an actor, and answers that have not been opened yet, when a process forks:
afterwards each process has its own copy of them as they were, as with any other memory."""

import contextlib
import gc
import logging
import multiprocessing
import os
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import actors
import programs
import tasks
from forked import LENGTH, Forked, ask, full, reuse_slots, until_done
from futures_actors import _core
from gates import PATIENCE

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
    pytest.mark.skipif(sys.platform != "linux", reason="big arrays cross in shared memory there"),
]

MIB = 1 << 20


@pytest.fixture
def executor(process):
    with process.start(actors.Do) as executor:
        yield executor


def test_it_does_not_see_what_its_parent_writes_afterwards(executor):
    for _ in range(10):
        array = ask(executor, 7).result(PATIENCE)
        array += 1
        forked = Forked(lambda array=array: (array == 8).all())
        array[:] = 99
        assert forked.holds()
        assert (array == 99).all()


def test_nor_does_its_parent_see_what_it_writes(executor):
    array = ask(executor, 7).result(PATIENCE)
    told, tell = os.pipe()

    def check():
        array[:] = 9
        os.write(tell, b"x")
        return (array == 9).all()

    forked = Forked(check)
    assert forked.holds()
    assert os.read(told, 1) == b"x"
    assert (array == 7).all()
    os.close(told)
    os.close(tell)


def test_views_of_every_kind_are_its_own(executor):
    array = ask(executor, 7).result(PATIENCE)
    part, view = array[50_000:], memoryview(array)[10:20]
    table = array.reshape(100, -1).T
    forked = Forked(lambda: (part == 7).all() and view[5] == 7 and (table == 7).all())
    array[:] = 99
    assert part[0] == view[0] == table[0, 0] == 99
    assert forked.holds()


def test_an_array_that_its_parent_drops_is_not_overwritten(executor):
    array = ask(executor, 7).result(PATIENCE)
    forked = Forked(lambda keep=[array]: (keep[0] == 7).all())
    del array
    gc.collect()
    reuse_slots(executor)
    assert forked.holds()


@pytest.mark.parametrize(
    "value", [full(7), list(range(100_000)), "t" * MIB], ids=["array", "list", "text"]
)
def test_an_unopened_answer_is_in_both_after_a_fork(executor, value):
    future = executor.post((tasks.echo, value))
    until_done(future)
    forked = Forked(lambda: np.array_equal(future.result(PATIENCE), value))
    assert np.array_equal(future.result(PATIENCE), value)
    future = None
    gc.collect()
    reuse_slots(executor)
    assert forked.holds()


def test_an_answer_that_both_open_is_each_ones_own(executor):
    future = ask(executor, 7)
    until_done(future)
    array_written, tell = os.pipe()
    may_look, key = os.pipe()

    def check():
        array = future.result(PATIENCE)
        array[:] = 9
        os.write(tell, b"x")
        os.read(may_look, 1)
        return (array == 9).all()

    forked = Forked(check)
    forked.go()
    os.read(array_written, 1)
    array = future.result(PATIENCE)
    assert (array == 7).all()
    array[:] = 8
    array = future = None
    gc.collect()
    reuse_slots(executor)
    os.write(key, b"x")
    assert forked.holds()
    for descriptor in (array_written, tell, may_look, key):
        os.close(descriptor)


def test_the_process_that_an_actor_forks_keeps_the_message(process, gate):
    with process.start(actors.Snapshots) as executor:
        executor.post((full(1), gate)).result(PATIENCE)
        for number in range(2, 8):
            executor.submit(len, full(number)).result(PATIENCE)
        gate.open()
        assert executor.submit(os.wait).result(PATIENCE)[1] == 0


@pytest.mark.parametrize("deed", ["changes", "returns"])
def test_what_an_actor_does_with_an_array_after_it_forked_is_its_own(process, gate, deed):
    with process.start(actors.Snapshots, deed) as executor:
        answer = executor.post((full(1), gate)).result(PATIENCE)
        if deed == "returns":
            assert (answer == 1).all()
            answer[:] = 5
        for number in range(2, 8):
            executor.submit(len, full(number)).result(PATIENCE)
        gate.open()
        assert executor.submit(os.wait).result(PATIENCE)[1] == 0


def test_the_fork_of_a_fork_outlives_it(executor):
    array = ask(executor, 7).result(PATIENCE)
    gate, key = os.pipe()
    told, tell = os.pipe()

    def fork_again():
        if os.fork() == 0:
            # Here the first one is gone, or is about to be.
            os.read(gate, 1)
            os.write(tell, b"7" if (array == 7).all() else b"?")
            os._exit(0)
        return True

    forked = Forked(fork_again)
    assert forked.holds()
    array = None
    gc.collect()
    reuse_slots(executor)
    os.write(key, b"x")
    assert os.read(told, 1) == b"7"
    for descriptor in (gate, key, told, tell):
        os.close(descriptor)


def test_a_daemon_that_closes_every_descriptor_keeps_its_arrays(executor, gate):
    array = ask(executor, 7).result(PATIENCE)
    closed, tell = os.pipe()

    def check():
        os.dup2(tell, 3)
        os.closerange(4, 1024)
        os.write(3, b"x")
        gate.wait()
        return (array == 7).all()

    forked = Forked(check)
    forked.go()
    os.read(closed, 1)
    array = None
    gc.collect()
    reuse_slots(executor)
    gate.open()
    assert forked.holds()
    os.close(closed)
    os.close(tell)


def test_what_arrives_while_a_fork_is_under_way_is_in_both(script):
    """Other hooks run between the package's own hook and the fork, and may wait for anything."""
    source = """if True:
        import os, sys, warnings
        warnings.simplefilter("ignore")
        futures = []
        def wait():
            # What is registered first is called last.
            while not all(future.done() for future in futures):
                pass
            opened.append(futures[0].result())
        opened = []
        os.register_at_fork(before=lambda: futures and wait())
        import numpy as np
        import actors, tasks
        with actors.ProcessDo.executor() as executor:
            warm = executor.post((tasks.call, np.full, 100_000, 1)).result(30)
            futures += [executor.post((tasks.call, np.full, 100_000, n)) for n in (5, 6, 7)]
            gate, key = os.pipe()
            pid = os.fork()
            waited, futures[:] = futures[:], []
            if pid == 0:
                os.read(gate, 1)
                arrays = [*opened, *(future.result(5) for future in waited)]
                os._exit(0 if [int(a.sum()) for a in arrays] == [500_000] + [
                    n * 100_000 for n in (5, 6, 7)] else 1)
            for array in [*opened, *(future.result(5) for future in waited)]:
                array[:] = 99
            del array, waited, opened
            for n in range(10):
                executor.post((tasks.call, np.full, 100_000, 55)).result(30)
            os.write(key, b"x")
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    """
    assert script(source).check().out == "0\n"


@pytest.mark.parametrize("end", ["shutdown", "kill"])
def test_arrays_whose_actor_has_ended_are_separate_after_a_fork_too(process, end):
    executor = process.start(actors.Do)
    array = ask(executor, 7).result(PATIENCE)
    unopened = ask(executor, 6)
    until_done(unopened)
    if end == "kill":
        executor.post((tasks.exit_at_once, 3)).exception(PATIENCE)
    executor.shutdown()
    array += 1
    forked = Forked(lambda: (array == 8).all() and (unopened.result(5) == 6).all())
    array[:] = 99
    opened = unopened.result(PATIENCE)
    opened[:] = 98
    assert forked.holds()
    assert (array == 99).all()
    assert (opened == 98).all()


def test_several_forks_have_what_was_there_at_their_time(executor):
    array = ask(executor, 0).result(PATIENCE)
    forks = []
    for number in range(1, 6):
        array[:] = number
        forks.append(Forked(lambda number=number: (array == number).all()))
        array[:] = 99
        others = [ask(executor, 50).result(PATIENCE) for _ in range(3)]
        del others
    kept, array = array.copy(), None
    assert (kept == 99).all()
    reuse_slots(executor)
    # Not in their order.
    for forked in [*forks[::2], *forks[1::2]]:
        assert forked.holds()


def test_an_array_that_a_fork_has_is_a_message_like_any_other(executor):
    array = ask(executor, 7).result(PATIENCE)
    forked = Forked(lambda: int(array.sum()) == 7 * LENGTH)
    array[:] = 8
    back = executor.post((tasks.echo, array)).result(PATIENCE)
    back[:] = 9
    assert (array == 8).all()
    assert forked.holds()


def total(array, queue, gate):
    gate.wait(PATIENCE)
    queue.put(int(array.sum()))


def test_a_process_of_multiprocessing_has_the_array_as_it_was(executor):
    context = multiprocessing.get_context("fork")
    array = ask(executor, 7).result(PATIENCE)
    queue, gate = context.SimpleQueue(), context.Event()
    process = context.Process(target=total, args=(array, queue, gate))
    process.start()
    array += 1
    del array
    reuse_slots(executor)
    gate.set()
    assert queue.get() == 7 * LENGTH
    process.join()
    queue.close()


def memory_bytes():
    """Return how much memory the only actor shares with its parent."""
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if str(link.readlink()).startswith("/memfd:futures_actors"):
                return link.stat().st_blocks * 512
    raise AssertionError("there is none")


def test_the_memory_goes_back_when_the_forked_processes_are_gone(process):
    with process.start(actors.Do) as executor:
        arrays = [ask(executor, number, MIB // 8).result(PATIENCE) for number in range(8)]
        forked = Forked(lambda: all((array == n).all() for n, array in enumerate(arrays)))
        arrays = None
        gc.collect()
        assert memory_bytes() >= 8 * MIB
        assert forked.holds()
        # Memory that has not been used for five to ten seconds is given back.
        programs.wait_until(lambda: memory_bytes() < MIB, PATIENCE)


def test_a_fork_that_lives_for_long_leaves_the_actor_half_of_the_memory(process, caplog):
    caplog.set_level(logging.WARNING, "futures_actors")
    options = actors.actor_class(actors.Do, "Process").options(shared_memory=16 * MIB)
    with options.executor() as executor:
        arrays = [ask(executor, number, MIB // 8).result(PATIENCE) for number in range(14)]
        forked = Forked(lambda: all((array == n).all() for n, array in enumerate(arrays)))
        for array in arrays:
            array[:] = 99
        del array
        kept = [ask(executor, 50, MIB // 8).result(PATIENCE) for _ in range(6)]
        assert all((array == 50).all() for array in kept)
        assert all((array == 99).all() for array in arrays)
        assert forked.holds()
    # Nothing had to go by the pipe.
    assert caplog.messages == []


def test_a_fork_without_arrays_costs_no_thread_and_no_descriptor(executor):
    def residents():
        return [
            {path.name for path in Path(f"/proc/self/{kind}").iterdir()} for kind in ("task", "fd")
        ]

    executor.post((tasks.echo, 1)).result(PATIENCE)
    before = residents()
    _core.before_fork()
    assert residents() == before
    _core.after_fork_in_parent()


def test_a_fork_that_fails_changes_nothing(executor):
    """Python calls the hook for the parent in that case, too."""
    array = ask(executor, 7).result(PATIENCE)
    _core.before_fork()
    _core.after_fork_in_parent()
    array += 1
    assert (executor.post((tasks.echo, array)).result(PATIENCE) == 8).all()
    reuse_slots(executor)
    assert (array == 8).all()


def test_forks_while_arrays_fly_are_right_in_every_process(executor):
    """Answers come, are opened, changed, and dropped on other threads meanwhile."""
    over = threading.Event()
    failed = []
    #: What each thread has: arrays with their numbers, and a future that may be done.
    held = [None] * 2

    def work(index):
        number = 0
        while not over.is_set():
            number += 1
            future = ask(executor, number, 20_000)
            held[index] = (future, number)
            array = future.result(PATIENCE)
            if not (array == number).all():
                failed.append(number)
            array += 1
            if not (array == number + 1).all():
                failed.append(number)

    def check(seen):
        for future, number in seen:
            if future.done():
                array = future.result(1)
                # A thread of the other process may have been about to change it, or in the middle
                # of doing so.
                if not ((array == number) | (array == number + 1)).all():
                    return False
                array[:] = -1
        return True

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(held))]
    for thread in threads:
        thread.start()
    forks = []
    try:
        for _ in range(60):
            seen = [pair for pair in held if pair]
            forks.append(Forked(lambda seen=seen: check(seen)))
            if len(forks) == 4:
                assert forks.pop(0).holds()
    finally:
        over.set()
        for thread in threads:
            thread.join(PATIENCE)
        found = [forked.holds() for forked in forks]
    assert all(found)
    assert failed == []
