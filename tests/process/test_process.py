"""What a process actor finds around it: environment, arguments, flags, standard streams, its main
thread, processes of its own, and no descriptor that is not its own."""

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
import programs
import tasks
from gates import PATIENCE


@pytest.fixture
def do(process):
    with process.start(actors.Do) as executor:
        yield lambda *message: executor.post(message).result(PATIENCE)


def ask(process, *message):
    with process.start(actors.Do) as executor:
        return executor.post(message).result(PATIENCE)


def test_a_process_actor_has_a_process_of_its_own(do):
    pid = do(tasks.get_pid)
    assert pid != os.getpid()
    assert do(tasks.get_pid) == pid


def test_it_sees_the_environment_of_that_moment(process, monkeypatch):
    monkeypatch.setenv("FUTURES_ACTORS_TEST", "then")
    with process.start(actors.Do) as executor:
        monkeypatch.setenv("FUTURES_ACTORS_TEST", "later")
        asked = executor.post((tasks.call, os.getenv, "FUTURES_ACTORS_TEST"))
        assert asked.result(PATIENCE) == "then"
    monkeypatch.delenv("FUTURES_ACTORS_TEST")
    assert ask(process, tasks.call, os.getenv, "FUTURES_ACTORS_TEST") is None


def test_it_sees_no_variable_that_the_parent_does_not_have(do):
    """Whatever tells the child what to do must not reach the programs that the child starts."""
    assert set(do(tasks.call, os.environ.copy)) <= set(os.environ) | {"LC_CTYPE"}


def test_it_sees_the_working_directory_of_that_moment(process, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with process.start(actors.Do) as executor:
        monkeypatch.undo()
        assert executor.post((tasks.call, os.getcwd)).result(PATIENCE) == str(tmp_path)


def test_it_sees_argv_and_path_of_that_moment(process, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["program", "--option", "\N{SNOWMAN}", ""])
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path), "", "not/there"])
    assert ask(process, tasks.look_at, "sys:argv") == sys.argv
    assert ask(process, tasks.look_at, "sys:path") == sys.path


def test_it_can_import_what_the_parent_can(process, tmp_path, monkeypatch):
    (tmp_path / "only_here_by_path.py").write_text("VALUE = 42\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert ask(process, tasks.look_at, "only_here_by_path:VALUE") == 42


def test_a_module_in_the_working_directory_does_not_get_in_the_way(process, tmp_path, monkeypatch):
    """The parent does not look there, so the child must not either: not even while it starts."""
    for name in ("pickle", "struct", "signal", "futures_actors"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a stranger was imported')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    assert ask(process, tasks.echo, "alive") == "alive"


def test_it_is_the_same_python(do):
    assert do(tasks.look_at, "sys:executable") == sys.executable
    assert do(tasks.look_at, "sys:version") == sys.version
    assert do(tasks.look_at, "sys:prefix") == sys.prefix


FLAGS = [
    [],
    ["-O"],
    ["-OO", "-B"],
    ["-s", "-E"],
    ["-bb"],
    ["-X", "dev"],
    ["-X", "utf8=1"],
    ["-W", "error::UserWarning"],
    ["-X", "futures_actors_test=1"],
]


@pytest.mark.parametrize("flags", FLAGS, ids=" ".join)
def test_it_has_the_parents_flags(script, flags):
    source = f"""if True:
        import sys
        sys.path.insert(0, {str(programs.SUPPORT)!r})  # -E hides PYTHONPATH
        import actors, tasks
        names = ["sys:flags." + name for name in dir(sys.flags) if name[0] != "_"]
        names = [name for name in names if not callable(tasks.look_at(None, name))]
        with actors.ProcessDo.executor() as executor:
            for name in [*names, "sys:warnoptions", "sys:_xoptions"]:
                here = tasks.look_at(None, name)
                there = executor.post((tasks.look_at, name)).result(30)
                if here != there:
                    print(name, "is", here, "in the parent and", there, "in the child")
    """
    assert script(source, flags=flags).check().out == ""


def test_isolated_mode_is_kept(script):
    source = f"""if True:
        import sys
        sys.path.insert(0, {str(programs.SUPPORT)!r})
        import actors, tasks
        with actors.ProcessDo.executor() as executor:
            print(executor.post((tasks.look_at, 'sys:flags.isolated')).result(30))
    """
    assert script(source, flags=["-I"]).check().out == "1\n"


def test_the_interactive_flag_is_not_for_the_child(script):
    """`-i` would make it read a terminal instead of ending."""
    source = """if True:
        import actors, tasks
        with actors.ProcessDo.executor() as executor:
            print(executor.post((tasks.look_at, 'sys:flags.inspect')).result(30))
    """
    ended = script(source, flags=["-i"])
    assert ended.out == "0\n"
    assert "Traceback" not in ended.err


def test_constructor_and_handle_run_in_the_main_thread(do):
    assert do(tasks.is_main_thread)
    assert do(tasks.get_thread) == do(tasks.look_at, "threading:_main_thread.ident")


def test_handle_can_set_signal_handlers(do):
    """Which Python allows in the main thread only."""
    import signal

    assert do(tasks.call, signal.signal, signal.SIGUSR1, signal.SIG_IGN) == signal.SIG_DFL


def test_stdin_is_empty(do):
    assert do(tasks.read_stdin) == ("", b"")


def test_the_parents_stdin_is_left_alone(script):
    """Were it shared, the child's buffer would swallow the rest of a program read from there."""
    source = """if True:
        import actors, tasks
        with actors.ProcessDo.executor() as executor:
            print(executor.post((tasks.read_stdin,)).result(30))
    """
    assert script(source, "interactive").check().out == "('', b'')\n"


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_what_an_actor_prints_appears_on_the_parents_stream(process, capfd, stream):
    with process.start(actors.Do) as executor:
        executor.post((tasks.say, "a word", stream)).result(PATIENCE)
    assert getattr(capfd.readouterr(), {"stdout": "out", "stderr": "err"}[stream]) == "a word\n"


def test_what_a_constructor_prints_appears(script):
    source = """if True:
        import actors
        class Talks(actors.ProcessActor):
            def __init__(self):
                print("born")
            def handle(self, message):
                print("handled", message)
        Talks.executor().post(1).result(30)
    """
    assert script(source).check().out == "born\nhandled 1\n"


def test_nothing_is_printed_but_what_actors_print(process, capfd):
    with process.start(actors.Do) as executor:
        executor.post((tasks.fail, ValueError("no"))).exception(PATIENCE)
        executor.post((tasks.exit_politely, 3)).exception(PATIENCE)
        executor.post((tasks.exit_at_once, 3)).exception(PATIENCE)
    with process.start(actors.Fails, KeyError("never mind")) as executor:
        pass
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_parent_without_standard_streams(script, tmp_path, closed):
    """Then the pipes of a child may get the numbers 0 to 2."""
    answer = tmp_path / "answer"
    source = f"""if True:
        import actors, tasks
        with actors.ProcessDo.executor() as executor:
            executor.post((tasks.say, "lost")).exception(30)
            text = executor.post((tasks.echo, "heard")).result(30)
        with open({str(answer)!r}, "w") as file:
            file.write(text)
    """
    assert script(source, shell=f'exec "$@" {closed}').status == 0
    assert answer.read_text() == "heard"


def test_a_parent_that_replaced_its_streams(process, capsys):
    """As notebooks and pytest do: the new ones have no descriptor."""
    with process.start(actors.Do) as executor:
        assert executor.post((tasks.echo, "alive")).result(PATIENCE) == "alive"


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
    """Which takes the parent's key, whether the child has loaded multiprocessing before or not."""
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
        for pid, command in programs.descendants_of(os.getpid()):
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
        time.sleep(0.2)  # what kills a child because its starter's thread ended is not at once
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


def test_interrupting_the_pickling_is_the_callers_affair(process):
    class Interrupts:
        def __reduce__(self):
            raise KeyboardInterrupt

    with process.start(actors.Echo) as executor:
        with pytest.raises(KeyboardInterrupt):
            executor.post(Interrupts())
        assert executor.post(1).result(PATIENCE) == 1


@pytest.mark.parametrize("platform", ["win32", "emscripten"])
@pytest.mark.parametrize("options", [None, {}, {"start_method": "spawn"}])
def test_where_no_process_can_be_started_the_executor_says_so(monkeypatch, platform, options):
    """As it would be there: the core has not been built for such a platform."""
    cls = actors.ProcessEcho if options is None else actors.ProcessEcho.options(**options)
    monkeypatch.setattr(sys, "platform", platform)
    with pytest.raises(NotImplementedError, match=f"{platform}.*ThreadActor"):
        cls.executor()
    with actors.ThreadEcho.executor() as executor:
        assert executor.post(1).result(PATIENCE) == 1


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


# Shared memory of multiprocessing. Its resource tracker unlinks what is registered with it.

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
@pytest.mark.parametrize("when", ["before", "after"])
def test_shared_memory_that_an_actor_attaches_outlives_it(with_tracker, when):
    """Whether its parent has made it before or after the actor was started."""
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
        (make + start if when == "before" else start + make)
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
def test_a_parent_that_has_loaded_the_tracker_and_not_used_it_starts_it_for_its_actor(with_tracker):
    ended = with_tracker("""
    import multiprocessing.resource_tracker
    with actors.ProcessDo.executor() as executor:
        name = executor.post((create,)).result(30)
    print(attach(None, name), trackers())
    """)
    assert ended.out == "b'abc' 1\n"


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
