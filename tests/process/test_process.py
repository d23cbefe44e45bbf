"""A process actor's process: its main thread, what it can start, its descriptors, and what happens
where no process can be started."""

import multiprocessing
import multiprocessing.resource_tracker
import operator
import os
import sys
import threading
import time
from pathlib import Path

import pytest

import actors
import observe
import programs
import tasks
from gates import PATIENCE


def test_a_process_actor_has_a_process_of_its_own(do):
    pid = do(tasks.get_pid)
    assert pid != os.getpid()
    assert do(tasks.get_pid) == pid


def test_constructor_and_handle_run_in_the_main_thread(do):
    assert do(tasks.is_main_thread)
    assert do(tasks.get_thread) == do(tasks.look_at, "threading:_main_thread.ident")


def test_handle_can_set_signal_handlers(do):
    """Python allows this only in the main thread."""
    import signal

    assert do(tasks.call, signal.signal, signal.SIGUSR1, signal.SIG_IGN) == signal.SIG_DFL


def test_it_can_run_programs(do):
    import subprocess

    command = [sys.executable, "-c", "print('from the grandchild')"]
    assert do(tasks.call, subprocess.check_output, command) == b"from the grandchild\n"


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_it_can_use_multiprocessing(script, method):
    """Pools whose children are forked, and whose children run a main module again."""
    source = f"""if True:
        import actors
        def pool_in_actor(actor, method):
            import multiprocessing, warnings
            warnings.simplefilter("ignore")
            with multiprocessing.get_context(method).Pool(1) as pool:
                return pool.map(abs, [-1, -2])
        if __name__ == "__main__":
            with actors.ProcessDo.executor() as executor:
                print(executor.post((pool_in_actor, {method!r})).result(30))
    """
    assert script(source).check().out == "[1, 2]\n"


def test_it_can_use_a_process_pool(do):
    assert do(tasks.call, actors_process_pool) == 3


def actors_process_pool():
    import multiprocessing
    from concurrent import futures

    with futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(abs, -3).result(PATIENCE)


def test_a_managers_proxy_connects_from_the_child(do):
    """It needs the parent's key, whether or not the child has loaded multiprocessing before."""
    with multiprocessing.get_context("spawn").Manager() as manager:
        shared = manager.dict()
        do(tasks.call, operator.setitem, shared, "first", 1)
        do(tasks.call, operator.setitem, shared, "second", 2)
        assert shared.copy() == {"first": 1, "second": 2}


def test_a_managers_event_stops_a_handle_that_looks_at_it(process):
    with multiprocessing.get_context("spawn").Manager() as manager:
        stop = manager.Event()
        with process.start(actors.Do) as executor:
            future = executor.submit(stop.wait, PATIENCE)
            while not future.running():
                pass
            stop.set()
            assert future.result(PATIENCE) is True


def test_the_key_is_that_of_the_moment_and_nowhere_to_be_read(process, monkeypatch):
    monkeypatch.setattr(multiprocessing.current_process(), "authkey", b"secret of the moment")
    with process.start(actors.Do) as executor:
        assert executor.post((tasks.loaded, "multiprocessing")).result(PATIENCE) == []
        assert executor.post((tasks.call, read_key)).result(PATIENCE) == b"secret of the moment"
        found = [] if sys.platform == "win32" else programs.descendants_of(os.getpid())
        for pid, command in found:
            assert "secret of" not in command
            assert b"secret of" not in Path(f"/proc/{pid}/environ").read_bytes()


def read_key():
    return bytes(multiprocessing.current_process().authkey)


def test_it_can_start_threads(do):
    assert do(tasks.call, in_a_thread, 4) == 4


def in_a_thread(value):
    found = []
    thread = threading.Thread(target=found.append, args=(value,))
    thread.start()
    thread.join(PATIENCE)
    return found[0]


def test_its_inner_actor_ends_with_it(process):
    executor = process.start(actors.Do)
    inner = executor.post((tasks.inner_pid, "Process")).result(PATIENCE)
    executor.shutdown()
    programs.wait_until(lambda: programs.is_gone(inner))


def test_an_inner_actor_handles_what_it_got_before_its_owner_ends(process, tmp_path):
    path = tmp_path / "inner"
    with process.start(actors.Do) as executor:
        executor.post((tasks.start_inner, "Process", path, 20)).result(PATIENCE)
    assert path.read_text().split() == [str(number) for number in range(20)]


def test_an_actor_started_in_a_thread_outlives_the_thread(process):
    started = []
    thread = threading.Thread(target=lambda: started.append(process.start(actors.Do)))
    thread.start()
    thread.join(PATIENCE)
    with started[0] as executor:
        assert executor.post((tasks.echo, 1)).result(PATIENCE) == 1
        time.sleep(0.2)  # a signal at the end of its starter would take a moment
        assert executor.post((tasks.echo, 2)).result(PATIENCE) == 2


def trackers_pipe():
    """The one thing that all processes of a program write to: see `multiprocessing`."""
    descriptor = multiprocessing.resource_tracker.getfd()
    (link,) = (
        link for link in tasks.descriptors(None) if f" {os.fstat(descriptor).st_ino}" in link
    )
    return link


def test_a_child_has_no_descriptor_of_the_parent_or_of_other_children(process, tmp_path):
    with (tmp_path / "open").open("w") as file:
        os.set_inheritable(file.fileno(), False)
        first = process.start(actors.Do)
        second = process.start(actors.Do)
        with first, second:
            ours = first.post((tasks.descriptors,)).result(PATIENCE)
            theirs = second.post((tasks.descriptors,)).result(PATIENCE)
    assert len(ours) == len(theirs)
    shared = set(ours) & set(theirs) - {trackers_pipe()}
    assert all(link.startswith("anon_inode:") for link in shared), shared
    assert not any(file.name in link for link in ours)


def test_children_started_at_the_same_time_have_no_descriptor_in_common(process):
    executors = []
    starters = [
        threading.Thread(target=lambda: executors.append(process.start(actors.Do)))
        for _ in range(6)
    ]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join(PATIENCE)
    seen = [set(one.post((tasks.descriptors,)).result(PATIENCE)) for one in executors]
    for one in executors:
        one.shutdown()
    common = ("anon_inode:", trackers_pipe())
    pipes = [link for links in seen for link in links if not link.startswith(common)]
    assert len(pipes) == len(set(pipes))


def test_a_program_that_an_actor_runs_gets_no_descriptor_of_the_link(do):
    """Not even when it is started without closing descriptors, as `os.posix_spawn` does."""
    command = [sys.executable, "-c", "import tasks; print(tasks.descriptors(None))"]
    assert do(tasks.call, run_with_descriptors, command, str(programs.SUPPORT)) == "[]\n"


def run_with_descriptors(command, folder):
    import subprocess

    return subprocess.check_output(command, close_fds=False, cwd=folder, text=True)


@observe.on_unix
def test_a_name_that_cannot_be_preloaded_is_an_error_once(script):
    source = """if True:
        import actors, futures_actors, tasks
        futures_actors.set_start_method("forkserver")
        futures_actors.preload("json")
        with actors.ProcessDo.executor() as executor:
            assert executor.post((tasks.loaded, "json")).result(20) == ["json"]
        futures_actors.preload("no_such_module_here")
        try:
            actors.ProcessDo.executor()
        except ImportError as error:
            assert "no_such_module_here" in str(error)
        else:
            raise AssertionError("no ImportError")
        with actors.ProcessDo.executor() as executor:
            assert executor.post((tasks.loaded, "json")).result(20) == ["json"]
    """
    script(source).check()


def test_big_buffers_cross_without_a_warning(process, caplog):
    """In shared memory, or through the pipe where the system has no shared memory for them."""
    big = bytearray(1 << 20)
    with process.start(actors.Arguments, big) as executor:
        executor.post(None).result(PATIENCE)
    with process.start(actors.Echo) as executor:
        assert executor.post(big).result(PATIENCE) == big
    assert caplog.records == []


def test_interrupting_the_pickling_is_the_callers_affair(process):
    class Interrupts:
        def __reduce__(self):
            raise KeyboardInterrupt

    with process.start(actors.Echo) as executor:
        with pytest.raises(KeyboardInterrupt):
            executor.post(Interrupts())
        assert executor.post(1).result(PATIENCE) == 1


@pytest.mark.parametrize("platform", ["emscripten", "wasi"])
@pytest.mark.parametrize("options", [None, {}, {"start_method": "spawn"}])
def test_where_no_process_can_be_started_the_executor_says_so(monkeypatch, platform, options):
    """As it would be there: the core has not been built for such a platform."""
    cls = actors.ProcessEcho if options is None else actors.ProcessEcho.options(**options)
    monkeypatch.setattr(sys, "platform", platform)
    with pytest.raises(NotImplementedError, match=f"{platform}.*ThreadActor"):
        cls.executor()
    with actors.ThreadEcho.executor() as executor:
        assert executor.post(1).result(PATIENCE) == 1


@observe.on_unix
@pytest.mark.parametrize("refusal", ["del os.pidfd_open", "os.pidfd_open = refuse"])
def test_without_pidfds_a_fresh_interpreter_is_started(script, refusal):
    """Older kernels, some builds of Python, and valgrind have none."""
    source = f"""if True:
        import os
        def refuse(*_):  # subprocess asks, too
            raise OSError(38, "no such call")
        {refusal}
        import actors, futures_actors, tasks
        print(futures_actors.get_start_method())
        with actors.ProcessDo.executor() as executor:
            print(executor.post((tasks.echo, 1)).result(20))
        try:
            actors.ProcessDo.options(start_method="forkserver")
        except ValueError as error:
            print("pidfd_open" in str(error))
    """
    assert script(source).check().out.split() == ["spawn", "1", "True"]


def test_a_process_actor_costs_its_parent_five_descriptors(process):
    """The ends of two pipes, the memory, the process, the bell. What is per parent is there
    after the first."""
    before = None
    executors = []
    for _ in range(4):
        executors.append(process.actor(actors.Do).executor())
        executors[-1].post((tasks.echo, b"x" * 100_000)).result(PATIENCE)
        now = len(programs.descriptors_of_this_process())
        assert before is None or now - before <= 5
        before = now
    for executor in executors:
        executor.shutdown()
