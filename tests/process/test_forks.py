"""Actors where processes and threads come and go: forks, multiprocessing, pytest-xdist."""

import subprocess
import sys
import threading

import pytest

import actors
import observe
import programs
from gates import PATIENCE

FORK = """
import os, sys, warnings
import actors, tasks
warnings.simplefilter("ignore")
executor = actors.KINDDo.executor()
executor.post((tasks.echo, 1)).result(30)
pending = executor.post((tasks.nap, 0.5))
queued = [executor.post((tasks.remember, number)) for number in range(2000)][-1]
pid = os.fork()
if pid == 0:
FORKED
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
print(pending.result(30), queued.result(30), executor.post((tasks.echo, "alive")).result(30))
"""

FORKED = {
    "posts": """
        try:
            executor.post((tasks.echo, 1)).result(5)
        except RuntimeError:
            os._exit(0)
        os._exit(1)
    """,
    "waits": """
        try:
            pending.result(5)
        except RuntimeError:
            os._exit(0)
        os._exit(1)
    """,
    "shuts down": """
        executor.shutdown()
        os._exit(0)
    """,
    "drops": """
        del executor
        os._exit(0)
    """,
    "exits": """
        sys.exit(0)
    """,
    "cancels": """
        # It would be the parent's message that is never handled.
        os._exit(executor.shutdown(cancel_futures=True) or pending.cancel() or queued.cancel())
    """,
    "looks": """
        import gc
        for future in (pending, queued):
            assert not (future.done() or future.running() or future.cancelled())
            assert future._state in repr(future).upper()
            assert future._condition
            assert not future._done_callbacks
            try:
                future.set_result(1)
            except RuntimeError:
                continue
            os._exit(1)
        assert executor.stats().pid is None
        assert "broken" in repr(executor)
        del future, pending, queued
        gc.collect()
        os._exit(0)
    """,
    "adds a callback": """
        pending.add_done_callback(print)
        os._exit(0)
    """,
    "collects": """
        import gc
        del executor, pending, queued
        gc.collect()
        sys.exit(0)
    """,
    "awaits": """
        import asyncio
        async def main():
            await asyncio.wait_for(asyncio.wrap_future(pending), 0.2)
        try:
            asyncio.run(main())
        except TimeoutError:
            os._exit(0)
        except asyncio.TimeoutError:
            os._exit(0)
    """,
    "forks again": """
        pid = os.fork()
        if pid == 0:
            sys.exit(0)
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    """,
    "starts its own": """
        with actors.KINDDo.executor() as own:
            os._exit(own.post((tasks.echo, 0)).result(30))
    """,
}


@observe.on_unix
@pytest.mark.parametrize("forked", FORKED.values(), ids=FORKED)
def test_a_forked_parent_has_no_actors_and_does_not_hang(kind, script, forked):
    source = FORK.replace("FORKED", forked.strip("\n").rstrip()).replace("KIND", kind.prefix)
    assert script(source).check().out == "0\n0.5 2000 alive\n"


@observe.on_unix
def test_a_fork_while_messages_fly_harms_neither(process, script):
    """It forks again and again, while the threads of the link are at any point and hold any
    lock."""
    source = """if True:
        import gc, os, signal, sys, threading, warnings
        import actors
        warnings.simplefilter("ignore")
        executor = actors.ProcessCounter.executor()
        latest = []
        def send():
            for _ in range(200):
                latest[:] = [executor.post(1) for _ in range(10)]
                latest[-1].result(30)
        def look():
            for future in latest[:]:
                future.add_done_callback(id)
                future.cancel(), future.cancelled(), future.running(), future.done()
                repr(future), future._condition, future._done_callbacks
            repr(executor), executor.stats()
            latest.clear()
            gc.collect()
        threads = [threading.Thread(target=send) for _ in range(2)]
        for thread in threads:
            thread.start()
        statuses = []
        while any(thread.is_alive() for thread in threads):
            pid = os.fork()
            if pid == 0:
                signal.alarm(10)
                look()
                try:
                    executor.post(1)
                except RuntimeError:
                    executor.shutdown()
                    sys.exit(0)
                os._exit(1)
            statuses.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        print(set(statuses), executor.post(0).result(30))
    """
    assert script(source).check().out == "{0} 4000\n"


@observe.on_unix
def test_a_fork_while_an_actor_is_being_started_can_start_its_own(script):
    """A thread that starts an actor holds the lock of the fork server's connection while it waits
    for the answer."""
    source = """if True:
        import os, signal, threading, warnings
        import actors, tasks
        from futures_actors._process import forkserver_client
        warnings.simplefilter("ignore")
        actors.ProcessDo.executor().shutdown()
        held, forked = threading.Event(), threading.Event()
        def start():
            with forkserver_client._lock:
                held.set()
                forked.wait()
        thread = threading.Thread(target=start)
        thread.start()
        held.wait()
        pid = os.fork()
        if pid == 0:
            signal.alarm(20)
            with actors.ProcessDo.executor() as own:
                os._exit(own.post((tasks.echo, 0)).result(30))
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        forked.set()
        thread.join()
    """
    assert script(source).check().out == "0\n"


# Actors in surroundings that start and end processes and threads of their own.

MULTIPROCESSING = """
import multiprocessing, sys
import actors, tasks

def work(path):
    executor = actors.KINDDo.executor()
    assert executor.post((tasks.echo, "answer")).result(20) == "answer"
    # Not waited for: the end of the process is what handles it.
    executor.post((tasks.nap, 0.2))
    executor.post((tasks.append_to, path, "handled"))

if __name__ == "__main__":
    if sys.argv[2] == "fork":
        import warnings
        warnings.simplefilter("ignore")
    mine = actors.KINDDo.executor()
    mine.post((tasks.echo, 1)).result(20)
    process = multiprocessing.get_context(sys.argv[2]).Process(target=work, args=sys.argv[1:2])
    process.start()
    process.join()
    print(process.exitcode, mine.post((tasks.echo, "mine")).result(20))
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_child_of_multiprocessing_has_actors_of_its_own(kind, script, tmp_path, method):
    path = tmp_path / "handled"
    ended = script(MULTIPROCESSING.replace("KIND", kind.prefix), args=[str(path), method])
    assert ended.check().out == "0 mine\n"
    assert path.read_text() == "handled"


def test_an_actor_outlives_the_thread_that_started_it(kind):
    box = []

    def start():
        box.append(kind.start(actors.Counter))
        box.append(box[0].post(1))

    thread = threading.Thread(target=start)
    thread.start()
    thread.join(PATIENCE)
    executor, future = box
    assert future.result(PATIENCE) == 1
    # The kernel may tell a child that its parent's *thread* has ended; ours do not listen to that.
    assert executor.post(1).result(PATIENCE) == 2
    executor.shutdown()


def test_actors_work_inside_pytest_xdist(tmp_path):
    pytest.importorskip("xdist")
    (tmp_path / "test_inside.py").write_text(INSIDE_XDIST)
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, str(tmp_path)],
        capture_output=True,
        check=False,
        text=True,
        cwd=tmp_path,
        env=programs.environment(),
        timeout=50,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 passed" in done.stdout


INSIDE_XDIST = """
import pytest
import actors, tasks

@pytest.fixture(scope="module", params=["Thread", "Process"])
def executor(request):
    with actors.actor_class(actors.Do, request.param).executor() as executor:
        yield executor

@pytest.mark.parametrize("number", range(4))
def test_answer(executor, number, capfd):
    assert executor.post((tasks.echo, number)).result(20) == number
    executor.post((tasks.say, "output")).result(20)
"""
