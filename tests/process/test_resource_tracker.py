"""The resource tracker of `multiprocessing`, which a program shares with its actors: it unlinks the
shared memory that is registered with it."""

import sys
from pathlib import Path

import pytest

import programs
from gates import PATIENCE

TRACKED = """if True:
    import os, sys
    import actors, futures_actors, programs, tasks
    futures_actors.set_start_method(sys.argv[1])

    def trackers():
        every = programs.processes()
        mine = [pid for pid, fields in every if int(fields[3]) == os.getsid(0)]
        return sum("resource_tracker" in programs.command_line(pid) for pid in mine)

    def attach(actor, name):
        from multiprocessing.shared_memory import SharedMemory
        memory = SharedMemory(name=name)
        text = bytes(memory.buf[:3])
        memory.close()
        return text

    def create(actor):
        from multiprocessing.shared_memory import SharedMemory
        memory = SharedMemory(create=True, size=100)
        memory.buf[:3] = b"abc"
        memory.close()
        return memory.name
"""


@pytest.fixture(params=["forkserver", "spawn"])
def with_tracker(request, script):
    def run(source):
        ended = script(TRACKED + source, args=[request.param])
        assert ended.status == 0, ended
        return ended

    return run


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
@pytest.mark.parametrize("when", ["before", "after", "after, but loaded before"])
def test_shared_memory_that_an_actor_attaches_outlives_it(with_tracker, when):
    """Whether its parent has made it before or after the actor was started."""
    load = "\n    import multiprocessing.resource_tracker" * ("loaded" in when)
    make = """
    from multiprocessing.shared_memory import SharedMemory
    memory = SharedMemory(create=True, size=100)
    memory.buf[:3] = b"abc"
    """
    start = """
    executor = actors.ProcessDo.executor()
    executor.post((tasks.echo, 1)).result(30)
    """
    ended = with_tracker(
        (make + start if when == "before" else load + start + make)
        + """
    print(executor.post((attach, memory.name)).result(30), trackers())
    executor.shutdown()
    with actors.ProcessDo.executor() as another:
        print(another.post((attach, memory.name)).result(30), trackers())
    print(attach(None, memory.name))
    memory.close()
    memory.unlink()
    """
    )
    assert ended.check().out == "b'abc' 1\nb'abc' 1\nb'abc'\n"


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_shared_memory_that_an_actor_creates_outlives_it_and_not_the_program(with_tracker):
    ended = with_tracker("""
    with actors.ProcessDo.executor() as executor:
        executor.post((tasks.echo, 1)).result(30)
        print(trackers())
        name = executor.post((create,)).result(30)
        with actors.ProcessDo.executor() as another:
            print(another.post((attach, name)).result(30))
    print(attach(None, name), trackers())
    print(name)
    """)
    *lines, name = ended.out.splitlines()
    assert lines == ["0", "b'abc'", "b'abc' 1"]
    assert "leaked" in ended.err
    gone = Path("/dev/shm", name)
    programs.wait_until(lambda: not gone.exists(), PATIENCE)


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_a_tracker_that_the_parent_has_only_loaded_starts_when_its_actor_needs_it(with_tracker):
    ended = with_tracker("""
    import multiprocessing.resource_tracker
    with actors.ProcessDo.executor() as executor:
        executor.post((tasks.echo, 1)).result(30)
        print(trackers())
        name = executor.post((create,)).result(30)
    print(attach(None, name), trackers())
    """)
    assert ended.out == "0\nb'abc' 1\n"


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
@pytest.mark.parametrize(
    "use", ["multiprocessing.resource_tracker.ensure_running()", "ensure_running()"]
)
def test_however_a_program_starts_its_tracker_it_has_only_one(with_tracker, use):
    """Also by a function that it has imported before an actor was started."""
    ended = with_tracker(f"""
    import multiprocessing.resource_tracker
    from multiprocessing.resource_tracker import ensure_running
    with actors.ProcessDo.executor() as executor:
        executor.post((tasks.echo, 1)).result(30)
        {use}
        from multiprocessing.shared_memory import SharedMemory
        memory = SharedMemory(create=True, size=100)
        print(trackers())
        memory.close()
        memory.unlink()
    """)
    assert ended.check().out == "1\n"


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_a_program_may_close_all_descriptors_before_it_starts_an_actor(with_tracker):
    """As programs do that become daemons."""
    out = with_tracker("""
    with actors.ProcessDo.executor() as executor:
        executor.post((tasks.echo, 1)).result(30)
    if os.fork():
        os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
    os.closerange(3, 100)
    files = [open(f"file{number}", "w+b") for number in range(30)]
    with actors.ProcessDo.executor() as executor:
        print(executor.post((create,)).result(30)[:5])
    print(sum(os.fstat(file.fileno()).st_size for file in files))
    """).out
    assert out.splitlines()[1] == "0"
