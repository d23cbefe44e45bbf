"""What shared memory for big buffers costs: one copy, blocks that are used again, what happens
where there is too little, and that none of it is left behind."""

import gc
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

import actors
import asynchronous
import futures_actors
import programs
import tasks
from arrays import MIB, THRESHOLD, numbers, same
from gates import PATIENCE
from observe import memory_files, on_linux, only_memory, resident_shared


@on_linux
def test_an_echo_does_not_copy_again(echo):
    before = only_memory()
    got = echo.post(numbers(16 * MIB)).result(PATIENCE)
    assert 16 * MIB <= only_memory() - before < 20 * MIB
    same(got, numbers(16 * MIB))


@on_linux
def test_blocks_are_used_again(echo):
    before = only_memory()
    for _ in range(50):
        got = echo.post(numbers(16 * MIB)).result(PATIENCE)
    # One in hand, while the next is on its way.
    assert only_memory() - before < 40 * MIB
    del got


@on_linux
@pytest.mark.timeout(120)
def test_free_memory_goes_back_to_the_system_when_idle(echo):
    before = only_memory()
    kept = echo.post(numbers(16 * MIB)).result(PATIENCE)
    for _ in range(3):
        echo.post(numbers(32 * MIB)).result(PATIENCE)
    echo.post(kept).result(PATIENCE)
    assert only_memory() - before >= 48 * MIB
    programs.wait_until(lambda: only_memory() - before < 20 * MIB, 2 * PATIENCE)
    same(kept, numbers(16 * MIB))


@on_linux
def test_a_cancelled_message_gives_its_memory_back_at_once(process, gate):
    with process.start(actors.Do) as executor:
        executor.post((tasks.pause, gate))
        gate.reached()
        for _ in range(20):
            assert executor.post((tasks.echo, numbers(16 * MIB))).cancel()
        assert only_memory() < 40 * MIB
        gate.open()
        same(executor.post((tasks.echo, numbers())).result(PATIENCE), numbers())


@on_linux
def test_an_answer_that_nobody_takes_gives_its_memory_back(process):
    with process.start(actors.Echo) as executor:
        for _ in range(10):
            executor.post(numbers(16 * MIB)).exception(PATIENCE)
        assert only_memory() < 40 * MIB


REFUSED = """if True:
    import logging, resource, sys
    import numpy as np
    logging.basicConfig(format="%(name)s %(levelname)s %(message)s", stream=sys.stdout)
    {refuse}
    import actors
    with actors.ProcessEcho.executor() as executor:
        for n in range(5):
            array = np.full(1 << 20, n)
            assert (executor.post(array).result(30) == array).all()
            assert executor.post(bytearray(1 << 20)).result(30) == bytearray(1 << 20)
"""


def warnings_of(ended):
    return [line for line in ended.out.splitlines() if line.startswith("futures_actors WARNING")]


def test_where_files_must_be_small_messages_cross_by_the_pipe_with_one_warning(script):
    refuse = "resource.setrlimit(resource.RLIMIT_FSIZE, (3 << 20, 3 << 20))"
    ended = script(REFUSED.format(refuse=refuse)).check()
    (warning,) = warnings_of(ended)
    assert "through its pipe" in warning
    assert "File too large" in warning


@pytest.mark.parametrize("limit", [0, THRESHOLD, 3 * MIB])
def test_messages_cross_whatever_the_limit(process, limit, caplog):
    options = process.actor(actors.Echo).options(shared_memory=limit)
    with options.executor() as executor:
        futures = [executor.post(numbers(MIB) + n) for n in range(10)]
        for n, future in enumerate(futures):
            same(future.result(PATIENCE), numbers(MIB) + n)
        assert only_memory() <= 2 * limit + MIB
    del future, futures
    warnings = [one for one in caplog.records if one.name == "futures_actors"]
    assert len(warnings) == (limit > 0)


async def pause_with(actor, gate, _big):
    return await asynchronous.pause(actor, gate)


def test_an_async_actor_handles_big_messages_at_a_time_without_shared_memory(gates):
    held = [gates() for _ in range(3)]
    options = asynchronous.ProcessAwaits.options(max_concurrency=3, shared_memory=0)
    with options.executor() as executor:
        futures = [executor.post((pause_with, gate, bytes(2 * MIB))) for gate in held]
        try:
            # One that has begun may wait for the next.
            for gate in held:
                gate.reached()
        finally:
            for gate in held:
                gate.open()
        assert [future.result(PATIENCE) for future in futures] == ["passed"] * 3


def test_an_exhausted_arena_is_no_fault(script):
    """The actor keeps what it gets until no slot is left; messages go on by the pipe."""
    ended = script(
        """if True:
        import logging, sys
        import numpy as np
        logging.basicConfig(format="%(name)s %(levelname)s %(message)s", stream=sys.stdout)
        import actors
        with actors.ProcessKeeps.executor() as executor:
            for n in range(1100):
                executor.post(np.full(1 << 14, n % 256, np.uint8))
            kept = executor.post(None).result(30)
            print([array[0] == array[-1] == n % 256 for n, array in enumerate(kept)].count(True))
        """
    ).check()
    (warning,) = warnings_of(ended)
    assert "limit" in warning
    assert ended.out.split()[-1] == "1100"


@on_linux
@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare")
def test_a_full_dev_shm_is_no_obstacle(tmp_path):
    if subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode:
        pytest.skip("may not make a mount namespace")
    ended = programs.run(
        REFUSED.format(refuse="open('/dev/shm/full', 'ab').write(b'')"),
        "file",
        tmp_path,
        shell=(
            "exec unshare -m sh -c '"
            "mount -t tmpfs -o size=16k tmpfs /dev/shm && "
            'head -c 16384 /dev/zero >/dev/shm/full; exec "$@"\' sh "$@"'
        ),
    ).check()
    assert warnings_of(ended) == []


def test_more_than_there_is_memory_is_an_error_that_says_so(process):
    import mmap

    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0x4000)
    try:
        memory = mmap.mmap(-1, total + MIB, flags=flags)
    except OSError as error:
        pytest.skip(f"cannot even have so many addresses: {error}")
    array = np.frombuffer(memory, np.uint8)
    with process.start(actors.Echo) as executor:
        error = executor.post(array).exception(PATIENCE)
        assert isinstance(error, MemoryError)
        assert str(array.nbytes) in str(error)
        assert "smaller pieces" in str(error)
        assert executor.post("alive").result(PATIENCE) == "alive"
    del array


@pytest.mark.timeout(600)  # on a busy machine its 12 GiB take minutes
def test_an_array_of_more_than_4_gib_arrives(process):
    length = (4 << 30) + 8
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists() or available_bytes(meminfo) < 3 * length:
        pytest.skip("needs 12 GiB of memory")
    with process.start(actors.Echo) as executor:
        array = np.zeros(length // 8, dtype=np.int64)  # of which the system makes no pages yet
        array[-1] = 7
        got = executor.post(array).result(500)
        assert (got.shape, got[0], got[-1]) == (array.shape, 0, 7)
        del got


def available_bytes(meminfo):
    for line in meminfo.read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


@on_linux
def test_a_child_killed_at_any_moment_leaks_no_memory(process):
    """Killed while arrays go both ways; each future ends, and memory and descriptors go."""
    names = shared_names()
    before = resident_shared()
    for turn in range(40):
        with process.start(actors.Do) as executor:
            pid = executor.post((tasks.get_pid,)).result(PATIENCE)
            futures = [executor.post((tasks.echo, numbers(4 * MIB))) for _ in range(8)]
            time.sleep(turn * 0.0003)  # at any moment of the transfer
            os.kill(pid, signal.SIGKILL)
            for future in futures:
                error = future.exception(PATIENCE)
                if error is None:
                    same(future.result(), numbers(4 * MIB))
                else:
                    assert isinstance(error, futures_actors.ActorDied)
        del executor, future, futures, error
    gc.collect()
    assert memory_files() == []
    assert shared_names() <= names
    assert resident_shared() - before < 8 * MIB


def shared_names():
    """Names of shared memory, without those that multiprocessing makes in programs beside this."""
    shm = Path("/dev/shm")
    names = [entry.name for entry in shm.iterdir()] if shm.exists() else []
    return {name for name in names if not name.startswith(("sem.mp-", "psm_"))}


def test_a_parent_killed_in_the_middle_leaves_nothing(program):
    names = shared_names()
    parent = program(
        """if True:
        import numpy as np
        import actors
        executor = actors.ProcessEcho.executor()
        array = np.arange(1 << 20)
        print(executor.post(1).result(30))
        while True:
            executor.post(array).result(30)
        """
    )
    assert parent.line() == "1"
    parent.signal(signal.SIGKILL)
    programs.wait_until(lambda: not programs.others_of_session(parent.pid))
    assert shared_names() <= names
